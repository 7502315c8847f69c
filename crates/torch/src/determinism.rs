//! Deterministic algorithms: the same result every time, on one machine with one number of threads.

use crate::{TorchError, shim};

/// Switches libtorch's deterministic algorithms for the whole process: operations that have one use it, the others fail.
///
/// Without them accumulating index writes race between threads. For CUDA this also chooses the workspace of cuBLAS that its
/// determinism asks for and stops cuDNN from choosing algorithms by their time, which only helps before its first use.
/// Fresh memory is not filled, unlike in PyTorch, where that is a part of the switch.
///
/// ```
/// use vqkit_torch::determinism;
///
/// determinism::set(true)?;
/// assert!(determinism::is_on()?);
/// determinism::set(false)?;
/// assert!(!determinism::is_on()?);
/// # Ok::<(), vqkit_torch::TorchError>(())
/// ```
///
/// # Errors
/// When libtorch refuses.
pub fn set(on: bool) -> Result<(), TorchError> {
    shim::set_deterministic(on)
}

/// Whether libtorch's deterministic algorithms are on.
///
/// # Errors
/// When libtorch refuses.
pub fn is_on() -> Result<bool, TorchError> {
    shim::deterministic()
}
