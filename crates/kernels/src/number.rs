//! The numbers of a tensor, as kernels read and write them.

/// A number in memory; kernels compute in f32.
pub(crate) trait Number: Copy + Send + Sync {
    fn read(self) -> f32;
    fn write(value: f32) -> Self;
}

impl Number for f32 {
    #[inline(always)]
    fn read(self) -> f32 {
        self
    }

    #[inline(always)]
    fn write(value: f32) -> Self {
        value
    }
}

/// A bfloat16: the upper half of an f32. Its conversions become vector instructions, which those of a crate do not.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Bf16(u16);

impl Number for Bf16 {
    #[inline(always)]
    fn read(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }

    /// The nearest, of two as near the even one.
    #[inline(always)]
    fn write(value: f32) -> Self {
        const QUIET_NAN: u32 = 0x7fc0;
        let bits = value.to_bits();
        let nearest = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
        Self(if value.is_nan() { QUIET_NAN } else { nearest } as u16)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tch::{Device, Kind, Tensor};

    use super::*;

    proptest! {
        #[test]
        fn bfloat16_is_rounded_as_libtorch_rounds(bits: u32) {
            let value = f32::from_bits(bits);
            let theirs = Tensor::from_slice(&[value]).to_device(Device::Cpu).to_kind(Kind::BFloat16);
            let theirs = theirs.to_kind(Kind::Float).double_value(&[0]) as f32;
            let ours = Bf16::write(value).read();
            prop_assert!(ours == theirs || (ours.is_nan() && theirs.is_nan()), "{value:e}: {ours:e} and {theirs:e}");
        }
    }
}
