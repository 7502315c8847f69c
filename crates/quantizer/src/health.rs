//! The health of one codebook at one time: usage, ages, and distances between codes.

use serde::Serialize;
use tch::{Kind, Tensor};

use crate::{CodebookView, QuantizeError};

/// Scores held at a time: 16 MiB of f32.
const BLOCK_SCORES: i64 = 1 << 22;
/// Pairs of codes compared by [`CodebookHealth::of`]: all of them up to `K = 32768`.
const MOST_PAIRS: i64 = 1 << 30;
/// Number of codes whose distances [`CodebookHealth::summary`] measures.
const SUMMARIZED: i64 = 1 << 10;
/// Codes nearer to another than this share of the median length of a code are duplicates.
const DUPLICATE: f64 = 1e-3;

/// Measures of a codebook that need no image.
///
/// ```
/// use tch::Tensor;
/// use vqkit_quantizer::{CodebookHealth, CodebookView};
///
/// let codes = Tensor::from_slice(&[0.0f32, 0.0, 3.0, 4.0, 3.0, 4.0]).view([3, 2]);
/// let counts = Tensor::from_slice(&[5i64, 5, 0]);
/// let health = CodebookHealth::of(&CodebookView { codes, ages: None }, Some(&counts))?;
/// assert_eq!(health.used.map(|used| (used.codes, used.perplexity.round())), Some((2, 2.0)));
/// assert_eq!(health.distances.map(|of| (of.smallest, of.largest, of.duplicates)), Some((0.0, 5.0, 2)));
/// # Ok::<(), vqkit_quantizer::QuantizeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CodebookHealth {
    /// Number of codes, K.
    pub size: i64,
    /// Width of a code, D.
    pub dim: i64,
    /// How many were used and how evenly, where counts of at least one token were given.
    pub used: Option<CodesUsed>,
    /// How long codes have not been used, where the quantizer keeps count.
    pub ages: Option<CodeAges>,
    /// Distances between codes; `None` where there is one code.
    pub distances: Option<CodeDistances>,
}

/// How many codes were used, and how evenly.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CodesUsed {
    /// Tokens counted.
    pub tokens: i64,
    /// Codes used at least once.
    pub codes: i64,
    /// Their share of all codes, 0 to 1.
    pub share: f64,
    /// `exp` of the entropy in nats: the number of equally frequent codes with that entropy.
    pub perplexity: f64,
}

/// Updates since codes were last used; 0 for those that the last batch used.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CodeAges {
    /// Half of all codes are at most this old.
    pub median: f64,
    /// Nine of ten codes are at most this old.
    pub ninth_decile: f64,
    /// The oldest code's.
    pub oldest: f64,
}

/// Euclidean distances from codes to their nearest other code, in the units of the codes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CodeDistances {
    /// Codes whose distance was measured, evenly spread over the codebook; to all others, each.
    pub measured: i64,
    /// The smallest distance.
    pub smallest: f64,
    /// The median distance.
    pub median: f64,
    /// The largest distance.
    pub largest: f64,
    /// The median length of a code.
    pub median_norm: f64,
    /// Number of measured codes that lie within a thousandth of `median_norm` of another, which is close to the
    /// precision of f32.
    pub duplicates: i64,
}

impl CodebookHealth {
    /// Measures codes `[K, D]`, ages `[K]`, and counts `[K]` of how often each code was used, i64.
    ///
    /// Takes `K² D` operations, and memory for three copies of the codes and some tens of MiB. Beyond 32768 codes only
    /// some are measured, so that the number of comparisons does not grow further.
    ///
    /// # Errors
    /// When the three do not fit each other.
    pub fn of(view: &CodebookView, counts: Option<&Tensor>) -> Result<Self, QuantizeError> {
        Self::measure(view, counts, i64::MAX)
    }

    /// As [`CodebookHealth::of`], with distances of at most 1024 codes: cheap enough for use in training.
    ///
    /// # Errors
    /// As [`CodebookHealth::of`].
    pub fn summary(view: &CodebookView, counts: Option<&Tensor>) -> Result<Self, QuantizeError> {
        Self::measure(view, counts, SUMMARIZED)
    }

    /// The health of `K` codes of width `D` that a rule gives: only their usage, by counts `[K]`, is measured.
    pub fn of_use(size: i64, dim: i64, counts: Option<&Tensor>) -> Self {
        Self { size, dim, used: counts.and_then(CodesUsed::of), ages: None, distances: None }
    }

