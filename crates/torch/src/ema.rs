//! A running average of a network's weights.

use std::collections::BTreeMap;

use tch::nn::VarStore;
use tch::{Tensor, no_grad};

use crate::weights::{self, Mismatch};
use crate::{TorchError, shim};

/// The exponential moving average of the trainable variables of a [`VarStore`]; its buffers are copied, never averaged.
///
/// Update `n`, counted from 1, is `average += (1 - d) (value - average)`, where `d` is the decay or, with warm-up,
/// `min(decay, (1 + n) / (10 + n))`: LitEma of latent-diffusion. The averages have the variables' kinds and devices.
///
/// ```
/// use tch::{Device, nn};
/// use vqkit_torch::ema::WeightEma;
///
/// let vs = nn::VarStore::new(Device::Cpu);
/// let mut weight = vs.root().zeros("weight", &[1]);
/// let mut ema = WeightEma::new(&vs, 0.9, false)?;
/// tch::no_grad(|| weight.fill_(1.0));
/// ema.update(&vs)?;
/// assert!((ema.tensors()["weight"].double_value(&[0]) - 0.1).abs() < 1e-6);
/// # Ok::<(), vqkit_torch::TorchError>(())
/// ```
#[derive(Debug)]
pub struct WeightEma {
    decay: f64,
    warmup: bool,
    num_updates: i64,
    averages: BTreeMap<String, Tensor>,
    buffers: BTreeMap<String, Tensor>,
}

impl WeightEma {
    /// An average that begins at the present values.
    ///
    /// # Errors
    /// [`TorchError::Config`] when `decay` is not in `[0, 1]`; when libtorch refuses.
    pub fn new(vs: &VarStore, decay: f64, warmup: bool) -> Result<Self, TorchError> {
        if !(0.0..=1.0).contains(&decay) {
            return Err(TorchError::config("ema_decay", format!("must be in [0, 1], found {decay}")));
        }
        let copies = weights::tensors(vs).into_iter().map(|(name, value)| Ok((name, value.f_detach_copy()?)));
        let mut buffers = no_grad(|| copies.collect::<Result<BTreeMap<_, _>, TorchError>>())?;
        let trainable = weights::trainable(vs).into_iter();
        let averages = trainable.filter_map(|(name, _)| buffers.remove_entry(&name)).collect();
        Ok(Self { decay, warmup, num_updates: if warmup { 0 } else { -1 }, averages, buffers })
    }

    /// Moves the averages towards the present values, and copies the buffers.
    ///
    /// # Errors
    /// [`TorchError::Mismatch`] when `vs` has not the variables that the average was made of; when libtorch refuses.
    pub fn update(&mut self, vs: &VarStore) -> Result<(), TorchError> {
        let values = weights::tensors(vs);
        Mismatch::check("the model", &self.tensors(), &values)?;
        let decay = self.next_decay();
        let of: Vec<_> = self.averages.keys().map(|name| &values[name]).collect();
        shim::lerp(&self.averages.values().collect::<Vec<_>>(), &of, 1.0 - decay)?;
        copy(&mut self.buffers, &values)?;
        if self.warmup {
            self.num_updates += 1;
        }
        Ok(())
    }

    /// The decay that the next update will use.
    pub fn next_decay(&self) -> f64 {
        let next = (self.num_updates + 1) as f64;
        if self.warmup { self.decay.min((1.0 + next) / (10.0 + next)) } else { self.decay }
    }

    /// The number of updates, which warm-up goes by; -1 without warm-up, as in LitEma.
    pub fn num_updates(&self) -> i64 {
        self.num_updates
    }

    /// Averages and buffers under the variables' names. They share their memory with the average.
    pub fn tensors(&self) -> BTreeMap<String, Tensor> {
        let all = self.averages.iter().chain(&self.buffers);
        all.map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect()
    }

