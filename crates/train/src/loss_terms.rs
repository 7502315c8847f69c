//! The terms of a step's loss, by name.

use tch::Tensor;

/// Scalars by name, in the order in which they were first added; for a step in several parts, their mean.
#[derive(Debug, Default)]
pub struct LossTerms(Vec<(&'static str, Tensor)>);

impl LossTerms {
    /// Adds a part's term, with the weight `share` in the step.
    pub fn add(&mut self, name: &'static str, value: &Tensor, share: f64) {
        let part = value.detach() * share;
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum += part,
            None => self.0.push((name, part)),
        }
    }

    /// All terms by name.
    pub fn parts(&self) -> Vec<(&str, &Tensor)> {
        self.0.iter().map(|(name, value)| (*name, value)).collect()
    }

    /// All terms as numbers; waits for the device.
    pub fn metrics(&self) -> Vec<(String, f64)> {
        self.0.iter().map(|(name, value)| ((*name).to_owned(), value.double_value(&[]))).collect()
    }
}
