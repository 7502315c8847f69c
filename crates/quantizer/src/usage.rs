//! The usage of codebooks over an epoch: how many codes are used, and how evenly.

use tch::{Device, Kind, Tensor};
use vqkit_torch::TokenGrid;

use crate::QuantizeError;

/// How often each code of each codebook was used.
///
/// Adding never waits for the device; reading a measure does.
///
/// ```
/// use tch::Tensor;
/// use vqkit_quantizer::Usage;
/// use vqkit_torch::TokenGrid;
///
/// let mut usage = Usage::new(&[4], tch::Device::Cpu);
/// usage.add(&TokenGrid::new(Tensor::from_slice(&[0i64, 0, 1, 1]).view([2, 1, 2]), vec![4])?)?;
/// assert_eq!(usage.usage(), 0.5);
/// assert!((usage.perplexity() - 2.0).abs() < 1e-9);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Usage {
    codebooks: Vec<CodebookUsage>,
}

impl Usage {
    /// Nothing counted yet, for codebooks of these sizes.
    pub fn new(sizes: &[i64], device: Device) -> Self {
        Self { codebooks: sizes.iter().map(|&size| CodebookUsage::new(size, device)).collect() }
    }

    /// Counts every index of a grid `[B, Q, *S]`, whose values have to lie in range.
    ///
    /// # Errors
    /// When the grid's codebooks have other sizes.
    pub fn add(&mut self, grid: &TokenGrid) -> Result<(), QuantizeError> {
        let sizes: Vec<_> = self.codebooks.iter().map(|codebook| codebook.counts.size()[0]).collect();
        if grid.sizes != sizes {
            let want = format!("indices of codebooks of {sizes:?} codes");
            return Err(QuantizeError::Shape { what: "grid", want, got: grid.sizes.clone() });
        }
        for (q, codebook) in self.codebooks.iter_mut().enumerate() {
            codebook.add(&grid.indices.select(1, q as i64))?;
        }
        Ok(())
    }

    /// Each codebook by itself.
    pub fn codebooks(&self) -> &[CodebookUsage] {
        &self.codebooks
    }

    /// Share of codes used at least once, mean over the codebooks; 0 before anything was added.
    pub fn usage(&self) -> f64 {
        self.mean(CodebookUsage::usage)
    }

    /// Whether fewer than `least` of the codes of some codebook were used, although at least as many tokens as it has
    /// codes were counted.
    pub fn is_collapsed(&self, least: f64) -> bool {
        self.codebooks.iter().any(|codebook| codebook.is_collapsed(least))
    }

    /// Perplexity, mean over the codebooks.
    pub fn perplexity(&self) -> f64 {
        self.mean(CodebookUsage::perplexity)
    }

    /// Entropy of the codes in nats, mean over the codebooks.
    pub fn entropy(&self) -> f64 {
        self.mean(CodebookUsage::entropy)
    }

    fn mean(&self, figure: impl Fn(&CodebookUsage) -> f64) -> f64 {
        self.codebooks.iter().map(figure).sum::<f64>() / self.codebooks.len().max(1) as f64
    }
}

/// How often each code of one codebook was used.
#[derive(Debug)]
pub struct CodebookUsage {
    counts: Tensor,
}

impl CodebookUsage {
    fn new(size: i64, device: Device) -> Self {
        Self { counts: Tensor::zeros([size], (Kind::Int64, device)) }
    }

    fn add(&mut self, indices: &Tensor) -> Result<(), QuantizeError> {
        let indices = indices.f_reshape([-1])?;
        let _ = self.counts.f_scatter_add_(0, &indices, &indices.ones_like())?;
        Ok(())
    }

    /// Uses of each code, `[K]`, i64.
    pub fn counts(&self) -> &Tensor {
        &self.counts
    }

    /// Tokens counted.
    pub fn tokens(&self) -> i64 {
        self.counts.sum(Kind::Int64).int64_value(&[])
    }

    /// Share of codes used at least once.
    pub fn usage(&self) -> f64 {
        self.counts.gt(0).to_kind(Kind::Double).mean(Kind::Double).double_value(&[])
    }

    /// Whether fewer than `least` of the codes were used, although at least as many tokens as there are codes were
    /// counted.
    pub fn is_collapsed(&self, least: f64) -> bool {
        self.tokens() >= self.counts.size()[0] && self.usage() < least
    }

    /// Entropy of the codes, in nats: `-Σ p ln p`.
    pub fn entropy(&self) -> f64 {
        let counts = self.counts.to_kind(Kind::Double);
        let shares = &counts / counts.sum(Kind::Double).clamp_min(1.0);
        shares.special_entr().sum(Kind::Double).double_value(&[])
    }

    /// `exp` of the entropy: the number of equally frequent codes with that entropy.
    pub fn perplexity(&self) -> f64 {
        self.entropy().exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(indices: &[i64]) -> Usage {
        let mut usage = Usage::new(&[8], Device::Cpu);
        let indices = Tensor::from_slice(indices).view([1, 1, -1]);
        usage.add(&TokenGrid::new(indices, vec![8]).unwrap()).unwrap();
        usage
    }

    #[test]
    fn a_collapse_is_called_once_there_are_as_many_tokens_as_codes() {
        assert!(!after(&[3; 7]).is_collapsed(0.2));
        assert!(after(&[3; 8]).is_collapsed(0.2));
        assert!(!after(&[3, 3, 3, 3, 3, 3, 3, 5]).is_collapsed(0.2));
    }
}
