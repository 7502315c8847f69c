//! The state of libtorch's default random generators, one per device.

use tch::{Device, Tensor};

use crate::{TorchError, shim};

/// Seeds the default generator of the CPU and, where that is another, of `device`.
///
/// # Errors
/// When there is no such device.
pub fn manual_seed(device: Device, seed: u64) -> Result<(), TorchError> {
    shim::seed_rng(number(Device::Cpu)?, seed)?;
    if device != Device::Cpu {
        shim::seed_rng(number(device)?, seed)?;
    }
    Ok(())
}

/// The state of the default generator of `device`: u8 on the CPU, a copy.
///
/// ```
/// use tch::{Device, Kind, Tensor};
/// use vqkit_torch::rng;
///
/// let state = rng::state(Device::Cpu)?;
/// let first = Tensor::rand([4], (Kind::Float, Device::Cpu));
/// rng::set_state(Device::Cpu, &state)?;
/// assert_eq!(first, Tensor::rand([4], (Kind::Float, Device::Cpu)));
/// # Ok::<(), vqkit_torch::TorchError>(())
/// ```
///
/// # Errors
/// When there is no such device.
pub fn state(device: Device) -> Result<Tensor, TorchError> {
    shim::rng_state(number(device)?)
}

/// Puts a state from [`state`] back into the default generator of `device`.
///
/// # Errors
/// When `state` is no such state, or there is no such device.
pub fn set_state(device: Device, state: &Tensor) -> Result<(), TorchError> {
    shim::set_rng_state(number(device)?, state)
}

fn number(device: Device) -> Result<i32, TorchError> {
    shim::number(device).ok_or_else(|| TorchError::Device {
        asked: format!("{device:?}"),
        reason: "its random generator cannot be reached; only those of CPU and CUDA can".into(),
    })
}
