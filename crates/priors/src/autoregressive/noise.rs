//! Counter-based noise: every number is a hash of seed, sample, candidate and position, and depends on nothing else.

use tch::Tensor;

/// Uniform numbers in (0, 1), `[positions, batch]` f64, for one candidate of the samples `first..first + batch`.
pub(super) fn uniform(seed: u64, first: u64, candidate: u64, batch: i64, positions: i64) -> Tensor {
    let of_sample = |row: u64| mix(mix(seed) ^ first.wrapping_add(row));
    let of_candidate = |row: u64| match candidate {
        0 => of_sample(row),
        // The candidate's number is above every position, so that no number of the first candidate is the key of another.
        _ => mix(of_sample(row) ^ (candidate << 40)),
    };
    let rows: Vec<u64> = (0..batch as u64).map(of_candidate).collect();
    let numbers: Vec<f64> =
        (0..positions as u64).flat_map(|position| rows.iter().map(move |row| unit(mix(row ^ position)))).collect();
    Tensor::from_slice(&numbers).view([positions, batch])
}

/// One step of splitmix64 (Steele et al. 2014): a bijection that spreads every bit over all others.
fn mix(counter: u64) -> u64 {
    let sum = counter.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let first = (sum ^ (sum >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let second = (first ^ (first >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    second ^ (second >> 31)
}

/// The upper 32 bits as the middle of one of 2^32 cells: never 0 or 1, and far enough from 1 that scaling by a sum of
/// probabilities cannot round up to it.
fn unit(bits: u64) -> f64 {
    ((bits >> 32) as f64 + 0.5) / 4_294_967_296.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_depends_on_sample_candidate_and_position_alone() {
        let whole = uniform(7, 0, 0, 6, 5);
        let part = uniform(7, 2, 0, 3, 5);
        assert_eq!(whole.narrow(1, 2, 3), part);
        assert_ne!(whole, uniform(8, 0, 0, 6, 5));
        let other = uniform(7, 0, 1, 6, 5);
        assert!(whole.eq_tensor(&other).any().int64_value(&[]) == 0);
        assert_eq!(other.narrow(1, 2, 3), uniform(7, 2, 1, 3, 5));
    }

    #[test]
    fn numbers_fill_the_unit_interval_evenly() {
        let numbers = uniform(0, 0, 0, 100, 200);
        // 20,000 numbers: the standard errors of mean and deviation are 0.002 and 0.0013
        assert!((numbers.mean(None).double_value(&[]) - 0.5).abs() < 0.008);
        assert!((numbers.std(true).double_value(&[]) - 12f64.sqrt().recip()).abs() < 0.006);
        assert!(numbers.min().double_value(&[]) > 0.0 && numbers.max().double_value(&[]) < 1.0);
    }
}
