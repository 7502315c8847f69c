//! Autocast: operations that gain by it run in a lower precision, and the rest stays as it is.
//!
//! libtorch keeps the state of autocast per thread and per kind of device. Here it is switched for the length of a call and
//! put back when that returns or panics. On devices other than CPU and CUDA nothing is switched.

use std::marker::PhantomData;

use tch::{Device, Kind};

use crate::shim;

/// Runs `work` with the operations on `device` that gain by it (products, convolutions) in `kind`: bfloat16 or half.
/// Float and double turn autocast off for the length of `work`.
///
/// ```
/// use tch::{Device, Kind, Tensor};
/// use vqkit_torch::autocast;
///
/// let a = Tensor::ones([2, 2], (Kind::Float, Device::Cpu));
/// let product = autocast::with(Device::Cpu, Kind::BFloat16, || a.matmul(&a));
/// assert_eq!(product.kind(), Kind::BFloat16);
/// assert_eq!(a.matmul(&a).kind(), Kind::Float);
/// ```
///
/// # Panics
/// When `kind` is not one of these four.
pub fn with<T>(device: Device, kind: Kind, work: impl FnOnce() -> T) -> T {
    let _guard = Guard::enter(device, kind);
    work()
}

/// Runs `work` with autocast off on `device`: an island of full precision inside [`with`]. Its inputs may be of lower
/// precision still: convert them.
///
/// ```
/// use tch::{Device, Kind, Tensor};
/// use vqkit_torch::autocast;
///
/// let a = Tensor::ones([2, 2], (Kind::Float, Device::Cpu));
/// let kind = autocast::with(Device::Cpu, Kind::BFloat16, || autocast::disabled(Device::Cpu, || a.matmul(&a).kind()));
/// assert_eq!(kind, Kind::Float);
/// ```
pub fn disabled<T>(device: Device, work: impl FnOnce() -> T) -> T {
    with(device, Kind::Float, work)
}

/// The precision that autocast uses on `device` in this thread at present; `None` where it is off.
pub fn current(device: Device) -> Option<Kind> {
    let (enabled, kind) = state(shim::number(device)?);
    let known = [Kind::BFloat16, Kind::Half].into_iter().find(|known| scalar_type(*known) == Some(kind));
    known.filter(|_| enabled)
}

/// Whether bfloat16 is worth its loss of precision on `device`: hardware that multiplies it natively.
///
/// On x86 CPUs AVX512-BF16 (AMX comes with it), on ARM the `bf16` extension, on CUDA compute capability 8 and up.
pub fn bf16_is_fast(device: Device) -> bool {
    match device {
        Device::Cpu => cpu_has_bf16(),
        Device::Cuda(_) => shim::number(device).is_some_and(|device| shim::cuda_has_bf16(device).unwrap_or(false)),
        Device::Mps | Device::Vulkan => false,
    }
}

#[cfg(target_arch = "x86_64")]
fn cpu_has_bf16() -> bool {
    std::is_x86_feature_detected!("avx512bf16")
}

#[cfg(target_arch = "aarch64")]
fn cpu_has_bf16() -> bool {
    std::arch::is_aarch64_feature_detected!("bf16")
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn cpu_has_bf16() -> bool {
    false
}

/// The state of autocast to come back to. It belongs to its thread.
struct Guard {
    previous: Option<(i32, bool, i8)>,
    _stays_in_its_thread: PhantomData<*const ()>,
}

impl Guard {
    fn enter(device: Device, kind: Kind) -> Self {
        let lower = scalar_type(kind);
        assert!(lower.is_some() || matches!(kind, Kind::Float | Kind::Double), "autocast knows no {kind:?}");
        let previous = shim::number(device).map(|device| {
            let (enabled, kept) = state(device);
            sure(shim::nest_autocast(true));
            sure(shim::set_autocast(device, lower.is_some(), lower.unwrap_or(kept)));
            (device, enabled, kept)
        });
        Self { previous, _stays_in_its_thread: PhantomData }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some((device, enabled, kind)) = self.previous {
            sure(shim::set_autocast(device, enabled, kind));
            sure(shim::nest_autocast(false));
        }
    }
}

fn state(device: i32) -> (bool, i8) {
    sure(shim::autocast(device))
}

/// These calls set variables of the thread; libtorch throws only at kinds of device that [`shim::number`] does not give.
fn sure<T>(result: Result<T, crate::TorchError>) -> T {
    result.unwrap_or_else(|error| unreachable!("switching autocast cannot fail: {error}"))
}

/// `c10::ScalarType` of the lower precisions.
fn scalar_type(kind: Kind) -> Option<i8> {
    match kind {
        Kind::Half => Some(5),
        Kind::BFloat16 => Some(15),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use tch::Tensor;

    use super::*;

    const CPU: Device = Device::Cpu;

    #[test]
    fn levels_nest_and_come_back() {
        assert_eq!(current(CPU), None);
        with(CPU, Kind::BFloat16, || {
            assert_eq!(current(CPU), Some(Kind::BFloat16));
            disabled(CPU, || assert_eq!(current(CPU), None));
            with(CPU, Kind::Half, || assert_eq!(current(CPU), Some(Kind::Half)));
            assert_eq!(current(CPU), Some(Kind::BFloat16));
        });
        assert_eq!(current(CPU), None);
    }

    #[test]
    fn a_panic_puts_the_state_back() {
        let result = catch_unwind(AssertUnwindSafe(|| with(CPU, Kind::BFloat16, || panic!("on purpose"))));
        assert!(result.is_err());
        assert_eq!(current(CPU), None);
    }

    #[test]
    fn changed_weights_are_cast_anew() {
        let mut weight = Tensor::ones([1, 1], (Kind::Float, CPU)).set_requires_grad(true);
        let input = Tensor::ones([1, 1], (Kind::Float, CPU));
        let product = |weight: &Tensor| with(CPU, Kind::BFloat16, || input.matmul(weight)).double_value(&[0, 0]);
        assert_eq!(product(&weight), 1.0);
        let _ = tch::no_grad(|| weight.fill_(2.0));
        assert_eq!(product(&weight), 2.0);
    }

    #[test]
    fn gradients_come_back_in_full_precision() {
        let weight = Tensor::ones([2, 2], (Kind::Float, CPU)).set_requires_grad(true);
        let loss = with(CPU, Kind::BFloat16, || weight.matmul(&weight)).to_kind(Kind::Float).sum(Kind::Float);
        loss.backward();
        assert_eq!(weight.grad().kind(), Kind::Float);
    }

    #[test]
    fn other_threads_are_left_alone() {
        with(CPU, Kind::BFloat16, || {
            let there = std::thread::spawn(|| current(CPU)).join();
            assert_eq!(there.ok(), Some(None));
        });
    }
}
