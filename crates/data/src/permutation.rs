//! A permutation of `0..len` that is computed, not stored.

use crate::random::{Random, mix};

const ROUNDS: usize = 6;

/// A keyed permutation of `0..len` in constant memory: a Feistel network over the next power of four, walked until it
/// lands inside (Black and Rogaway, "Ciphers with arbitrary finite domains", 2002).
///
/// ```
/// use vqkit_data::Permutation;
///
/// let order = Permutation::new(5, 42);
/// let mut seen: Vec<u64> = (0..5).map(|i| order.at(i)).collect();
/// seen.sort_unstable();
/// assert_eq!(seen, [0, 1, 2, 3, 4]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permutation {
    len: u64,
    half_bits: u32,
    keys: [u64; ROUNDS],
}

impl Permutation {
    /// The permutation of `0..len` that belongs to `key`.
    pub fn new(len: u64, key: u64) -> Self {
        let bits = u64::BITS - len.saturating_sub(1).leading_zeros();
        let mut random = Random::keyed(&[key, len]);
        Self { len, half_bits: bits.div_ceil(2).max(1), keys: std::array::from_fn(|_| random.bits()) }
    }

    /// Where `index` goes, in `0..len`; an `index` of `len` or more is returned as it is.
    pub fn at(&self, index: u64) -> u64 {
        if index >= self.len {
            return index;
        }
        // At most four times as many values as `len`, so that four steps are enough on average.
        let mut value = self.scramble(index);
        while value >= self.len {
            value = self.scramble(value);
        }
        value
    }

    fn scramble(&self, value: u64) -> u64 {
        let mask = (1u64 << self.half_bits) - 1;
        let halves = (value >> self.half_bits, value & mask);
        let (left, right) =
            self.keys.iter().fold(halves, |(left, right), key| (right, left ^ (mix(right ^ key) & mask)));
        left << self.half_bits | right
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_occurs_once() {
        for len in [1, 2, 3, 4, 5, 16, 17, 1000, 4097] {
            let order = Permutation::new(len, 7);
            let mut seen: Vec<u64> = (0..len).map(|i| order.at(i)).collect();
            seen.sort_unstable();
            assert!(seen.iter().copied().eq(0..len), "length {len}");
        }
    }

    #[test]
    fn every_place_is_equally_likely() {
        let len = 10;
        let mut counts = vec![0u32; len * len];
        for key in 0..10_000 {
            let order = Permutation::new(len as u64, key);
            (0..len).for_each(|i| counts[i * len + order.at(i as u64) as usize] += 1);
        }
        // 1000 expected, standard deviation 30.
        assert!(counts.iter().all(|&count| (850..1150).contains(&count)), "{counts:?}");
    }

    #[test]
    fn a_permutation_of_a_billion_costs_nothing() {
        let order = Permutation::new(1_000_000_000, 3);
        assert!((0..1000).all(|i| order.at(i) < 1_000_000_000));
        assert_ne!(order, Permutation::new(1_000_000_000, 4));
    }
}
