//! The optimizer that a recipe specifies, for all variables of a network.

use std::collections::BTreeMap;

use tch::{Kind, Tensor, nn::VarStore};
use vqkit_recipe::{OptimizerKind, Train};
use vqkit_torch::{
    optim::{Adam, AdamConfig, Muon, MuonConfig, ParamGroup, decays},
    weights,
};

use crate::error::Result;

/// Layers with fewer input or output channels than this are connected to pixels, and do not count as hidden.
const FEWEST_HIDDEN: i64 = 5;

/// Variables by name.
type Named = Vec<(String, Tensor)>;

/// AdamW, and Muon for the weights of hidden layers where the recipe has `optimizer = "muon"`.
#[derive(Debug)]
pub struct Optimizer {
    adam: Adam,
    muon: Option<Muon>,
}

impl Optimizer {
    /// Over all trainable variables of `vs`, for a network that computes in `kind`. Weight decay is applied where [`decays`]
    /// is true.
    ///
    /// # Errors
    /// When a number of the recipe is out of its range.
    pub fn new(vs: &VarStore, train: &Train, kind: Kind) -> Result<Self> {
        Self::over(weights::trainable(vs), train, kind)
    }

    /// As [`new`](Self::new), over parameters by their names.
    ///
    /// # Errors
    /// When a number of the recipe is out of its range.
    pub fn over(parameters: Vec<(String, Tensor)>, train: &Train, kind: Kind) -> Result<Self> {
        let (matrices, plain): (Named, Named) = parameters.into_iter().partition(|(name, value)| decays(name, value));
        let (hidden, decayed): (Named, Named) = match train.optimizer {
            OptimizerKind::AdamW => (Vec::new(), matrices),
            OptimizerKind::Muon => matrices.into_iter().partition(is_hidden),
        };
        let group = |name: &str, params, weight_decay| ParamGroup {
            name: name.into(),
            params,
            lr: train.learning_rate,
            weight_decay,
        };
        let groups = vec![group("decayed", decayed, train.weight_decay), group("plain", plain, 0.0)];
        let muon = match train.optimizer {
            OptimizerKind::AdamW => None,
            OptimizerKind::Muon => {
                let config = MuonConfig { kind, ..MuonConfig::default() };
                Some(Muon::new(group("hidden", hidden, train.weight_decay), config)?)
            }
        };
        Ok(Self { adam: Adam::new(groups, AdamConfig::adamw(train.betas))?, muon })
    }

    /// Sets the learning rate of all variables.
    pub fn set_learning_rate(&mut self, lr: f64) {
        self.adam.set_learning_rate(lr);
        if let Some(muon) = &mut self.muon {
            muon.set_learning_rate(lr);
        }
    }

    /// Updates every variable that has a gradient.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn step(&mut self) -> Result<()> {
        self.adam.step()?;
        Ok(self.muon.as_mut().map_or(Ok(()), Muon::step)?)
    }

    /// Drops all gradients.
    pub fn zero_grad(&mut self) {
        self.adam.zero_grad();
        if let Some(muon) = &mut self.muon {
            muon.zero_grad();
        }
    }

    /// The state by name, sharing its memory.
    pub fn state(&self) -> BTreeMap<String, Tensor> {
        let muon = self.muon.iter().flat_map(Muon::state);
        self.adam.state().into_iter().chain(muon).collect()
    }

    /// Restores a state.
    ///
    /// # Errors
    /// When a name, a shape or a kind differs.
    pub fn load_state(&mut self, state: BTreeMap<String, Tensor>) -> Result<()> {
        let own = self.muon.as_ref().map(Muon::state).unwrap_or_default();
        let (of_muon, of_adam) = state.into_iter().partition(|(name, _)| own.contains_key(name));
        self.adam.load_state(&of_adam)?;
        Ok(self.muon.as_mut().map_or(Ok(()), |muon| muon.load_state(&of_muon))?)
    }
}

/// Layers that make logits.
const HEADS: [&str; 2] = ["head.weight", "output.weight"];

fn is_hidden((name, value): &(String, Tensor)) -> bool {
    let size = value.size();
    size[0].min(size[1]) >= FEWEST_HIDDEN && !HEADS.contains(&name.as_str())
}
