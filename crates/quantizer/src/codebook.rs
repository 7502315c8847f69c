//! Shared by the quantizers that keep a table of codes: the table, its initialization, the ages of codes and their
//! revival.

use tch::{Kind, Tensor, nn};
use vqkit_torch::TokenGrid;

use crate::kmeans::{Clusters, kmeans};
use crate::latents::FlatLatents;
use crate::nearest::nearest;
use crate::quantized::one_codebook;
use crate::sampling::sample;
use crate::{CodebookView, Metric, Mode, QuantizeError};

/// Codes `[K, D]` and the state that goes with them, all of it in the `VarStore`.
#[derive(Debug)]
pub(crate) struct Codebook {
    /// `embedding.weight` `[K, D]`.
    pub weight: Tensor,
    /// `age` `[K]`: updates since a code was last used.
    age: Tensor,
    /// `initted` `[1]`: 1 once the codebook has its first values.
    initted: Tensor,
    metric: Metric,
    sample_temperature: f64,
    kmeans_init: bool,
    revive_after: u64,
}

/// How a [`Codebook`] is made.
pub(crate) struct CodebookConfig {
    pub size: i64,
    pub dim: i64,
    pub metric: Metric,
    pub sample_temperature: f64,
    pub kmeans_init: bool,
    pub revive_after: u64,
    /// Whether the codes are trained by gradient.
    pub trainable: bool,
}

/// Codes to be replaced, and their replacements.
pub(crate) struct Revival {
    /// Bool `[K]`.
    pub dead: Tensor,
    /// `[K, D]`: latents of the batch.
    pub replacements: Tensor,
}

impl Revival {
    /// `state` `[K, ...]` with the rows of dead codes taken from `fresh`.
    pub fn renew(&self, state: &mut Tensor, fresh: &Tensor) {
        let dead = if state.dim() == 2 { self.dead.unsqueeze(-1) } else { self.dead.shallow_clone() };
        let renewed = fresh.where_self(&dead, state);
        state.copy_(&renewed);
    }
}

impl Codebook {
    /// Codes start uniform in `±1/K`, as in the authors' implementation, until [`Codebook::initialize`].
    pub fn new(vs: &nn::Path, config: &CodebookConfig) -> Self {
        let CodebookConfig { size, dim, metric, sample_temperature, kmeans_init, revive_after, trainable } = *config;
        let unit = Tensor::rand([size, dim], (Kind::Float, vs.device()));
        let weight = (vs / "embedding").add("weight", (unit * 2.0 - 1.0) / size as f64, trainable);
        Self {
            weight,
            age: vs.zeros_no_train("age", &[size]),
            initted: vs.zeros_no_train("initted", &[1]),
            metric,
            sample_temperature,
            kmeans_init,
            revive_after,
        }
    }

    pub fn size(&self) -> i64 {
        self.weight.size()[0]
    }

    pub fn dim(&self) -> i64 {
        self.weight.size()[1]
    }

    /// FlatLatents of latents, checked against this codebook, as they are compared with its codes.
    pub fn rows(&self, latents: &Tensor) -> Result<FlatLatents, QuantizeError> {
        Ok(FlatLatents::of(latents, self.dim())?.map(|points| self.metric.apply(points)))
    }

    /// The codes `[K, D]` as they are compared and given out, with a gradient to the table where `trainable`.
    pub fn table(&self, trainable: bool) -> Tensor {
        self.metric.apply(&if trainable { self.weight.shallow_clone() } else { self.weight.detach() })
    }

    /// The code `[N]` of each point `[N, D]`: the nearest of `table`, or in training perhaps another near one.
    pub fn assign(&self, points: &Tensor, table: &Tensor, mode: Mode) -> Result<Tensor, QuantizeError> {
        if self.sample_temperature > 0.0 && matches!(mode, Mode::Train { .. }) {
            return sample(points, table, self.sample_temperature);
        }
        Ok(nearest(points, table)?.indices)
    }

    /// Sets the codes from a first batch, once; returns the clusters that they were set to.
    pub fn initialize(&mut self, latents: &Tensor) -> Result<Option<Clusters>, QuantizeError> {
        let rows = self.rows(latents)?;
        if self.initted.double_value(&[0]) > 0.0 {
            return Ok(None);
        }
        let clusters = if self.kmeans_init { Some(kmeans(&rows.points, self.size(), self.metric)?) } else { None };
        tch::no_grad(|| {
            if let Some(Clusters { centres, .. }) = &clusters {
                self.weight.copy_(centres);
            }
            let _ = self.initted.fill_(1.0);
        });
        Ok(clusters)
    }

    /// Counts one more step for the codes that a batch did not use, and finds those that are due for revival.
    ///
    /// `points` `[N, D]`, `used` `[K]` how often each code was chosen, `weights` `[N]` which points count.
    /// Never waits for a device other than the CPU, where mostly nothing is left to do.
    pub fn grow_old(&mut self, points: &Tensor, used: &Tensor, weights: Option<&Tensor>) -> Option<Revival> {
        let aged = (&self.age + 1.0) * used.eq(0.0);
        self.age.copy_(&aged);
        if self.revive_after == 0 || points.size()[0] == 0 {
            return None;
        }
        let dead = self.age.ge(self.revive_after as f64);
        if !dead.device().is_cuda() && dead.any().int64_value(&[]) == 0 {
            return None;
        }
        let (order, eligible) = shuffled(points, weights);
        let dead = dead.logical_and(&eligible.gt(0.0));
        let turn = Tensor::arange(self.size(), (Kind::Int64, points.device()));
        let pick = turn.remainder_tensor(&eligible.clamp_min(1.0).to_kind(Kind::Int64));
        let replacements = points.index_select(0, &order.index_select(0, &pick));
        let young = self.age.zeros_like();
        let revival = Revival { dead, replacements };
        revival.renew(&mut self.age, &young);
        Some(revival)
    }

    /// The codes and their ages.
    pub fn view(&self) -> CodebookView {
        CodebookView { codes: self.table(false), ages: Some(self.age.shallow_clone()) }
    }

    /// Codes `[B, D, *S]` of a grid with one codebook.
    pub fn lookup(&self, grid: &TokenGrid) -> Result<Tensor, QuantizeError> {
        lookup(&self.table(false), grid)
    }
}

/// FlatLatents of a table `[K, D]` as codes `[B, D, *S]` of a grid with one codebook.
pub(crate) fn lookup(table: &Tensor, grid: &TokenGrid) -> Result<Tensor, QuantizeError> {
    let indices = one_codebook(grid, table.size()[0])?;
    Ok(Tensor::embedding(table, &indices, -1, false, false).movedim_int(-1, 1))
}

/// A random order `[N]` of the points in which those of weight 1 come first, and their number (a scalar).
fn shuffled(points: &Tensor, weights: Option<&Tensor>) -> (Tensor, Tensor) {
    let (count, device) = (points.size()[0], points.device());
    match weights {
        None => (
            Tensor::randperm(count, (Kind::Int64, device)),
            Tensor::full([] as [i64; 0], count as f64, (Kind::Float, device)),
        ),
        Some(weights) => {
            let keys = Tensor::rand([count], (Kind::Float, device)) - weights;
            (keys.argsort(-1, false), weights.sum(Kind::Float))
        }
    }
}
