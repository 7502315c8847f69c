//! How much memory tensors take on a CUDA device, and the process on the CPU; and how much there is left.

mod available;
mod bytes;

use tch::Device;

pub use available::{available, check};
pub use bytes::format_bytes;

use crate::{TorchError, shim};

/// The most bytes that tensors held at once on a CUDA device since the start or [`reset_peak`]; `None` on the CPU, where
/// libtorch does not count.
///
/// # Errors
/// When there is no such device.
pub fn peak_bytes(device: Device) -> Result<Option<u64>, TorchError> {
    let Some(index) = cuda_index(device) else { return Ok(None) };
    let bytes = shim::cuda_peak_bytes(index)?;
    Ok(Some(u64::try_from(bytes).unwrap_or(0)))
}

/// Begins a new peak at what tensors hold at present; does nothing on the CPU.
///
/// # Errors
/// When there is no such device.
pub fn reset_peak(device: Device) -> Result<(), TorchError> {
    cuda_index(device).map_or(Ok(()), shim::reset_cuda_peak)
}

/// The most bytes of the machine's memory that this process ever held at once (its resident set); `None` where the system
/// cannot say.
pub fn process_peak_bytes() -> Option<u64> {
    let bytes = shim::process_peak_bytes().ok()?;
    u64::try_from(bytes).ok().filter(|bytes| *bytes > 0)
}

fn cuda_index(device: Device) -> Option<i32> {
    if device.is_cuda() { shim::number(device) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_is_not_counted() {
        assert_eq!(peak_bytes(Device::Cpu).unwrap(), None);
        reset_peak(Device::Cpu).unwrap();
    }

    #[test]
    fn the_peak_of_the_process_grows_by_what_is_touched() {
        const BYTES: usize = 256 << 20;
        let before = process_peak_bytes().unwrap();
        let touched = std::hint::black_box(vec![1u8; BYTES]);
        assert!(process_peak_bytes().unwrap() >= before.max(touched.len() as u64));
    }

    #[test]
    fn a_device_that_is_not_there_is_an_error() {
        if !crate::cuda::is_available() {
            assert!(peak_bytes(Device::Cuda(0)).is_err());
        }
    }
}
