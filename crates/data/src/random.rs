//! Random numbers that are a function of a key, the same on every machine and in every version.

/// The finalizer of SplitMix64 (Steele, Lea and Flood 2014): a bijection of 64 bits that scatters them.
pub(crate) fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// A SplitMix64 generator.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

    /// The generator of this key; keys that differ in any part, or in length, give unrelated generators.
    pub(crate) fn keyed(key: &[u64]) -> Self {
        let start = mix(key.len() as u64 ^ Self::STEP);
        Self(
            key.iter()
                .fold(start, |state, part| mix(state.wrapping_add(Self::STEP) ^ mix(part.wrapping_add(Self::STEP)))),
        )
    }

    /// 64 random bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(Self::STEP);
        mix(self.0)
    }

    /// A whole number in `0..bound`, or 0 where `bound` is 0. The bias, below `bound / 2^64`, does not matter here.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// A number in `[0, 1)`.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A number in `[low, high)`.
    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// One of `choices`, which must not be empty.
    pub(crate) fn choose<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}
