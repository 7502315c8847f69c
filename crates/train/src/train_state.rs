//! A network in training, and its optimizer.

use std::collections::BTreeMap;

use tch::{Kind, Tensor, nn::VarStore};
use vqkit_recipe::Train;
use vqkit_run::Tensors;
use vqkit_torch::{autograd, lora::Lora, optim::clip_grad_norm, weights};

use crate::{error::Result, optimizer::Optimizer};

/// Variables by name.
type Named = Vec<(String, Tensor)>;

/// A network in training, and its optimizer.
#[derive(Debug)]
pub struct TrainState {
    /// The network's variables.
    pub vs: VarStore,
    optimizer: Optimizer,
    /// The variables that take gradients.
    trained: Named,
    lora: Option<Lora>,
    /// What the optimizer moves: `trained`, or in the place of a weight with a low-rank update the update's factors.
    moved: Named,
    learning_rate: f64,
    clip_norm: f64,
    /// Global norm of the latest gradients, before they were clipped.
    gradient_norm: Option<Tensor>,
}

impl TrainState {
    /// Takes over the variables of a network that computes in `kind`; those that require a gradient are trained.
    ///
    /// # Errors
    /// When a number of the recipe is out of its range.
    pub fn new(vs: VarStore, train: &Train, kind: Kind) -> Result<Self> {
        let optimizer = Optimizer::new(&vs, train, kind)?;
        let moved = trained(&vs);
        Ok(Self::assemble(vs, optimizer, moved, None, train))
    }

    /// As [`new`](Self::new), for a network some of whose weights have low-rank updates: of these, only the factors are
    /// trained.
    ///
    /// # Errors
    /// When a number of the recipe is out of its range.
    pub fn with_lora(vs: VarStore, lora: Lora, train: &Train, kind: Kind) -> Result<Self> {
        let adapted = lora.base();
        let whole = trained(&vs).into_iter().filter(|(name, _)| !adapted.contains_key(name));
        let moved: Named = whole.chain(lora.parameters()).collect();
        let optimizer = Optimizer::over(shared(&moved), train, kind)?;
        Ok(Self::assemble(vs, optimizer, moved, Some(lora), train))
    }

    fn assemble(vs: VarStore, optimizer: Optimizer, moved: Named, lora: Option<Lora>, train: &Train) -> Self {
        let clip_norm = if train.clip_norm > 0.0 { train.clip_norm } else { f64::INFINITY };
        Self {
            trained: trained(&vs),
            vs,
            optimizer,
            lora,
            moved,
            learning_rate: train.learning_rate,
            clip_norm,
            gradient_norm: None,
        }
    }

    /// Drops all gradients.
    pub fn zero_grad(&mut self) {
        self.optimizer.zero_grad();
        if let Some(lora) = &mut self.lora {
            lora.zero_grad();
        }
    }

