//! Precision and recall, density and coverage: whether generated features lie among the real ones, and the other way.

use tch::{Kind, Tensor};

use crate::MetricsError;

/// Rows compared at a time, so that memory stays small.
const ROWS: i64 = 1024;

/// Features, each with a ball that reaches to its k-th nearest neighbour among them.
#[derive(Debug)]
pub struct Manifold {
    /// `[N, D]`, f64.
    features: Tensor,
    /// `[N]`, f64.
    radii: Tensor,
    neighbours: i64,
}

/// How two sets of features cover each other; all shares but the density, which is 1 for equal distributions and may exceed it.
///
/// ```
/// use tch::{Device, Kind, Tensor};
/// use vqkit_metrics::{Coverage, Manifold};
///
/// let features = Tensor::randn([100, 4], (Kind::Float, Device::Cpu));
/// let (real, fake) = (Manifold::new(&features, 3)?, Manifold::new(&(&features + 100.0), 3)?);
/// assert_eq!(Coverage::between(&real, &fake).precision, 0.0);
/// assert_eq!(Coverage::between(&real, &real).recall, 1.0);
/// # Ok::<(), vqkit_metrics::MetricsError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Coverage {
    /// Share of the generated that lie in a ball of a real one (Kynkäänniemi et al. 2019).
    pub precision: f64,
    /// Share of the real that lie in a ball of a generated one.
    pub recall: f64,
    /// Real balls in which a generated one lies, over k, averaged (Naeem et al. 2020, eq. 4).
    pub density: f64,
    /// Share of the real whose ball has a generated one in it (there, eq. 5).
    pub coverage: f64,
}

impl Manifold {
    /// Of features `[N, D]`, with the k-th nearest neighbour for the radius; distances are Euclidean, in f64.
    ///
    /// # Errors
    /// [`MetricsError::Few`] where some feature has no k-th neighbour.
    pub fn new(features: &Tensor, neighbours: i64) -> Result<Self, MetricsError> {
        let features = features.detach().to_kind(Kind::Double);
        let count = features.size()[0];
        if count <= neighbours {
            let (figure, least) = ("a manifold of nearest neighbours", neighbours + 1);
            return Err(MetricsError::Few { figure, what: "features", least, got: count });
        }
        // Each is its own nearest, at the distance 0.
        let radii = |rows: Tensor| distances(&rows, &features).kthvalue(neighbours + 1, -1, false).0;
        let radii: Vec<Tensor> = features.split(ROWS, 0).into_iter().map(radii).collect();
        Ok(Self { radii: Tensor::cat(&radii, 0), features, neighbours })
    }

    /// The radius `[N]` of every ball.
    pub fn radii(&self) -> &Tensor {
        &self.radii
    }

    /// In how many balls each of other features lies: `[M, D]` to `[M]`, i64.
    pub fn balls_around(&self, others: &Tensor) -> Tensor {
        let inside = |rows: Tensor| {
            let inside = distances(&rows, &self.features).le_tensor(&self.radii);
            inside.sum_dim_intlist([-1i64].as_slice(), false, Kind::Int64)
        };
        let counts: Vec<Tensor> = others.to_kind(Kind::Double).split(ROWS, 0).into_iter().map(inside).collect();
        Tensor::cat(&counts, 0)
    }

    /// Whether the ball of each has one of other features in it: `[N]`, bool.
    fn reached_by(&self, others: &Self) -> Tensor {
        let nearest = |rows: Tensor| distances(&rows, &others.features).amin([-1], false);
        let nearest: Vec<Tensor> = self.features.split(ROWS, 0).into_iter().map(nearest).collect();
        Tensor::cat(&nearest, 0).le_tensor(&self.radii)
    }
}

impl Coverage {
    /// Of generated features against real ones, both with as many neighbours.
    pub fn between(real: &Manifold, fake: &Manifold) -> Self {
        let mean = |tensor: &Tensor| tensor.to_kind(Kind::Double).mean(Kind::Double).double_value(&[]);
        let around_fake = real.balls_around(&fake.features);
        Self {
            precision: mean(&around_fake.gt(0)),
            recall: mean(&fake.balls_around(&real.features).gt(0)),
            density: mean(&around_fake) / real.neighbours as f64,
            coverage: mean(&real.reached_by(fake)),
        }
    }
}

/// `[A, D]` and `[B, D]` to `[A, B]`. Of many rows by products, which in f64 leaves digits enough for what is near.
fn distances(rows: &Tensor, others: &Tensor) -> Tensor {
    Tensor::cdist(rows, others, 2.0, None::<i64>)
}
