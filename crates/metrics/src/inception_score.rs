//! The Inception Score.

use tch::{Kind, Tensor};

use crate::MetricsError;

/// `exp(E KL(p(y|x) ‖ p(y)))` over contiguous splits of the images (Salimans et al. 2016, section 4), gathered batch by batch in
/// f64: nothing is kept but sums.
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
    /// Images of a split; the last may have fewer.
    of_split: i64,
    splits: Vec<Split>,
    added: i64,
}

#[derive(Debug)]
struct Split {
    count: i64,
    /// Σ p, `[K]`.
    probabilities: Option<Tensor>,
    /// Σ Σ p ln p.
    negative_entropy: f64,
}

impl InceptionScore {
    /// Nothing gathered yet of `total` images, which will come in `splits` contiguous splits.
    ///
    /// # Errors
    /// [`MetricsError::Few`] where there are fewer images than splits, or no split.
    pub fn new(total: i64, splits: i64) -> Result<Self, MetricsError> {
        if splits < 1 || total < splits {
            let least = splits.max(1);
            return Err(MetricsError::Few { metric: "the Inception Score", what: "images", least, got: total });
        }
        let of_split = (total + splits - 1) / splits;
        Ok(Self { of_split, splits: Vec::new(), added: 0 })
    }

    /// Adds the probabilities `[B, K]` that a classifier gives images; rows are scaled to the sum 1.
    pub fn add(&mut self, probabilities: &Tensor) {
        let rows = probabilities.detach().to_device(tch::Device::Cpu).to_kind(Kind::Double);
        let rows = &rows / rows.sum_dim_intlist([-1i64].as_slice(), true, Kind::Double);
        let (count, mut start) = (rows.size()[0], 0);
        while start < count {
            let inside = self.added % self.of_split;
            if inside == 0 {
                self.splits.push(Split { count: 0, probabilities: None, negative_entropy: 0.0 });
            }
            let length = (self.of_split - inside).min(count - start);
            if let Some(split) = self.splits.last_mut() {
                split.add(&rows.narrow(0, start, length));
            }
            (start, self.added) = (start + length, self.added + length);
        }
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
        let sum = rows.sum_dim_intlist([0i64].as_slice(), false, Kind::Double);
        self.probabilities = Some(self.probabilities.take().map_or(sum.shallow_clone(), |before| before + sum));
    }

    fn score(&self) -> f64 {
        let Some(sum) = &self.probabilities else { return f64::NAN };
        let mean = sum / self.count as f64;
        let of_mean = mean.xlogy(&mean).sum(Kind::Double).double_value(&[]);
        (self.negative_entropy / self.count as f64 - of_mean).exp()
    }
}
