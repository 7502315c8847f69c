//! Devices by name.

use tch::Device;

use crate::{TorchError, cuda};

/// The device of a name: `cpu`, `cuda` (the first), `cuda:N`, or `auto`, which is CUDA where there is any and else the CPU.
///
/// Ask before anything else asks libtorch about CUDA: see [`cuda`]. `cpu` does not look for CUDA at all.
///
/// ```
/// use tch::Device;
/// use vqkit_torch::device;
///
/// assert_eq!(device::parse("cpu")?, Device::Cpu);
/// assert!(device::parse("gpu").is_err());
/// # Ok::<(), vqkit_torch::TorchError>(())
/// ```
///
/// # Errors
/// [`TorchError::Device`] when the name is none of these, or there is no such device.
pub fn parse(name: &str) -> Result<Device, TorchError> {
    match name {
        "cpu" => return Ok(Device::Cpu),
        "auto" => return Ok(if cuda::is_available() { Device::Cuda(0) } else { Device::Cpu }),
        _ => {}
    }
    let refuse = |reason: String| TorchError::Device { asked: name.to_owned(), reason };
    let index = cuda_index(name).ok_or_else(|| refuse("unknown; use `auto`, `cpu` or `cuda:N`".into()))?;
    match cuda::count() {
        0 => Err(refuse(no_devices())),
        count if index < count => Ok(Device::Cuda(index)),
        count => Err(refuse(format!("this machine has {count} CUDA device(s), numbered from 0"))),
    }
}

/// The name of a device, which [`parse`] takes: `cpu`, `cuda:N`.
pub fn name(device: Device) -> String {
    match device {
        Device::Cuda(index) => format!("cuda:{index}"),
        other => format!("{other:?}").to_lowercase(),
    }
}

fn cuda_index(name: &str) -> Option<usize> {
    let rest = name.strip_prefix("cuda")?;
    if rest.is_empty() {
        return Some(0);
    }
    let digits = rest.strip_prefix(':')?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

fn no_devices() -> String {
    match cuda::discover() {
        cuda::Discovery::Loaded { .. } => "libtorch finds no CUDA device (hidden by CUDA_VISIBLE_DEVICES?)".into(),
        why => why.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        assert_eq!(name(Device::Cpu), "cpu");
        assert_eq!(name(Device::Cuda(3)), "cuda:3");
        assert_eq!(cuda_index("cuda:3"), Some(3));
        assert_eq!(cuda_index("cuda"), Some(0));
    }

    #[test]
    fn unknown_names_are_refused() {
        for wrong in
            ["", "gpu", "CPU", "cuda:", "cuda:-1", "cuda:x", "cuda:+1", "cuda 0", "cuda:99999999999999999999999"]
        {
            let message = parse(wrong).unwrap_err().to_string();
            assert_eq!(message, format!("device `{wrong}`: unknown; use `auto`, `cpu` or `cuda:N`"));
        }
    }

    #[test]
    fn a_device_that_is_not_there_is_refused_with_the_cause() {
        let message = parse("cuda:999").unwrap_err().to_string();
        assert!(message.starts_with("device `cuda:999`: ") && message.len() > 30, "{message}");
    }

    #[test]
    fn auto_always_finds_one() {
        assert_eq!(parse("auto").unwrap().is_cuda(), cuda::is_available());
    }
}
