//! The memory of a tensor as a slice.

use tch::{Device, Kind, Tensor};

/// The numbers of a contiguous f32 tensor on the CPU.
///
/// # Panics
/// When it is another.
pub(crate) fn numbers(tensor: &Tensor) -> &[f32] {
    check(tensor);
    if tensor.numel() == 0 {
        return &[];
    }
    // SAFETY: the tensor holds this many f32, for as long as the handle lives.
    unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast(), tensor.numel()) }
}

/// As [`numbers`], to be written.
///
/// # Safety
/// No other slice of the same memory is in use.
#[allow(clippy::mut_from_ref, reason = "handles of tensors share their memory as cells do")]
pub(crate) unsafe fn numbers_mut(tensor: &Tensor) -> &mut [f32] {
    check(tensor);
    if tensor.numel() == 0 {
        return &mut [];
    }
    // SAFETY: the tensor holds this many f32, and the caller says that no other slice of them is in use.
    unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast(), tensor.numel()) }
}

fn check(tensor: &Tensor) {
    let fits = tensor.kind() == Kind::Float && tensor.device() == Device::Cpu && tensor.is_contiguous();
    assert!(fits, "kernels take contiguous f32 on the CPU, got {:?} on {:?}", tensor.kind(), tensor.device());
}
