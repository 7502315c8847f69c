//! Weights that are numbers.

use std::collections::BTreeMap;
use std::path::Path;

use tch::Tensor;

use crate::TorchError;

/// Looks at every number of `tensors`, which come from the file `path`: one pass over each, without a copy. Whole numbers are
/// always sound. No network of vqkit has a variable that may be infinite.
///
/// ```
/// use std::collections::BTreeMap;
/// use std::path::Path;
/// use tch::Tensor;
/// use vqkit_torch::weights;
///
/// let tensors = BTreeMap::from([("bias".to_owned(), Tensor::from_slice(&[1.0f32, f32::NAN]))]);
/// let message = weights::check_finite(Path::new("model.safetensors"), &tensors).unwrap_err().to_string();
/// assert!(message.starts_with("model.safetensors: `bias` holds numbers that are not finite"));
/// ```
///
/// # Errors
/// [`TorchError::File`], which names the first tensor with NaN or an infinity, and how many there are.
pub fn check_finite(path: &Path, tensors: &BTreeMap<String, Tensor>) -> Result<(), TorchError> {
    let mut broken = Vec::new();
    for (name, tensor) in tensors {
        if !is_finite(tensor)? {
            broken.push(name);
        }
    }
    let others = match &broken[..] {
        [] => return Ok(()),
        [_] => String::new(),
        [_, others @ ..] => format!(", and so do {} other tensors", others.len()),
    };
    let cause = "the training that wrote it went wrong, or the file is damaged: take another checkpoint";
    Err(TorchError::file(path, format!("`{}` holds numbers that are not finite{others}; {cause}", broken[0])))
}

/// Least and largest number are found in one pass, and NaN is either.
fn is_finite(tensor: &Tensor) -> Result<bool, TorchError> {
    if tensor.numel() == 0 || !tensor.is_floating_point() {
        return Ok(true);
    }
    let (least, largest) = tensor.detach().f_aminmax(None, false)?;
    Ok(least.f_double_value(&[])?.is_finite() && largest.f_double_value(&[])?.is_finite())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tch::{Device, Kind};

    use super::*;

    proptest! {
        #[test]
        fn one_broken_number_anywhere_is_found(
            length in 1i64..300,
            place in 0i64..300,
            kind in prop::sample::select(vec![Kind::Float, Kind::Double, Kind::Half, Kind::BFloat16]),
            wrong in prop::sample::select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY]),
        ) {
            let tensor = Tensor::randn([2, length], (Kind::Float, Device::Cpu)).to_kind(kind);
            let check = || check_finite(Path::new("w"), &BTreeMap::from([("x".to_owned(), tensor.shallow_clone())]));
            prop_assert!(check().is_ok());
            let _ = tensor.get(place % 2).get(place % length).fill_(wrong);
            prop_assert!(check().unwrap_err().to_string().contains("`x` holds numbers that are not finite;"));
        }
    }

    #[test]
    fn whole_numbers_and_empty_tensors_are_sound() {
        let tensors =
            [Tensor::from_slice(&[1i64]), Tensor::from_slice(&[true]), Tensor::zeros([0], (Kind::Float, Device::Cpu))];
        let tensors = (0..).map(|index: i64| index.to_string()).zip(tensors).collect();
        check_finite(Path::new("w"), &tensors).unwrap();
    }
}
