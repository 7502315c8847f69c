//! Metrics of sets of features against definitions written out.

use tch::{Device, Kind, Tensor};
use vqkit_metrics::{
    InceptionScore, KernelDistance, KernelDistanceConfig, Manifold, MetricsError, Neighbours, Overlap,
};

fn features(seed: i64, count: i64, width: i64) -> Vec<Vec<f64>> {
    let mut state = seed as u64;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as f64 / f64::from(1u32 << 31) * 2.0 - 1.0
    };
    (0..count).map(|_| (0..width).map(|_| next()).collect()).collect()
}

fn tensor(rows: &[Vec<f64>]) -> Tensor {
    Tensor::from_slice(&rows.concat()).view([rows.len() as i64, -1])
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

fn radius(of: usize, among: &[Vec<f64>], neighbours: usize) -> f64 {
    let mut all: Vec<f64> = among.iter().map(|other| distance(&among[of], other)).collect();
    all.sort_by(f64::total_cmp);
    all[neighbours]
}

#[test]
fn density_and_coverage_are_those_of_the_definition() {
    let (real, fake) = (features(1, 40, 3), features(2, 30, 3));
    let fake: Vec<Vec<f64>> = fake.iter().map(|row| row.iter().map(|x| x * 0.7 + 0.2).collect()).collect();
    let k = 5;
    let radii: Vec<f64> = (0..real.len()).map(|row| radius(row, &real, k)).collect();
    let inside =
        |fake: &[f64]| real.iter().zip(&radii).filter(|(real, radius)| distance(real, fake) <= **radius).count();
    let density = fake.iter().map(|fake| inside(fake)).sum::<usize>() as f64 / (k * fake.len()) as f64;
    let reached = |(row, radius): (&Vec<f64>, &f64)| fake.iter().any(|fake| distance(row, fake) <= *radius);
    let coverage = real.iter().zip(&radii).filter(|pair| reached(*pair)).count() as f64 / real.len() as f64;
    let manifold = |rows: &[Vec<f64>]| Manifold::new(&tensor(rows), k as i64).unwrap();
    let found = Overlap::between(&manifold(&real), &manifold(&fake), Neighbours::default());
    assert!((found.density() - density).abs() < 1e-12, "{} is not {density}", found.density());
    assert!((found.coverage() - coverage).abs() < 1e-12, "{} is not {coverage}", found.coverage());
    assert!(density > 0.2 && coverage > 0.2 && coverage < 1.0);
}

#[test]
fn the_kernel_distance_of_one_subset_is_that_of_the_definition() {
    let (real, fake) = (features(3, 12, 4), features(4, 12, 4));
    let kernel = |a: &[f64], b: &[f64]| (a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / 4.0 + 1.0).powi(3);
    let within = |rows: &[Vec<f64>]| {
        let pairs = (0..12).flat_map(|i| (0..12).map(move |j| (i, j))).filter(|(i, j)| i != j);
        pairs.map(|(i, j)| kernel(&rows[i], &rows[j])).sum::<f64>() / (12.0 * 11.0)
    };
    let across = real.iter().flat_map(|a| fake.iter().map(|b| kernel(a, b))).sum::<f64>() / 144.0;
    let want = within(&real) + within(&fake) - 2.0 * across;
    let config = KernelDistanceConfig { subsets: 3, subset_size: 12, seed: 1 };
    let found = KernelDistance::between(&tensor(&real), &tensor(&fake), &config).unwrap();
    assert!((found.mean - want).abs() < 1e-12 && found.std < 1e-12, "{found:?}, want {want}");
}

#[test]
fn subsets_spread_and_a_seed_gives_the_same_again() {
    let (real, fake) = (tensor(&features(5, 200, 4)), tensor(&features(6, 200, 4)));
    let estimate = |seed| {
        let config = KernelDistanceConfig { subsets: 20, subset_size: 50, seed };
        KernelDistance::between(&real, &fake, &config).unwrap()
    };
    assert_eq!(estimate(1), estimate(1));
    assert_ne!(estimate(1), estimate(2));
    assert!(estimate(1).std > 0.0 && estimate(1).mean.abs() < 3.0 * estimate(1).std, "{:?}", estimate(1));
}

#[test]
fn too_few_is_said() {
    let few = tensor(&features(7, 5, 2));
    let message = |error: MetricsError| error.to_string();
    assert_eq!(
        message(Manifold::new(&few, 5).unwrap_err()),
        "a manifold of nearest neighbours takes at least 6 features, got 5"
    );
    let config = KernelDistanceConfig::default();
    let refused = KernelDistance::between(&few, &few, &config).unwrap_err();
    assert_eq!(message(refused), "the kernel distance takes at least 1000 features, got 5");
    assert_eq!(message(InceptionScore::new(3, 10).unwrap_err()), "the Inception Score takes at least 10 images, got 3");
}

#[test]
fn an_uncertain_classifier_scores_one() {
    let mut score = InceptionScore::new(10, 2).unwrap();
    score.add(&Tensor::ones([10, 7], (Kind::Float, Device::Cpu)));
    assert!((score.mean() - 1.0).abs() < 1e-12 && score.std() < 1e-12);
}

/// Certain predictions of ten classes, sorted by class, as files are whose names begin with it.
fn sorted_by_class() -> Tensor {
    let classes = Tensor::arange(200, (Kind::Int64, Device::Cpu)).divide_scalar_mode(20, "floor");
    classes.one_hot(10).to_kind(Kind::Float)
}

#[test]
fn the_inception_score_does_not_fall_where_names_are_sorted_by_class() {
    let of = |mut score: InceptionScore, rows: &Tensor| {
        rows.split(7, 0).iter().for_each(|batch| score.add(batch));
        score.mean()
    };
    let sorted = sorted_by_class();
    let in_order = of(InceptionScore::in_order(200, 10).unwrap(), &sorted);
    assert!((in_order - 1.0).abs() < 1e-9, "{in_order}");
    let permuted = of(InceptionScore::new(200, 10).unwrap(), &sorted);
    let order = vqkit_torch::numpy::permutation(2020, 200);
    let by_hand = of(InceptionScore::in_order(200, 10).unwrap(), &sorted.index_select(0, &Tensor::from_slice(&order)));
    assert!((permuted - by_hand).abs() < 1e-9 && permuted > 7.0, "{permuted} {by_hand}");
}
