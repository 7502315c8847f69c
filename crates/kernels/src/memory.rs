//! The memory of tensors as slices.

use tch::{Device, Tensor};

use crate::number::Number;

/// The numbers of a contiguous tensor on the CPU, whose kind is `T`'s.
///
/// # Safety
/// The tensor's kind is `T`'s.
pub(crate) unsafe fn numbers<T: Number>(tensor: &Tensor) -> &[T] {
    check::<T>(tensor);
    match tensor.numel() {
        0 => &[],
        // SAFETY: the tensor holds so many numbers, for as long as the handle lives.
        count => unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast(), count) },
    }
}

fn check<T>(tensor: &Tensor) {
    let fits =
        tensor.device() == Device::Cpu && tensor.is_contiguous() && tensor.kind().elt_size_in_bytes() == size_of::<T>();
    assert!(fits, "kernels take contiguous tensors on the CPU, got {tensor:?}");
}

/// Where the parts of a kernel write, each places of its own.
pub(crate) struct Places<T>(*mut T, usize);

impl<T: Number> Places<T> {
    /// All numbers of a contiguous tensor on the CPU.
    ///
    /// # Safety
    /// The tensor's kind is `T`'s, it outlives the value, and nobody else uses its memory meanwhile.
    pub unsafe fn of(tensor: &Tensor) -> Self {
        check::<T>(tensor);
        Self(tensor.data_ptr().cast(), tensor.numel())
    }

    /// All numbers of a slice, which is not to be used as long as the value is.
    pub fn of_slice(slice: &mut [T]) -> Self {
        Self(slice.as_mut_ptr(), slice.len())
    }

    /// `length` places from `first` on.
    ///
    /// # Safety
    /// No other part of the kernel has one of these places.
    #[allow(clippy::mut_from_ref, reason = "every part takes places of its own")]
    #[inline(always)]
    pub unsafe fn part(&self, first: usize, length: usize) -> &mut [T] {
        assert!(first + length <= self.1);
        // SAFETY: the places lie there, and the caller says that no other part has them.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(first), length) }
    }
}

// SAFETY: every part writes places of its own.
unsafe impl<T> Sync for Places<T> {}
