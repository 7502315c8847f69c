//! A group of parameters, and what every optimizer does with groups and states.

use std::collections::{BTreeMap, BTreeSet};

use tch::nn::VarStore;
use tch::{Device, Kind, Tensor, no_grad};

use crate::weights::{self, Mismatch};
use crate::{TorchError, shim};

/// Parameters that share a learning rate and a weight decay. All of a group are of one floating kind and on one device.
#[derive(Debug)]
pub struct ParamGroup {
    /// Name, by which a learning rate is set.
    pub name: String,
    /// The parameters by their full names: leaves of the graph, such as the trainable variables of a
    /// [`VarStore`](tch::nn::VarStore).
    pub params: Vec<(String, Tensor)>,
    /// Learning rate, not negative.
    pub lr: f64,
    /// Weight decay, not negative; see the optimizer for what it does.
    pub weight_decay: f64,
}

impl ParamGroup {
    /// All trainable variables of `vs`, as a group called `all` without weight decay.
    ///
    /// ```
    /// use tch::{Device, nn};
    /// use vqkit_torch::optim::ParamGroup;
    ///
    /// let vs = nn::VarStore::new(Device::Cpu);
    /// let _ = vs.root().ones("weight", &[2]);
    /// let group = ParamGroup { weight_decay: 0.05, ..ParamGroup::of(&vs, 1e-3) };
    /// assert_eq!(group.params.len(), 1);
    /// ```
    pub fn of(vs: &VarStore, lr: f64) -> Self {
        Self { name: "all".into(), params: weights::trainable(vs), lr, weight_decay: 0.0 }
    }

    pub(super) fn check(&self) -> Result<(), TorchError> {
        not_negative("lr", self.lr)?;
        not_negative("weight_decay", self.weight_decay)?;
        let place = self.params.first().map(|(_, first)| (first.kind(), first.device()));
        self.params.iter().try_for_each(|(name, parameter)| check_parameter(name, parameter, place))
    }
}

/// A tensor under two names would be moved twice a step.
pub(super) fn check_unique(groups: &[ParamGroup]) -> Result<(), TorchError> {
    let (mut group_names, mut names, mut places) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for group in groups {
        if !group_names.insert(&group.name) {
            return Err(TorchError::config("groups", format!("the name `{}` occurs twice", group.name)));
        }
        for (name, parameter) in &group.params {
            let is_new_place = parameter.numel() == 0 || places.insert(parameter.data_ptr() as usize);
            if !names.insert(name) || !is_new_place {
                return Err(TorchError::config("params", format!("`{name}` is given twice")));
            }
        }
    }
    Ok(())
}

fn check_parameter(name: &str, parameter: &Tensor, place: Option<(Kind, Device)>) -> Result<(), TorchError> {
    let refuse = |reason: &str| Err(TorchError::config("params", format!("`{name}` {reason}")));
    let (kind, device) = (parameter.kind(), parameter.device());
    if !matches!(kind, Kind::Float | Kind::Double | Kind::Half | Kind::BFloat16) {
        return refuse(&format!("is {kind:?}, which is no floating kind"));
    }
    if place != Some((kind, device)) {
        return refuse(&format!(
            "is {kind:?} on {device:?}, the group's first is {place:?}: one kind and device a group"
        ));
    }
    if !parameter.is_leaf() {
        return refuse("is computed from other tensors and so never gets a gradient of its own");
    }
    Ok(())
}

pub(super) fn drop_gradients<'a>(parameters: impl Iterator<Item = &'a Tensor>) {
    let parameters: Vec<_> = parameters.collect();
    shim::clear_gradients(&parameters).unwrap_or_else(|error| unreachable!("dropping gradients cannot fail: {error}"));
}

/// Copies a state into an optimizer's `own`, of the same names, shapes and kinds.
pub(super) fn restore(own: BTreeMap<String, Tensor>, state: &BTreeMap<String, Tensor>) -> Result<(), TorchError> {
    Mismatch::check("the optimizer's state", &own, state)?;
    no_grad(|| own.into_iter().try_for_each(|(name, mut tensor)| tensor.f_copy_(&state[&name])))?;
    Ok(())
}

pub(super) fn not_negative(field: &'static str, value: f64) -> Result<(), TorchError> {
    if value.is_finite() && value >= 0.0 {
        return Ok(());
    }
    Err(TorchError::config(field, format!("must be a finite number of at least 0, found {value}")))
}