    /// Adds the gradients of outputs, each with its gradient, to those of this network's weights, and to no others.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn backward(&self, outputs: &[(&Tensor, &Tensor)]) -> Result<()> {
        let inputs: Vec<&Tensor> = self.trained.iter().map(|(_, value)| value).collect();
        Ok(autograd::backward(outputs, &inputs)?)
    }

    /// Drops all gradients and accumulates those of a batch, given as the losses of its parts, each with its share of
    /// the batch; returns the loss of the whole batch, detached. Each part's graph is freed before the next part is
    /// requested.
    ///
    /// # Errors
    /// When libtorch refuses, and those of the parts.
    pub fn gather(&mut self, parts: impl IntoIterator<Item = Result<(Tensor, f64)>>) -> Result<Tensor> {
        self.zero_grad();
        let mut whole = Tensor::zeros([0i64; 0], (Kind::Float, self.vs.device()));
        for part in parts {
            let (loss, share) = part?;
            self.backward(&[(&loss, &loss.full_like(share))])?;
            whole += loss.detach() * share;
        }
        Ok(whole)
    }

    /// Completes the gradients of a step, those of low-rank updates from those of their weights, and clips them.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn clip(&mut self) -> Result<()> {
        if let Some(lora) = &self.lora {
            lora.project()?;
        }
        let values: Vec<Tensor> = self.moved.iter().map(|(_, value)| value.shallow_clone()).collect();
        self.gradient_norm = Some(clip_grad_norm(&values, self.clip_norm)?);
        Ok(())
    }

    /// Updates the weights, with the recipe's learning rate times `factor`.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn step(&mut self, factor: f64) -> Result<()> {
        self.optimizer.set_learning_rate(self.learning_rate * factor);
        self.optimizer.step()?;
        Ok(self.lora.as_ref().map_or(Ok(()), Lora::merge)?)
    }

    /// Global norm of the latest gradients, before they were clipped; waits for the device.
    pub fn gradient_norm(&self) -> Option<f64> {
        self.gradient_norm.as_ref().map(|norm| norm.double_value(&[]))
    }

    /// As [`gradient_norm`](Self::gradient_norm), once after every step.
    pub fn take_gradient_norm(&mut self) -> Option<f64> {
        self.gradient_norm.take().map(|norm| norm.double_value(&[]))
    }

    /// The first weight whose gradient is not finite.
    pub fn broken_gradient(&self) -> Option<&str> {
        let broken = |value: &Tensor| value.grad().defined() && !is_finite(&value.grad());
        self.trained.iter().chain(&self.moved).find(|(_, value)| broken(value)).map(|(name, _)| name.as_str())
    }

    /// The first variable with a value that is not finite.
    pub fn broken_weight(&self) -> Option<String> {
        weights::tensors(&self.vs).into_iter().find(|(_, value)| !is_finite(value)).map(|(name, _)| name)
    }

    /// What fine-tuning with low-rank updates has trained: the factors of the updates, and the variables that are trained
    /// whole; `None` without low-rank updates. Together with the weights that training started from they are the network.
    pub fn adapter(&self) -> Option<Tensors> {
        self.lora.as_ref().map(|_| shared(&self.moved).into_iter().collect())
    }

    /// The weights under the low-rank updates, as they were before training; `None` without low-rank updates.
    pub fn base(&self) -> Option<Tensors> {
        self.lora.as_ref().map(Lora::base)
    }

    /// Restores the low-rank updates from what [`adapter`](Self::adapter) and [`base`](Self::base) gave; does nothing
    /// without such updates.
    ///
    /// # Errors
    /// When a name, a shape or a kind differs.
    pub fn load_adapter(&mut self, mut adapter: Tensors, base: &Tensors) -> Result<()> {
        let Some(lora) = &mut self.lora else { return Ok(()) };
        adapter.retain(|name, _| !self.trained.iter().any(|(trained, _)| trained == name));
        Ok(lora.load(&adapter, base)?)
    }

    /// The optimizer's state by name, sharing its memory.
    pub fn moments(&self) -> BTreeMap<String, Tensor> {
        self.optimizer.state()
    }

    /// Restores the optimizer's state.
    ///
    /// # Errors
    /// When a name, a shape or a kind differs.
    pub fn load_moments(&mut self, state: BTreeMap<String, Tensor>) -> Result<()> {
        self.optimizer.load_state(state)
    }
}

/// The variables that require a gradient.
fn trained(vs: &VarStore) -> Named {
    weights::trainable(vs).into_iter().filter(|(_, value)| value.requires_grad()).collect()
}

fn shared(tensors: &[(String, Tensor)]) -> Named {
    tensors.iter().map(|(name, value)| (name.clone(), value.shallow_clone())).collect()
}

/// Whether every value is finite; waits for the device.
pub fn is_finite(tensor: &Tensor) -> bool {
    tensor.isfinite().all().int64_value(&[]) != 0
}
