//! The Inception Score.

use tch::{Kind, Tensor};
use vqkit_torch::numpy;

use crate::MetricsError;

/// Seed of the permutation before splitting, as torch-fidelity's `rng_seed`.
const SEED: u32 = 2020;

/// `exp(E KL(p(y|x) ‖ p(y)))`, mean over splits of the images (Salimans et al. 2016, section 4), gathered batch by batch in f64: nothing is
/// kept but sums.
///
/// Which images share a split matters: a split of one class has the score 1. [`InceptionScore::new`] therefore splits after a fixed
/// permutation, as torch-fidelity does (`shuffle`, seed 2020); [`InceptionScore::in_order`] takes contiguous splits, as the first
/// implementations do.
///
/// ```
/// use tch::Tensor;
/// use vqkit_metrics::InceptionScore;
///
/// // Four images of four classes, without a doubt.
/// let mut score = InceptionScore::new(4, 1)?;
/// score.add(&Tensor::eye(4, (tch::Kind::Float, tch::Device::Cpu)));
/// assert!((score.mean() - 4.0).abs() < 1e-9);
/// # Ok::<(), vqkit_metrics::MetricsError>(())
/// ```
#[derive(Debug)]
pub struct InceptionScore {
    /// The split of every image.
    split_of: Vec<i64>,
    splits: Vec<Split>,
    added: usize,
}

#[derive(Debug)]
struct Split {
    count: i64,
    /// Σ p, `[K]`.
    probabilities: Tensor,
    /// Σ Σ p ln p.
    negative_entropy: f64,
}

impl InceptionScore {
    /// Nothing gathered yet of `total` images, of which a fixed permutation makes `splits` splits.
    ///
    /// # Errors
    /// [`MetricsError::Few`] where there are fewer images than splits, or no split.
    pub fn new(total: i64, splits: i64) -> Result<Self, MetricsError> {
        let mut score = Self::in_order(total, splits)?;
        let in_order = score.split_of.clone();
        for (place, image) in numpy::permutation(SEED, total).into_iter().enumerate() {
            score.split_of[image as usize] = in_order[place];
        }
        Ok(score)
    }

    /// As [`InceptionScore::new`], without the permutation: the splits are contiguous.
    ///
    /// # Errors
    /// As [`InceptionScore::new`].
    pub fn in_order(total: i64, splits: i64) -> Result<Self, MetricsError> {
        if splits < 1 || total < splits {
            let least = splits.max(1);
            return Err(MetricsError::Few { metric: "the Inception Score", what: "images", least, got: total });
        }
        let size = |split: i64| (split + 1) * total / splits - split * total / splits;
        let split_of = (0..splits).flat_map(|split| std::iter::repeat_n(split, size(split) as usize)).collect();
        Ok(Self { split_of, splits: Vec::new(), added: 0 })
    }

    /// Adds the probabilities `[B, K]` that a classifier gives images; rows are scaled to the sum 1. Rows beyond the promised total are
    /// left out.
    pub fn add(&mut self, probabilities: &Tensor) {
        let rows = probabilities.detach().to_device(tch::Device::Cpu).to_kind(Kind::Double);
        let rows = &rows / rows.sum_dim_intlist([-1i64].as_slice(), true, Kind::Double);
        if self.splits.is_empty() {
            let count = self.split_of.iter().max().map_or(0, |last| *last as usize + 1);
            let probabilities = Tensor::zeros([rows.size()[1]], (Kind::Double, tch::Device::Cpu));
            let none = || Split { count: 0, probabilities: probabilities.copy(), negative_entropy: 0.0 };
            self.splits.resize_with(count, none);
        }
        let end = self.split_of.len().min(self.added + rows.size()[0] as usize);
        let split_of = &self.split_of[self.added..end];
        for (split, sums) in (0..).zip(&mut self.splits) {
            let of_split: Vec<i64> =
                (0..).zip(split_of).filter(|(_, found)| **found == split).map(|(row, _)| row).collect();
            if !of_split.is_empty() {
                sums.add(&rows.index_select(0, &Tensor::from_slice(&of_split)));
            }
        }
        self.added = end;
    }

    /// The mean over the splits.
    pub fn mean(&self) -> f64 {
        let scores = self.splits.iter().map(Split::score);
        scores.sum::<f64>() / self.splits.len() as f64
    }

    /// The standard deviation over the splits, as of a population.
    pub fn std(&self) -> f64 {
        let mean = self.mean();
        let squares = self.splits.iter().map(|split| (split.score() - mean).powi(2));
        (squares.sum::<f64>() / self.splits.len() as f64).sqrt()
    }
}

impl Split {
    fn add(&mut self, rows: &Tensor) {
        self.count += rows.size()[0];
        self.negative_entropy += rows.xlogy(rows).sum(Kind::Double).double_value(&[]);
        self.probabilities += rows.sum_dim_intlist([0i64].as_slice(), false, Kind::Double);
    }

    fn score(&self) -> f64 {
        let mean = &self.probabilities / self.count as f64;
        let of_mean = mean.xlogy(&mean).sum(Kind::Double).double_value(&[]);
        (self.negative_entropy / self.count as f64 - of_mean).exp()
    }
}
