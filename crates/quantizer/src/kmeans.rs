//! k-means, which initializes a codebook.

use tch::{Kind, Tensor};

use crate::nearest::nearest;
use crate::{Metric, QuantizeError};

/// Rounds of seeding: up to this many clusters, it is exactly that of k-means++.
const SEEDING_ROUNDS: i64 = 64;
/// Points per cluster that are used; more change little (the bound of Johnson et al. 2017, faiss).
const POINTS_PER_CLUSTER: i64 = 256;
/// Distances between points and centres that a step computes, at most: seconds on two cores. Large codebooks therefore see fewer points
/// per cluster, and from 2^14 codes on start as a random sample of the points.
const MOST_DISTANCES: i64 = 1 << 28;
/// Steps of Lloyd's algorithm.
const LLOYD_STEPS: usize = 10;

/// Centres and how many points each has.
pub(crate) struct Clusters {
    /// `[K, D]`.
    pub centres: Tensor,
    /// `[K]`, f32.
    pub sizes: Tensor,
}

/// Clusters points `[N, D]`, f32, given as `metric` compares them (its centres are such points too). Where there are no more points than
/// clusters, there is nothing to cluster: the centres are the points, repeated as often as it takes.
///
/// Draws from the default generator of the points' device.
pub(crate) fn kmeans(points: &Tensor, clusters: i64, metric: Metric) -> Result<Clusters, QuantizeError> {
    tch::no_grad(|| {
        let points = points.detach();
        let count = points.size()[0];
        if count == 0 {
            let want = "at least one position to initialize a codebook from".into();
            return Err(QuantizeError::Shape { what: "latents", want, got: points.size() });
        }
        let points = subset(points, clusters);
        if points.size()[0] <= clusters {
            return Ok(repeated(&points, clusters));
        }
        let mut centres = seed(&points, clusters)?;
        for _ in 0..LLOYD_STEPS {
            let (sums, sizes) = totals(&points, &nearest(&points, &centres)?.indices, clusters, None);
            let means = sums / sizes.clamp_min(1.0).unsqueeze(-1);
            centres = metric.apply(&means.where_self(&sizes.gt(0.0).unsqueeze(-1), &centres));
        }
        let (_, sizes) = totals(&points, &nearest(&points, &centres)?.indices, clusters, None);
        Ok(Clusters { centres, sizes })
    })
}

/// The points, or a random subset of as many as can be clustered in seconds, at least one per cluster.
fn subset(points: Tensor, clusters: i64) -> Tensor {
    let count = points.size()[0];
    let most = (clusters * POINTS_PER_CLUSTER).min((MOST_DISTANCES / clusters).max(clusters));
    match count > most {
        true => points.index_select(0, &Tensor::randperm(count, (Kind::Int64, points.device())).narrow(0, 0, most)),
        false => points,
    }
}

/// Every point as a centre, and again from the first on until there are enough; repeated centres have no points.
fn repeated(points: &Tensor, clusters: i64) -> Clusters {
    let count = points.size()[0];
    let options = (Kind::Float, points.device());
    let centres = points.repeat([(clusters + count - 1) / count, 1]).narrow(0, 0, clusters);
    let sizes = Tensor::cat(&[Tensor::ones([count], options), Tensor::zeros([clusters - count], options)], 0);
    Clusters { centres, sizes }
}

/// Sums `[K, D]` and numbers `[K]`, f32, of the points `[N, D]` that fell to each code, each point with its weight.
pub(crate) fn totals(points: &Tensor, indices: &Tensor, codes: i64, weights: Option<&Tensor>) -> (Tensor, Tensor) {
    let weighted = weights.map(|weights| points * weights.unsqueeze(-1));
    let points = weighted.as_ref().unwrap_or(points);
    let sums = Tensor::embedding_dense_backward(points, indices, codes, -1, false);
    (sums, counts(indices, codes, weights))
}

/// Numbers `[K]`, f32, of the indices `[N]` of each code, each with its weight.
pub(crate) fn counts(indices: &Tensor, codes: i64, weights: Option<&Tensor>) -> Tensor {
    let options = (Kind::Float, indices.device());
    let ones = weights.map_or_else(|| Tensor::ones(indices.size(), options), Tensor::shallow_clone);
    Tensor::zeros([codes], options).scatter_add(0, indices, &ones)
}

