//! CPU kernels for a transformer that reads one token at a time.
//!
//! libtorch's product of a few rows with a large matrix reads the matrix at a third of the memory's pace, and rounds a row
//! differently in a batch of another size. These read it at the memory's pace, and give a row the same bits in every batch.

mod attention;
mod linear;
mod panel;
mod threads;
mod vector;

use tch::{Device, Kind, Tensor};

pub(crate) use attention::{Heads, Past, attend};
pub(crate) use linear::{Into, PackedLinear};

/// Whether the processor has the instructions that the fast paths are written in.
#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma")
}

/// The numbers of a contiguous f32 tensor on the CPU.
///
/// # Panics
/// When it is another.
pub(crate) fn numbers(tensor: &Tensor) -> &[f32] {
    check(tensor);
    if tensor.numel() == 0 {
        return &[];
    }
    // SAFETY: so many f32 lie there, for as long as the handle lives.
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
    // SAFETY: so many f32 lie there, and nobody else has them, as the caller says.
    unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast(), tensor.numel()) }
}

fn check(tensor: &Tensor) {
    let fits = tensor.kind() == Kind::Float && tensor.device() == Device::Cpu && tensor.is_contiguous();
    assert!(fits, "kernels take contiguous f32 on the CPU, got {:?} on {:?}", tensor.kind(), tensor.device());
}