    fn measure(view: &CodebookView, counts: Option<&Tensor>, most: i64) -> Result<Self, QuantizeError> {
        let CodebookView { codes, ages, .. } = view;
        let [size, dim] = codes.size()[..] else {
            return Err(QuantizeError::Shape { what: "codes", want: "[K, D]".into(), got: codes.size() });
        };
        for (what, of_codes) in [("counts", counts), ("ages", ages.as_ref())] {
            if let Some(got) = of_codes.map(Tensor::size).filter(|got| *got != [size]) {
                return Err(QuantizeError::Shape { what, want: format!("[{size}], as there are codes"), got });
            }
        }
        tch::no_grad(|| {
            Ok(Self {
                size,
                dim,
                used: counts.and_then(CodesUsed::of),
                ages: ages.as_ref().and_then(CodeAges::of),
                distances: CodeDistances::of(&codes.f_detach()?.f_to_kind(Kind::Float)?, most)?,
            })
        })
    }
}

impl CodesUsed {
    fn of(counts: &Tensor) -> Option<Self> {
        let counts = counts.to_kind(Kind::Double);
        let tokens = counts.sum(Kind::Double).double_value(&[]);
        let codes = counts.gt(0.0).sum(Kind::Int64).int64_value(&[]);
        let entropy = (&counts / tokens).special_entr().sum(Kind::Double).double_value(&[]);
        let share = codes as f64 / counts.numel().max(1) as f64;
        (tokens > 0.0).then(|| Self { tokens: tokens as i64, codes, share, perplexity: entropy.exp() })
    }
}

impl CodeAges {
    fn of(ages: &Tensor) -> Option<Self> {
        let sorted = Quantiles::of(ages)?;
        Some(Self { median: sorted.at(0.5), ninth_decile: sorted.at(0.9), oldest: sorted.at(1.0) })
    }
}

impl CodeDistances {
    fn of(codes: &Tensor, most: i64) -> Result<Option<Self>, QuantizeError> {
        let (size, device) = (codes.size()[0], codes.device());
        if size < 2 {
            return Ok(None);
        }
        let measured = most.min(MOST_PAIRS / size).clamp(1, size);
        let which = (Tensor::arange(measured, (Kind::Int64, device)) * size).f_floor_divide_scalar(measured)?;
        let distances = to_nearest_other(codes, &which)?;
        let norms = codes.f_norm_scalaropt_dim(2, [-1i64].as_slice(), false)?;
        let (Some(sorted), Some(norms)) = (Quantiles::of(&distances), Quantiles::of(&norms)) else { return Ok(None) };
        let median_norm = norms.at(0.5);
        let duplicates = distances.le(DUPLICATE * median_norm).sum(Kind::Int64).int64_value(&[]);
        let (smallest, median, largest) = (sorted.at(0.0), sorted.at(0.5), sorted.at(1.0));
        Ok(Some(Self { measured, smallest, median, largest, median_norm, duplicates }))
    }
}

/// Distances `[M]`, f64, from the codes at `which` `[M]` of `codes` `[K, D]` to the nearest code at another place.
///
/// Scores only find that code; the distance is then taken of the difference, which cancels nothing. The codes' mean is taken
/// off first: what they share would drown the differences in the scores.
fn to_nearest_other(codes: &Tensor, which: &Tensor) -> Result<Tensor, QuantizeError> {
    let centred = codes.f_sub(&codes.f_mean_dim([0i64].as_slice(), true, Kind::Float)?)?;
    let norms = centred.f_square()?.f_sum_dim_intlist([-1i64].as_slice(), false, Kind::Float)?;
    let minus_twice = (&centred * -2.0).f_transpose(0, 1)?;
    let rows = (BLOCK_SCORES / codes.size()[0]).max(1);
    let mut distances = Vec::new();
    for start in (0..which.size()[0]).step_by(rows as usize) {
        let own = which.narrow(0, start, rows.min(which.size()[0] - start));
        let points = centred.f_index_select(0, &own)?;
        let mut scores = norms.f_addmm(&points, &minus_twice)?;
        let nearest = scores.f_scatter_value_(1, &own.unsqueeze(-1), f64::INFINITY)?.f_argmin(-1, false)?;
        let difference = points.to_kind(Kind::Double) - centred.f_index_select(0, &nearest)?;
        distances.push(difference.f_norm_scalaropt_dim(2, [-1i64].as_slice(), false)?);
    }
    Ok(Tensor::f_cat(&distances, 0)?)
}

/// Values in order.
struct Quantiles(Vec<f64>);

impl Quantiles {
    fn of(values: &Tensor) -> Option<Self> {
        let mut values = Vec::<f64>::try_from(values.to_kind(Kind::Double).flatten(0, -1)).ok()?;
        values.sort_by(f64::total_cmp);
        (!values.is_empty()).then_some(Self(values))
    }