/// Seeds of k-means++ (Arthur and Vassilvitskii 2007): each further centre is drawn with a chance that grows with the
/// squared distance to the centres before; many at a time where there are many (as in Bahmani et al. 2012).
fn seed(points: &Tensor, clusters: i64) -> Result<Tensor, QuantizeError> {
    let step = (clusters + SEEDING_ROUNDS - 1) / SEEDING_ROUNDS;
    let first = Tensor::randint(points.size()[0], [1], (Kind::Int64, points.device()));
    let mut chosen = vec![points.index_select(0, &first)];
    let mut distances = nearest(points, &chosen[0])?.distances;
    let mut missing = clusters - 1;
    while missing > 0 {
        let draws = step.min(missing);
        // Every chance is above zero, so that enough points can be drawn even where most coincide.
        let chances = &distances + distances.mean(Kind::Float) * 1e-6 + 1e-30;
        let drawn = points.index_select(0, &chances.f_multinomial(draws, false)?);
        distances = distances.minimum(&nearest(points, &drawn)?.distances);
        chosen.push(drawn);
        missing -= draws;
    }
    Ok(Tensor::cat(&chosen, 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;
    use vqkit_testing::generator;

    const F32: (Kind, Device) = (Kind::Float, Device::Cpu);

    #[test]
    fn separated_clusters_are_found() {
        for seed in 0..5 {
            let _generator = generator(seed);
            let truth = Tensor::eye(12, F32) * 10.0;
            let labels = Tensor::randint(12, [600], (Kind::Int64, Device::Cpu));
            let points = truth.index_select(0, &labels) + Tensor::randn([600, 12], F32) * 0.1;
            let found = kmeans(&points, 12, Metric::Euclidean).unwrap();
            let nearest = nearest(&truth, &found.centres).unwrap();
            assert!(f64::try_from(nearest.distances.max()).unwrap() < 0.05, "seed {seed}");
            assert_eq!(f64::try_from(found.sizes.sum(Kind::Float)).unwrap(), 600.0);
        }
    }

    #[test]
    fn fewer_points_than_clusters_are_repeated() {
        let _generator = generator(4);
        let points = Tensor::randn([3, 2], F32);
        let found = kmeans(&points, 10, Metric::Euclidean).unwrap();
        assert_eq!(found.centres.size(), [10, 2]);
        assert!(f64::try_from(nearest(&found.centres, &points).unwrap().distances.max()).unwrap() < 1e-9);
        assert_eq!(f64::try_from(found.sizes.sum(Kind::Float)).unwrap(), 3.0);
    }

    #[test]
    fn large_codebooks_are_a_sample_of_distinct_points() {
        let _generator = generator(5);
        let (points, clusters) = (Tensor::arange(50_000, F32).unsqueeze(1), 1 << 15);
        let found = kmeans(&points, clusters, Metric::Euclidean).unwrap();
        let (distinct, ..) = found.centres.unique_dim(0, true, false, false);
        assert_eq!(distinct.size(), [clusters, 1]);
        for (clusters, most) in [(16, 16 * 256), (1 << 10, 1 << 18), (1 << 13, 1 << 15), (1 << 16, 1 << 16)] {
            let points = Tensor::zeros([1, 1], F32).expand([1 << 19, 1], false);
            assert_eq!(subset(points, clusters).size()[0], most, "{clusters}");
        }
    }

    #[test]
    fn no_points_are_an_error() {
        assert!(kmeans(&Tensor::zeros([0, 2], F32), 4, Metric::Euclidean).is_err());
    }

    #[test]
    fn totals_leave_out_points_of_weight_zero() {
        let points = Tensor::from_slice2(&[[1.0f32, 2.0], [3.0, 4.0], [5.0, 6.0]]);
        let indices = Tensor::from_slice(&[2i64, 0, 2]);
        let (sums, sizes) = totals(&points, &indices, 3, None);
        assert_eq!(sums, Tensor::from_slice2(&[[3.0f32, 4.0], [0.0, 0.0], [6.0, 8.0]]));
        assert_eq!(sizes, Tensor::from_slice(&[1.0f32, 0.0, 2.0]));
        let (sums, sizes) = totals(&points, &indices, 3, Some(&Tensor::from_slice(&[1.0f32, 1.0, 0.0])));
        assert_eq!(sums, Tensor::from_slice2(&[[3.0f32, 4.0], [0.0, 0.0], [1.0, 2.0]]));
        assert_eq!(sizes, Tensor::from_slice(&[1.0f32, 0.0, 1.0]));
    }
}
