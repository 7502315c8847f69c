//! Precision and recall, density and coverage: whether generated features lie among the real ones, and the other way.

use tch::{Kind, Tensor};

use crate::MetricsError;
use crate::features::width;

/// Rows compared at a time, so that memory stays small.
const ROWS: i64 = 1024;

/// Features, each with the distances to its nearest neighbours among them.
#[derive(Debug)]
pub struct Manifold {
    /// `[N, D]`, f64.
    features: Tensor,
    /// `[N, K]`, f64, nearest first.
    nearest: Tensor,
}

impl Manifold {
    /// Of features `[N, D]`, with balls that reach up to the `most`-th nearest neighbour; distances are Euclidean, in f64.
    ///
    /// # Errors
    /// [`MetricsError::Few`] where features have no such neighbour; [`MetricsError::Shape`] and [`MetricsError::NotFinite`] for what
    /// has no distances.
    pub fn new(features: &Tensor, most: i64) -> Result<Self, MetricsError> {
        width(features)?;
        let features = features.detach().to_kind(Kind::Double);
        let count = features.size()[0];
        if count <= most {
            let metric = "a manifold of nearest neighbours";
            return Err(MetricsError::Few { metric, what: "features", least: most + 1, got: count });
        }
        // Each is its own nearest, at the distance 0.
        let nearest = |rows: &Tensor| distances(rows, &features).topk(most + 1, -1, false, true).0.narrow(1, 1, most);
        let nearest: Vec<Tensor> = features.split(ROWS, 0).iter().map(nearest).collect();
        Ok(Self { nearest: Tensor::cat(&nearest, 0), features })
    }

    /// The distance `[N]` of each to its `k`-th nearest neighbour, from 1 on: the radius of its ball.
    pub fn radii(&self, k: i64) -> Tensor {
        self.nearest.select(1, k - 1)
    }
}

/// How many neighbours make a ball.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbours {
    /// For precision and recall. Default 3.
    pub precision: i64,
    /// For density and coverage. Default 5.
    pub density: i64,
}

impl Default for Neighbours {
    fn default() -> Self {
        Self { precision: 3, density: 5 }
    }
}

/// How two sets of features cover each other.
///
/// ```
/// use tch::{Device, Kind, Tensor};
/// use vqkit_metrics::{Manifold, Neighbours, Overlap};
///
/// let features = Tensor::randn([100, 4], (Kind::Float, Device::Cpu));
/// let (real, fake) = (Manifold::new(&features, 5)?, Manifold::new(&(&features + 100.0), 5)?);
/// assert_eq!(Overlap::between(&real, &fake, Neighbours::default()).precision(), 0.0);
/// assert_eq!(Overlap::between(&real, &real, Neighbours::default()).recall(), 1.0);
/// # Ok::<(), vqkit_metrics::MetricsError>(())
/// ```
#[derive(Debug)]
pub struct Overlap {
    /// Whether each of the generated lies in a ball of a real one, `[M]`.
    pub fake_inside: Tensor,
    /// Whether each of the real lies in a ball of a generated one, `[N]`.
    pub real_inside: Tensor,
    /// Whether the larger ball of each of the real has a generated one in it, `[N]`.
    pub real_reached: Tensor,
    density: f64,
}

impl Overlap {
    /// Of generated features against real ones.
    ///
    /// # Panics
    /// When the features have other widths.
    pub fn between(real: &Manifold, fake: &Manifold, neighbours: Neighbours) -> Self {
        let (small, large) = (real.radii(neighbours.precision), real.radii(neighbours.density));
        let of_fake = fake.radii(neighbours.precision).unsqueeze(1);
        let any = |inside: &Tensor, axis: i64| inside.any_dim(axis, false);
        let nobody = Tensor::zeros([real.features.size()[0]], (Kind::Bool, real.features.device()));
        let (mut real_inside, mut real_reached) = (nobody.shallow_clone(), nobody);
        let (mut fake_inside, mut balls, mut start) = (Vec::new(), 0.0, 0);
        for rows in fake.features.split(ROWS, 0) {
            let distances = distances(&rows, &real.features);
            let in_large = distances.le_tensor(&large);
            fake_inside.push(any(&distances.le_tensor(&small), 1));
            balls += in_large.sum(Kind::Double).double_value(&[]);
            real_reached = real_reached.logical_or(&any(&in_large, 0));
            let in_fake = distances.le_tensor(&of_fake.narrow(0, start, rows.size()[0]));
            real_inside = real_inside.logical_or(&any(&in_fake, 0));
            start += rows.size()[0];
        }
        let density = balls / (neighbours.density * start) as f64;
        Self { fake_inside: Tensor::cat(&fake_inside, 0), real_inside, real_reached, density }
    }

    /// Share of the generated that lie in a ball of a real one (Kynkäänniemi et al. 2019).
    pub fn precision(&self) -> f64 {
        share(&self.fake_inside)
    }

    /// Share of the real that lie in a ball of a generated one.
    pub fn recall(&self) -> f64 {
        share(&self.real_inside)
    }

    /// Real balls in which a generated one lies, over their neighbours, averaged (Naeem et al. 2020, eq. 4): about 1 for equal
    /// distributions, and above it where the generated crowd.
    pub fn density(&self) -> f64 {
        self.density
    }

    /// Share of the real whose ball has a generated one in it (there, eq. 5).
    pub fn coverage(&self) -> f64 {
        share(&self.real_reached)
    }
}

fn share(of: &Tensor) -> f64 {
    of.to_kind(Kind::Double).mean(Kind::Double).double_value(&[])
}

/// `[A, D]` and `[B, D]` to `[A, B]`. Of many rows by products, which in f64 leaves digits enough for what is near.
fn distances(rows: &Tensor, others: &Tensor) -> Tensor {
    Tensor::cdist(rows, others, 2.0, None::<i64>)
}