    /// The least value that this share of all does not exceed.
    fn at(&self, share: f64) -> f64 {
        let place = (share * self.0.len() as f64).ceil() as usize;
        self.0[place.clamp(1, self.0.len()) - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;
    use vqkit_testing::Draws;

    fn gaussian(codes: i64, dim: i64) -> Tensor {
        Draws::new(3).randn(&[codes, dim])
    }

    fn health(codes: Tensor) -> CodebookHealth {
        CodebookHealth::of(&CodebookView { codes, ages: None }, None).unwrap()
    }

    fn distances(codes: Tensor) -> CodeDistances {
        health(codes).distances.unwrap()
    }

    #[test]
    fn distances_are_those_of_brute_force() {
        for (size, dim, offset) in [(2, 1, 0.0), (65, 3, 0.0), (3000, 8, 0.0), (300, 8, 1000.0)] {
            let codes = gaussian(size, dim) + offset;
            let double = codes.to_kind(Kind::Double);
            let all = (double.unsqueeze(1) - double.unsqueeze(0)).square();
            let all = all.sum_dim_intlist([-1i64].as_slice(), false, Kind::Double).sqrt();
            let all = all + Tensor::eye(size, (Kind::Double, Device::Cpu)) * 1e9;
            let want = all.min_dim(-1, false).0.sort(-1, false).0;
            let found = distances(codes);
            assert_eq!(found.measured, size);
            let median = want.double_value(&[(size + 1) / 2 - 1]);
            for (found, want) in [
                (found.smallest, want.double_value(&[0])),
                (found.median, median),
                (found.largest, want.double_value(&[-1])),
            ] {
                // Beside an offset of 1000, f32 keeps four digits of what is left.
                assert!(
                    (found - want).abs() <= 1e-4 * want + offset * 1e-6,
                    "{size} {dim} {offset}: {found}, not {want}"
                );
            }
        }
    }

    #[test]
    fn planted_duplicates_are_found_and_near_codes_are_not() {
        let codes = gaussian(500, 16);
        assert_eq!(distances(codes.copy()).duplicates, 0);
        codes.narrow(0, 100, 50).copy_(&codes.narrow(0, 0, 50));
        codes.get(499).copy_(&codes.get(0));
        assert_eq!(distances(codes.copy()).duplicates, 101);
        let norm = codes.get(200).norm().double_value(&[]);
        codes.get(300).copy_(&(codes.get(200) * (1.0 + 0.01 / norm)));
        assert_eq!(distances(codes).duplicates, 101);
    }

    #[test]
    fn codes_on_one_spot_are_duplicates_wherever_it_is() {
        for spot in [0.0, 0.3, 100.0] {
            let found = distances(Tensor::full([32, 4], spot, (Kind::Float, Device::Cpu)));
            assert_eq!((found.duplicates, found.largest), (32, 0.0), "at {spot}");
        }
    }

    #[test]
    fn a_codebook_of_one_code_has_no_distances() {
        let one = health(gaussian(1, 4));
        assert_eq!((one.size, one.dim, one.distances), (1, 4, None));
        assert_eq!(health(gaussian(0, 4)).distances, None);
    }

    #[test]
    fn a_summary_measures_some_codes_against_all() {
        let line = Tensor::arange(5000, (Kind::Float, Device::Cpu)).unsqueeze(-1);
        let view = CodebookView { codes: line, ages: None };
        let found = CodebookHealth::summary(&view, None).unwrap().distances.unwrap();
        assert_eq!((found.measured, found.smallest, found.largest), (1024, 1.0, 1.0));
    }

    #[test]
    fn use_and_ages_are_counted() {
        let view = CodebookView {
            codes: gaussian(10, 2),
            ages: Some(Tensor::from_slice(&[0.0f32, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 90.0])),
        };
        let counts = Tensor::from_slice(&[4i64, 4, 4, 4, 0, 0, 0, 0, 0, 0]);
        let found = CodebookHealth::of(&view, Some(&counts)).unwrap();
        let used = found.used.unwrap();
        assert_eq!((used.tokens, used.codes, used.share), (16, 4, 0.4));
        assert!((used.perplexity - 4.0).abs() < 1e-9);
        assert_eq!(found.ages, Some(CodeAges { median: 4.0, ninth_decile: 8.0, oldest: 90.0 }));
        let nothing = CodebookHealth::of(&view, Some(&counts.zeros_like())).unwrap();
        assert_eq!(nothing.used, None, "no token says nothing about use");
    }

    #[test]
    fn counts_of_another_codebook_are_refused() {
        let view = CodebookView { codes: gaussian(10, 2), ages: None };
        let error = CodebookHealth::of(&view, Some(&Tensor::zeros([9], (Kind::Int64, Device::Cpu)))).unwrap_err();
        assert!(error.to_string().contains("counts"), "{error}");
    }

    #[test]
    fn of_a_large_codebook_a_part_is_measured() {
        let view = CodebookView { codes: gaussian(1 << 16, 2), ages: None };
        let found = CodebookHealth::measure(&view, None, 100).unwrap().distances.unwrap();
        assert_eq!(found.measured, 100);
        assert!(found.smallest < found.median && found.median < found.largest);
        let (pairs, size) = (MOST_PAIRS, 1 << 24);
        assert!(pairs / size >= 64, "the largest codebook there is still says something");
    }
}
