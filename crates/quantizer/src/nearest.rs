//! The search for the nearest code, in blocks: its memory does not grow with the number of codes times positions.

use tch::{Kind, Tensor};

use crate::QuantizeError;

/// Points and codes compared at a time on a GPU: enough work for one, in 64 MiB of scores.
const CUDA_BLOCK: (i64, i64) = (4096, 4096);
/// Points and codes compared at a time on a CPU where the product costs more than what follows; 8 MiB of scores.
const WIDE_BLOCK: (i64, i64) = (2048, 1024);
/// Points and codes compared at a time on a CPU where the scores cost more than the product that they come from: they stay in the
/// core's own cache.
const NARROW_BLOCK: (i64, i64) = (128, 4096);
/// Widest rows for which that is so.
const NARROW: i64 = 64;
/// Scores of which a CPU takes the minimum without asking for its place: that is vectorised, with the place it is not.
const GROUP: i64 = 128;

/// For every point, its nearest code.
pub(crate) struct Nearest {
    /// `[N]`, i64; of codes equally far, the first.
    pub indices: Tensor,
    /// Squared Euclidean distances `[N]`, f32.
    pub distances: Tensor,
}

/// Points `[N, D]` and codes `[K, D]`, both f32; without gradient.
pub(crate) fn nearest(points: &Tensor, codes: &Tensor) -> Result<Nearest, QuantizeError> {
    let (rows, columns) = match points.size()[1] {
        _ if points.device().is_cuda() => CUDA_BLOCK,
        ..=NARROW => NARROW_BLOCK,
        _ => WIDE_BLOCK,
    };
    let block_codes = codes.size()[0].clamp(1, columns);
    // With fewer codes, more points make a block of as many scores.
    nearest_in_blocks(points, codes, rows * columns / block_codes, block_codes)
}

/// As [`nearest`], `block_points` times `block_codes` scores at a time.
fn nearest_in_blocks(
    points: &Tensor,
    codes: &Tensor,
    block_points: i64,
    block_codes: i64,
) -> Result<Nearest, QuantizeError> {
    tch::no_grad(|| {
        let (points, codes) = (points.detach(), codes.detach());
        let search = Search::new(&codes, block_points.min(points.size()[0]), block_codes);
        let (mut indices, mut scores) = (Vec::new(), Vec::new());
        for start in (0..points.size()[0]).step_by(block_points.max(1) as usize) {
            let length = block_points.min(points.size()[0] - start);
            let (index, score) = search.of(&points.narrow(0, start, length))?;
            indices.push(index);
            scores.push(score);
        }
        if indices.is_empty() {
            let device = points.device();
            let none = |kind| Tensor::zeros([0], (kind, device));
            return Ok(Nearest { indices: none(Kind::Int64), distances: none(Kind::Float) });
        }
        let squares = points.square().sum_dim_intlist([-1i64].as_slice(), false, Kind::Float);
        Ok(Nearest { indices: Tensor::cat(&indices, 0), distances: (Tensor::cat(&scores, 0) + squares).clamp_min(0.0) })
    })
}

/// A codebook prepared for `score(z, e) = ||e||² - 2 z·e`, which orders codes as `||z - e||²` does.
struct Search {
    norms: Tensor,
    minus_twice: Tensor,
    scratch: Tensor,
    block_codes: i64,
}

impl Search {
    fn new(codes: &Tensor, block_points: i64, block_codes: i64) -> Self {
        Self {
            norms: codes.square().sum_dim_intlist([-1i64].as_slice(), false, Kind::Float),
            minus_twice: (codes * -2.0).transpose(0, 1),
            scratch: Tensor::empty([block_points * block_codes], (Kind::Float, codes.device())),
            block_codes,
        }
    }

    /// Best index and score of every point of a block.
    fn of(&self, points: &Tensor) -> Result<(Tensor, Tensor), QuantizeError> {
        let codes = self.norms.size()[0];
        let mut best: Option<(Tensor, Tensor)> = None;
        let mut start = 0;
        while start < codes {
            let length = self.length(codes - start);
            let (score, index) = least(&self.scores(points, start, length)?)?;
            let index = index + start;
            start += length;
            best = Some(match best {
                None => (index, score),
                Some((best_index, best_score)) => {
                    let closer = score.lt_tensor(&best_score);
                    (index.where_self(&closer, &best_index), score.where_self(&closer, &best_score))
                }
            });
        }
        best.ok_or_else(|| QuantizeError::Shape { what: "codebook", want: "[K > 0, D]".into(), got: vec![codes] })
    }

    /// How many of the codes that are left make the next block: whole groups where there are any.
    fn length(&self, left: i64) -> i64 {
        let most = self.block_codes.min(left);
        if most < GROUP { most } else { most - most % GROUP }
    }

