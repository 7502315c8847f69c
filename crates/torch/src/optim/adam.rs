//! Adam and AdamW on libtorch's fused kernels.

use std::collections::BTreeMap;

use tch::nn::VarStore;
use tch::{Kind, Tensor, no_grad};

use super::group::{ParamGroup, check_unique, drop_gradients, not_negative, restore};
use crate::TorchError;
use crate::shim::{self, AdamNumbers, AdamOperands};

/// The hyper-parameters that all groups share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamConfig {
    /// Decay rates of the first and the second moment, each in `[0, 1)`.
    pub betas: (f64, f64),
    /// Added to the denominator, not negative.
    pub eps: f64,
    /// Whether weight decay shrinks the parameters themselves, `p <- p (1 - lr wd)` before the step (AdamW, Loshchilov
    /// and Hutter 2019), or is added to the gradient, `g <- g + wd p` (Adam, Kingma and Ba 2015).
    pub decoupled: bool,
}

impl AdamConfig {
    /// Adam with the given betas and the paper's `eps` of 1e-8.
    pub fn adam(betas: (f64, f64)) -> Self {
        Self { betas, eps: 1e-8, decoupled: false }
    }

    /// AdamW with the given betas and the paper's `eps` of 1e-8.
    pub fn adamw(betas: (f64, f64)) -> Self {
        Self { betas, eps: 1e-8, decoupled: true }
    }

    fn validate(&self) -> Result<(), TorchError> {
        for beta in [self.betas.0, self.betas.1] {
            if !(0.0..1.0).contains(&beta) {
                return Err(TorchError::config("betas", format!("must be in [0, 1), found {beta}")));
            }
        }
        not_negative("eps", self.eps)
    }
}

/// Adam or AdamW.
///
/// One call of `aten::_fused_adam_` or `aten::_fused_adamw_` per group and step: the denominator is
/// `sqrt(v) / sqrt(1 - beta2^t) + eps`, as in PyTorch. Parameters without a gradient are passed over and keep their state,
/// their count of steps included.
///
/// ```
/// use tch::{Device, Kind, nn};
/// use vqkit_torch::optim::{Adam, AdamConfig};
///
/// let vs = nn::VarStore::new(Device::Cpu);
/// let weight = vs.root().ones("weight", &[2]);
/// let mut adam = Adam::over(&vs, 0.1, AdamConfig::adamw((0.9, 0.999)))?;
///
/// adam.zero_grad();
/// weight.sum(Kind::Float).backward();
/// adam.step()?;
/// assert!((weight.double_value(&[0]) - 0.9).abs() < 1e-6);
/// # Ok::<(), vqkit_torch::TorchError>(())
/// ```
#[derive(Debug)]
pub struct Adam {
    config: AdamConfig,
    groups: Vec<Group>,
}

#[derive(Debug)]
struct Group {
    name: String,
    slots: Vec<Slot>,
    lr: f64,
    weight_decay: f64,
}

/// A parameter and its state.
#[derive(Debug)]
struct Slot {
    name: String,
    parameter: Tensor,
    /// First moment, not corrected for its bias, shaped as the parameter.
    exp_avg: Tensor,
    /// Second moment, not corrected for its bias, shaped as the parameter.
    exp_avg_sq: Tensor,
    /// Steps taken, f32 `[]` on the parameter's device, which is where the kernel reads it.
    step: Tensor,
}