    /// Puts back what [`tensors`](Self::tensors) and [`num_updates`](Self::num_updates) gave; the latter counts with
    /// warm-up only.
    ///
    /// # Errors
    /// [`TorchError::Mismatch`] listing every name, shape and kind that differs; nothing is changed then.
    /// [`TorchError::Config`] when `num_updates` is negative in spite of warm-up.
    pub fn load(&mut self, tensors: &BTreeMap<String, Tensor>, num_updates: i64) -> Result<(), TorchError> {
        if self.warmup && num_updates < 0 {
            return Err(TorchError::config("num_updates", format!("must be at least 0, found {num_updates}")));
        }
        Mismatch::check("the averaged weights", &self.tensors(), tensors)?;
        copy(&mut self.averages, tensors)?;
        copy(&mut self.buffers, tensors)?;
        if self.warmup {
            self.num_updates = num_updates;
        }
        Ok(())
    }

    /// Overwrites the variables of `vs` with averages and buffers.
    ///
    /// # Errors
    /// [`TorchError::Mismatch`] when `vs` has not the variables that the average was made of; when libtorch refuses.
    pub fn copy_to(&self, vs: &mut VarStore) -> Result<(), TorchError> {
        weights::assign(&self.tensors(), vs)
    }
}

/// Copies the values of the same names; `from` has them all.
fn copy(to: &mut BTreeMap<String, Tensor>, from: &BTreeMap<String, Tensor>) -> Result<(), TorchError> {
    no_grad(|| to.iter_mut().try_for_each(|(name, tensor)| tensor.f_copy_(&from[name])))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    /// One trainable weight and one buffer, both 0.
    fn model() -> (VarStore, Tensor, Tensor) {
        let vs = VarStore::new(Device::Cpu);
        let (weight, buffer) = (vs.root().zeros("weight", &[2]), vs.root().zeros_no_train("buffer", &[1]));
        (vs, weight, buffer)
    }

    fn fill(tensor: &mut Tensor, value: f64) {
        let _ = no_grad(|| tensor.fill_(value));
    }

    #[test]
    fn weights_are_averaged_and_buffers_copied() {
        let (vs, mut weight, mut buffer) = model();
        let mut ema = WeightEma::new(&vs, 0.75, false).unwrap();
        fill(&mut weight, 1.0);
        fill(&mut buffer, 7.0);
        ema.update(&vs).unwrap();
        assert_eq!(ema.tensors()["weight"], Tensor::from_slice(&[0.25_f32, 0.25]));
        assert_eq!(ema.tensors()["buffer"], Tensor::from_slice(&[7.0_f32]));
        assert!(ema.tensors().values().all(|tensor| !tensor.requires_grad()));
    }

    #[test]
    fn an_average_put_back_continues_bit_for_bit() {
        let (vs, mut weight, _buffer) = model();
        let mut ema = WeightEma::new(&vs, 0.999, true).unwrap();
        for step in 0..3 {
            fill(&mut weight, f64::from(step));
            ema.update(&vs).unwrap();
        }
        let mut other = WeightEma::new(&vs, 0.999, true).unwrap();
        other.load(&ema.tensors(), ema.num_updates()).unwrap();
        fill(&mut weight, 9.0);
        ema.update(&vs).unwrap();
        other.update(&vs).unwrap();
        assert_eq!(ema.tensors(), other.tensors());
    }

    #[test]
    fn copying_back_changes_the_model() {
        let (mut vs, mut weight, _buffer) = model();
        let ema = WeightEma::new(&vs, 0.5, false).unwrap();
        fill(&mut weight, 3.0);
        ema.copy_to(&mut vs).unwrap();
        assert_eq!(weight.sum(Kind::Float).double_value(&[]), 0.0);
        assert!(weight.requires_grad());
    }

    #[test]
    fn another_model_is_refused() {
        let (vs, ..) = model();
        let mut ema = WeightEma::new(&vs, 0.5, false).unwrap();
        let other = VarStore::new(Device::Cpu);
        let _ = other.root().zeros("weight", &[3]);
        let message = ema.update(&other).unwrap_err().to_string();
        assert!(message.contains("`weight`") && message.contains("`buffer`"), "{message}");
    }

    #[test]
    fn a_decay_outside_its_range_is_refused() {
        let message = WeightEma::new(&model().0, 1.5, false).unwrap_err().to_string();
        assert_eq!(message, "`ema_decay`: must be in [0, 1], found 1.5");
    }
}