    /// Scores `[n, length]` against the codes from `start` on, in the scratch memory.
    ///
    /// Autocast does not touch calls that write into a given tensor, so the scores are f32 under it too: in bf16,
    /// different distances round to a tie and the wrong code wins.
    fn scores(&self, points: &Tensor, start: i64, length: i64) -> Result<Tensor, QuantizeError> {
        let rows = points.size()[0];
        let out = self.scratch.narrow(0, 0, rows * length).view([rows, length]);
        Ok(self.norms.narrow(0, start, length).f_addmm_out(&out, points, &self.minus_twice.narrow(1, start, length))?)
    }
}

/// The least of each row of scores `[n, length]` and its place; of equal ones, the first.
fn least(scores: &Tensor) -> Result<(Tensor, Tensor), QuantizeError> {
    let (rows, length) = scores.size2()?;
    let groups = length / GROUP;
    if scores.device().is_cuda() || groups < 2 || length % GROUP != 0 {
        return Ok(scores.f_min_dim(-1, false)?);
    }
    let (score, group) =
        scores.f_view([rows, groups, GROUP])?.f_amin([-1i64].as_slice(), false)?.f_min_dim(-1, false)?;
    let row = Tensor::arange(rows, (Kind::Int64, scores.device())) * groups;
    let (_, place) = scores.f_view([-1, GROUP])?.f_index_select(0, &(row + &group))?.f_min_dim(-1, false)?;
    Ok((score, group * GROUP + place))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;
    use vqkit_testing::Draws;

    /// Other numbers for another number of rows.
    fn gaussian(rows: i64, dim: i64) -> Tensor {
        Draws::new(rows as u64).randn(&[rows, dim])
    }

    /// Squared distances `[N, K]` in f64, written out.
    fn all_distances(points: &Tensor, codes: &Tensor) -> Tensor {
        let difference = points.to_kind(Kind::Double).unsqueeze(1) - codes.to_kind(Kind::Double).unsqueeze(0);
        difference.square().sum_dim_intlist([-1i64].as_slice(), false, Kind::Double)
    }

    #[test]
    fn no_code_is_nearer_than_the_one_found() {
        for (points, codes, dim) in [(1, 1, 1), (7, 3, 2), (257, 65, 16), (300, 5000, 8), (40, 1000, 80)] {
            let (points, codes) = (gaussian(points, dim), gaussian(codes, dim));
            let found = nearest(&points, &codes).unwrap();
            let all = all_distances(&points, &codes);
            let (least, _) = all.min_dim(-1, false);
            let chosen = all.gather(-1, &found.indices.unsqueeze(-1), false).squeeze_dim(-1);
            assert!(f64::try_from((chosen - &least).max()).unwrap() <= 1e-5);
            assert!(found.distances.to_kind(Kind::Double).allclose(&least, 1e-4, 1e-5, false));
        }
    }

    #[test]
    fn blocks_do_not_change_what_is_found() {
        let (points, codes) = (gaussian(61, 4), gaussian(37, 4));
        let whole = nearest_in_blocks(&points, &codes, 61, 37).unwrap();
        for (block_points, block_codes) in [(1, 1), (7, 37), (61, 5), (10, 10), (100, 36)] {
            let blocked = nearest_in_blocks(&points, &codes, block_points, block_codes).unwrap();
            assert_eq!(blocked.indices, whole.indices, "blocks of {block_points} by {block_codes}");
            assert!(blocked.distances.allclose(&whole.distances, 1e-5, 1e-5, false));
        }
    }

    #[test]
    fn of_equal_codes_the_first_is_found() {
        for (count, block_codes) in [(10, 3), (5 * GROUP + 7, 3 * GROUP)] {
            let codes = Tensor::zeros([count, 3], (Kind::Float, Device::Cpu));
            let found = nearest_in_blocks(&gaussian(5, 3), &codes, 2, block_codes).unwrap();
            assert_eq!(found.indices, Tensor::zeros([5], (Kind::Int64, Device::Cpu)));
        }
    }

    #[test]
    fn the_least_of_groups_is_the_first_of_the_least() {
        // Few values, so that most rows have their least in several groups and places.
        let scores = Draws::new(3).randint(100, &[64, 4 * GROUP]).to_kind(Kind::Float);
        let (score, place) = least(&scores).unwrap();
        let (want, _) = scores.min_dim(-1, true);
        let first = scores.eq_tensor(&want).to_kind(Kind::Int64).argmax(-1, false);
        assert_eq!((score, place), (want.squeeze_dim(-1), first));
    }

    #[test]
    fn nothing_is_found_for_no_points() {
        assert_eq!(nearest(&gaussian(0, 3), &gaussian(4, 3)).unwrap().indices.size(), [0]);
    }
}
