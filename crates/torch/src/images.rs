//! Images between a program's memory and tensors.

use tch::{Device, Kind, Tensor};

use crate::TorchError;

/// A batch of images as a tensor `[B, C, H, W]`, f32, on `device`.
///
/// `values` are those of the shape `[B, C, H, W]` in row-major order, as the `images` and the `shape` of a batch of
/// `vqkit-data` have them. In memory the channels of a pixel lie side by side (`torch.channels_last`): convolutions keep the
/// layout of their input, and on the CPU reorder less in this one.
///
/// ```
/// use tch::Device;
///
/// let values: Vec<f32> = (0..24).map(|value| value as f32).collect();
/// let images = vqkit_torch::images(&values, [2, 3, 2, 2], Device::Cpu)?;
/// assert_eq!((images.size(), images.stride()), (vec![2, 3, 2, 2], vec![12, 1, 6, 3]));
/// assert_eq!(images.double_value(&[1, 0, 0, 1]), 13.0);
/// # Ok::<(), vqkit_torch::TorchError>(())
/// ```
///
/// # Errors
/// When the values are not as many as the shape has, or the device refuses.
pub fn images(values: &[f32], shape: [usize; 4], device: Device) -> Result<Tensor, TorchError> {
    let shape = shape.map(|length| length as i64);
    let images = Tensor::f_from_slice(values)?.f_view(shape)?.f_to_device(device)?;
    Ok(images.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])?)
}

/// The images of a batch as 8-bit RGB: of each image its pixels row by row, three bytes a pixel.
///
/// A value `v` becomes `round((v + 1) * 127.5)`; values outside of `[-1, 1]` are clamped, and a grey image gets three equal channels.
///
/// ```
/// use tch::Tensor;
///
/// let grey = Tensor::from_slice(&[-1.0f32, 1.0]).view([1, 1, 1, 2]);
/// assert_eq!(vqkit_torch::rgb8(&grey)?, [[0, 0, 0, 255, 255, 255]]);
/// # Ok::<(), vqkit_torch::TorchError>(())
/// ```
///
/// # Shapes
/// `[B, C, H, W]`, floating, `C` 1 (grey) or 3 (RGB), to `B` times `H * W * 3` bytes.
///
/// # Errors
/// When the images have another shape, or libtorch refuses.
pub fn rgb8(images: &Tensor) -> Result<Vec<Vec<u8>>, TorchError> {
    let scaled = (images.f_to_kind(Kind::Float)?.f_clamp(-1.0, 1.0)?.f_add_scalar(1.0)?).f_mul_scalar(127.5)?;
    let bytes = scaled.f_round()?.f_to_kind(Kind::Uint8)?;
    let rgb = bytes.f_expand([-1, 3, -1, -1], false)?.f_permute([0, 2, 3, 1])?.f_to_device(Device::Cpu)?;
    rgb.f_contiguous()?.f_unbind(0)?.iter().map(bytes_of).collect()
}

/// The values of a tensor of bytes.
fn bytes_of(tensor: &Tensor) -> Result<Vec<u8>, TorchError> {
    let mut bytes = vec![0; tensor.numel()];
    tensor.f_copy_data(&mut bytes, tensor.numel())?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_a_tensor_comes_back() {
        let bytes: Vec<u8> = (0..2 * 3 * 4 * 5).map(|value| (value * 37 % 256) as u8).collect();
        let pixels = Tensor::from_slice(&bytes).view([2, 4, 5, 3]).permute([0, 3, 1, 2]).to_kind(Kind::Float);
        let values: Vec<f32> = Vec::try_from((pixels / 127.5 - 1.0).contiguous().view(-1)).unwrap();
        let images = images(&values, [2, 3, 4, 5], Device::Cpu).unwrap();
        assert_eq!(rgb8(&images).unwrap().concat(), bytes);
    }

    #[test]
    fn values_outside_of_the_range_are_clamped() {
        let images = Tensor::from_slice(&[-7.0f32, 0.0, 1.5]).view([1, 3, 1, 1]);
        assert_eq!(rgb8(&images).unwrap(), [[0, 128, 255]]);
    }

    #[test]
    fn other_shapes_are_refused() {
        assert!(images(&[0.0; 11], [1, 3, 2, 2], Device::Cpu).is_err());
        assert!(rgb8(&Tensor::zeros([1, 2, 4, 4], (Kind::Float, Device::Cpu))).is_err());
        assert!(rgb8(&Tensor::zeros([3, 4], (Kind::Float, Device::Cpu))).is_err());
    }
}