impl Adam {
    /// An optimizer over all trainable variables of `vs`, which are one [group](ParamGroup::of) without weight decay.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn over(vs: &VarStore, lr: f64, config: AdamConfig) -> Result<Self, TorchError> {
        Self::new(vec![ParamGroup::of(vs, lr)], config)
    }

    /// A whole step down the gradient of a loss: drops the old gradients, computes new ones, and moves the parameters.
    ///
    /// # Errors
    /// When libtorch refuses, such as for a loss without a graph.
    pub fn backward_step(&mut self, loss: &Tensor) -> Result<(), TorchError> {
        self.zero_grad();
        loss.f_backward()?;
        self.step()
    }

    /// An optimizer with zeros for moments.
    ///
    /// # Errors
    /// [`TorchError::Config`] when a number is out of its range, a name occurs twice, a tensor occurs twice, is no leaf, is
    /// not of a floating kind or has gaps in memory, or a group mixes kinds or devices.
    pub fn new(groups: Vec<ParamGroup>, config: AdamConfig) -> Result<Self, TorchError> {
        config.validate()?;
        check_unique(&groups)?;
        let groups = groups.into_iter().map(Group::new).collect::<Result<_, _>>()?;
        Ok(Self { config, groups })
    }

    /// Sets the learning rate of one group.
    ///
    /// # Errors
    /// [`TorchError::Config`] when there is no such group, or the rate is negative or not finite.
    pub fn set_lr(&mut self, group: &str, lr: f64) -> Result<(), TorchError> {
        not_negative("lr", lr)?;
        let names: Vec<_> = self.groups.iter().map(|group| group.name.clone()).collect();
        let found = self.groups.iter_mut().find(|known| known.name == group);
        let group =
            found.ok_or_else(|| TorchError::config("group", format!("there is no group `{group}`, only {names:?}")))?;
        group.lr = lr;
        Ok(())
    }

    /// Sets the learning rate of every group; [`step`](Self::step) refuses one that is negative or not finite.
    pub fn set_learning_rate(&mut self, lr: f64) {
        for group in &mut self.groups {
            group.lr = lr;
        }
    }

    /// The learning rate of a group.
    pub fn lr(&self, group: &str) -> Option<f64> {
        self.groups.iter().find(|known| known.name == group).map(|group| group.lr)
    }

    /// Moves every parameter that has a gradient.
    ///
    /// # Errors
    /// When a learning rate is negative or not finite, a gradient is sparse, or a parameter has changed its kind, device
    /// or layout since [`new`](Self::new). Groups before the failing one have moved.
    pub fn step(&mut self) -> Result<(), TorchError> {
        self.groups.iter().try_for_each(|group| group.step(&self.config))
    }

    /// Drops all gradients, so that a parameter that takes no part in the next backward pass is not moved.
    pub fn zero_grad(&mut self) {
        drop_gradients(self.slots().map(|slot| &slot.parameter));
    }

    /// The state by name: `exp_avg.PARAMETER` and `exp_avg_sq.PARAMETER`, shaped as the parameter, and `step.PARAMETER`,
    /// f32 `[]`. They share their memory with the optimizer: copy them to keep them over a step.
    pub fn state(&self) -> BTreeMap<String, Tensor> {
        let named = self.slots().flat_map(Slot::state);
        named.map(|(name, tensor)| (name, tensor.shallow_clone())).collect()
    }

    /// Puts a state back; training then continues as if it had not been interrupted.
    ///
    /// # Errors
    /// [`TorchError::Mismatch`] listing every name, shape and kind that differs; nothing is changed then.
    pub fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<(), TorchError> {
        restore(self.state(), state)
    }

    fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.groups.iter().flat_map(|group| &group.slots)
    }
}

impl Group {
    fn new(group: ParamGroup) -> Result<Self, TorchError> {
        group.check()?;
        let slots = group.params.into_iter().map(|(name, parameter)| Slot::new(name, parameter));
        Ok(Self {
            name: group.name,
            slots: slots.collect::<Result<_, _>>()?,
            lr: group.lr,
            weight_decay: group.weight_decay,
        })
    }

    fn step(&self, config: &AdamConfig) -> Result<(), TorchError> {
        not_negative("lr", self.lr)?;
        let column = |field: fn(&Slot) -> &Tensor| self.slots.iter().map(field).collect::<Vec<_>>();
        let operands = AdamOperands {
            parameters: &column(|slot| &slot.parameter),
            exp_avgs: &column(|slot| &slot.exp_avg),
            exp_avg_sqs: &column(|slot| &slot.exp_avg_sq),
            steps: &column(|slot| &slot.step),
        };
        let AdamConfig { betas, eps, decoupled } = *config;
        let numbers = AdamNumbers { lr: self.lr, betas, eps, weight_decay: self.weight_decay, decoupled };
        shim::adam_step(&operands, &numbers)
    }
}

impl Slot {
    fn new(name: String, parameter: Tensor) -> Result<Self, TorchError> {
        let zeros = || no_grad(|| parameter.f_zeros_like());
        let (exp_avg, exp_avg_sq) = (zeros()?, zeros()?);
        if exp_avg.stride() != parameter.stride() {
            let reason = format!("`{name}` has gaps or overlaps in memory: make it contiguous");
            return Err(TorchError::config("params", reason));
        }
        let step = Tensor::f_zeros([0; 0], (Kind::Float, parameter.device()))?;
        Ok(Self { name, parameter, exp_avg, exp_avg_sq, step })
    }

    fn state(&self) -> [(String, &Tensor); 3] {
        [("exp_avg", &self.exp_avg), ("exp_avg_sq", &self.exp_avg_sq), ("step", &self.step)]
            .map(|(prefix, tensor)| (format!("{prefix}.{}", self.name), tensor))
    }
}
