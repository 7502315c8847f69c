//! Tensors from the bytes that files hold.

use tch::{Kind, Tensor};

use crate::TorchError;

/// A tensor on the CPU from its values in row-major order, little-endian, truth values as 0 and 1.
///
/// ```
/// use tch::Kind;
/// use vqkit_torch::weights;
///
/// let tensor = weights::of_bytes(&1.5f32.to_le_bytes(), &[1], Kind::Float)?;
/// assert_eq!(tensor.double_value(&[0]), 1.5);
/// assert!(weights::of_bytes(&[0; 3], &[1], Kind::Float).is_err());
/// # Ok::<(), vqkit_torch::TorchError>(())
/// ```
///
/// # Errors
/// When there are more or fewer bytes than the shape takes.
pub fn of_bytes(bytes: &[u8], shape: &[i64], kind: Kind) -> Result<Tensor, TorchError> {
    // A truth value other than 0 and 1 is undefined in C++.
    let (stored, is_truth) = if kind == Kind::Bool { (Kind::Uint8, true) } else { (kind, false) };
    let wanted = shape
        .iter()
        .try_fold(stored.elt_size_in_bytes(), |bytes, length| bytes.checked_mul(usize::try_from(*length).ok()?));
    // libtorch reads as much as the shape takes, whatever there is.
    if wanted != Some(bytes.len()) {
        let reason = format!("{} do not fill a tensor of shape {shape:?} and kind {kind:?}", bytes.len());
        return Err(TorchError::Config { field: "bytes", reason });
    }
    let tensor = Tensor::f_from_data_size(bytes, shape, stored)?;
    Ok(if is_truth { tensor.f_ne(0)? } else { tensor })
}
