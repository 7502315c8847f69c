//! Weights that are not recorded but computed, element by element, from the name of their tensor.

use std::collections::BTreeMap;

use serde::Deserialize;
use tch::Tensor;

/// What `keys.json` says of one tensor.
#[derive(Deserialize)]
struct Filled {
    shape: Vec<i64>,
    /// Middle of the values.
    c: f64,
    /// Half their range.
    a: f64,
    /// The first values, as a check.
    first: Vec<f32>,
    /// The sum of all values, as a check.
    sum: f64,
}

/// Every tensor of a `keys.json`: uniform in `c ± a`, by splitmix64 from the FNV-1a hash of the name.
///
/// # Panics
/// When the file is not of its form, or a tensor fails the check that stands beside it.
pub(crate) fn fill(keys: &[u8], salt: u64) -> BTreeMap<String, Tensor> {
    let keys: BTreeMap<String, Filled> = serde_json::from_slice(keys).expect("keys.json is of its form");
    keys.into_iter().map(|(name, filled)| (name.clone(), filled.tensor(&name, salt))).collect()
}

impl Filled {
    fn tensor(&self, name: &str, salt: u64) -> Tensor {
        let seed = fnv1a(name) ^ salt;
        let count = self.shape.iter().product::<i64>() as u64;
        let values: Vec<f32> = (0..count).map(|k| (self.c + self.a * (2.0 * unit(seed, k) - 1.0)) as f32).collect();
        assert_eq!(values[..self.first.len()], self.first, "the first values of `{name}`");
        let sum: f64 = values.iter().map(|value| f64::from(*value)).sum();
        assert!((sum - self.sum).abs() < 1e-6 * count as f64, "the sum of `{name}`: {sum}, recorded {}", self.sum);
        Tensor::from_slice(&values).reshape(self.shape.as_slice())
    }
}

fn fnv1a(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// The number `k` of the stream, in `[0, 1)`.
fn unit(seed: u64, k: u64) -> f64 {
    let z = seed.wrapping_add((k + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 40) as f64 / (1u64 << 24) as f64
}
