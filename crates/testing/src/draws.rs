//! Random tensors from a stream of their own, and libtorch's generator for one test at a time.

use std::cell::Cell;
use std::f64::consts::TAU;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tch::{Device, Kind, Tensor};

/// Seeded random tensors on the CPU that do not touch libtorch's generator.
///
/// That generator is one for the whole process, and tests of one binary run in several threads: what a test draws from it
/// depends on what its neighbours draw meanwhile, whatever seed is set. From here, the same seed gives the same tensors.
#[derive(Debug)]
pub struct Draws {
    seed: i64,
    drawn: Cell<i64>,
}

impl Draws {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self { seed: (seed as i64).wrapping_mul(FACTORS[0]), drawn: Cell::new(0) }
    }

    /// Uniform in `[0, 1)`, f32.
    pub fn rand(&self, shape: &[i64]) -> Tensor {
        self.units(shape).to_kind(Kind::Float)
    }

    /// Standard normal, f32, by the method of Box and Muller.
    pub fn randn(&self, shape: &[i64]) -> Tensor {
        let (length, angle): (Tensor, Tensor) = (1.0 - self.units(shape), self.units(shape) * TAU);
        ((length.log() * -2.0).sqrt() * angle.cos()).to_kind(Kind::Float)
    }

    /// Uniform in `0..high`, i64.
    pub fn randint(&self, high: i64, shape: &[i64]) -> Tensor {
        (self.units(shape) * high as f64).floor().to_kind(Kind::Int64)
    }

    /// The numbers `0..count` in random order, i64.
    pub fn randperm(&self, count: i64) -> Tensor {
        self.units(&[count]).argsort(0, false)
    }

    /// Uniform in `[0, 1)` on a grid of 2⁻²⁴, which f32 holds exactly: the upper bits of splitmix64.
    fn units(&self, shape: &[i64]) -> Tensor {
        let count = shape.iter().product::<i64>();
        let first = self.drawn.replace(self.drawn.get() + count) + 1;
        let counter = Tensor::arange(count, (Kind::Int64, Device::Cpu)) + first;
        let bits = upper(&mixed(&(counter * STEP + self.seed)), 24);
        (bits.to_kind(Kind::Double) / f64::from(1u32 << 24)).reshape(shape)
    }
}

/// The constants of splitmix64, whose arithmetic wraps, as that of libtorch's integers does.
const STEP: i64 = 0x9E37_79B9_7F4A_7C15_u64 as i64;
const FACTORS: [i64; 2] = [0xBF58_476D_1CE4_E5B9_u64 as i64, 0x94D0_49BB_1331_11EB_u64 as i64];

/// The output of splitmix64 for its states.
fn mixed(state: &Tensor) -> Tensor {
    let fold = |bits: &Tensor, shift: i64| bits.bitwise_xor_tensor(&upper(bits, 64 - shift));
    let bits = fold(state, 30) * FACTORS[0];
    let bits = fold(&bits, 27) * FACTORS[1];
    fold(&bits, 31)
}

/// The upper bits alone, as a number without a sign.
fn upper(bits: &Tensor, count: i64) -> Tensor {
    let shifted = bits.bitwise_right_shift_tensor_scalar(64 - count);
    shifted.bitwise_and(tch::Scalar::from((1i64 << count) - 1))
}

/// libtorch's one generator, kept from all other tests of the process that ask for it.
#[derive(Debug)]
pub struct Generator {
    _alone: MutexGuard<'static, ()>,
}

/// Seeds libtorch's generator, and keeps it from other tests until the guard is dropped: for code under test that draws by
/// itself, as networks do for their first weights, and dropout. It helps where all tests of a binary that draw ask for it.
///
/// A test that asks twice without dropping the first guard waits for itself.
#[must_use = "the generator is let go where the guard is dropped"]
pub fn generator(seed: i64) -> Generator {
    static GENERATOR: Mutex<()> = Mutex::new(());
    let _alone = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
    tch::manual_seed(seed);
    Generator { _alone }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTEGERS: (Kind, Device) = (Kind::Int64, Device::Cpu);

    #[test]
    fn a_seed_gives_the_same_tensors_whatever_libtorch_draws() {
        let first = Draws::new(3).randn(&[4, 5]);
        let _ = Tensor::rand([7], (Kind::Float, Device::Cpu));
        assert_eq!(first, Draws::new(3).randn(&[4, 5]));
        assert_ne!(first, Draws::new(4).randn(&[4, 5]));
        let draws = Draws::new(3);
        assert_ne!(draws.randn(&[4, 5]), draws.randn(&[4, 5]), "a stream goes on");
    }

    #[test]
    fn bits_are_those_of_splitmix64() {
        // The first output of the reference implementation at the state 1234567, which adds its step first.
        let state = Tensor::from_slice(&[1_234_567i64.wrapping_add(STEP)]);
        assert_eq!(mixed(&state).int64_value(&[0]) as u64, 6_457_827_717_110_365_317);
    }

    #[test]
    fn numbers_have_their_distribution() {
        let draws = Draws::new(1);
        let normal = draws.randn(&[20_000]);
        assert!(normal.mean(None).double_value(&[]).abs() < 0.03);
        assert!((normal.std(true).double_value(&[]) - 1.0).abs() < 0.03);
        let uniform = draws.rand(&[20_000]);
        assert!((uniform.mean(None).double_value(&[]) - 0.5).abs() < 0.02);
        assert!(uniform.min().double_value(&[]) >= 0.0 && uniform.max().double_value(&[]) < 1.0);
        let counts = draws.randint(5, &[5000]).bincount(None::<&Tensor>, 5);
        assert!(counts.size() == [5] && counts.min().int64_value(&[]) > 850, "{counts}");
        assert_eq!(draws.randperm(50).sort(0, false).0, Tensor::arange(50, INTEGERS));
    }

    #[test]
    fn the_generator_is_one_test_s_at_a_time() {
        let draw = || {
            let _generator = generator(5);
            let numbers = |_| Tensor::rand([3], (Kind::Float, Device::Cpu));
            (0..200).map(numbers).collect::<Vec<_>>()
        };
        let beside = std::thread::spawn(draw);
        let here = draw();
        assert_eq!(here, beside.join().expect("no panic"));
    }
}
