//! Named tensors in safetensors files, and a loader that takes nothing but what the model asks for.
//!
//! [`read`] reads such a file, [`read_torch`] one of PyTorch's own without running it, [`read_any`] either.
//! `VarStore::load` of tch broadcasts shapes and changes kinds without a word; [`load`] lists what differs and changes
//! nothing.

mod any;
mod bytes;
mod finite;
mod header;
mod kinds;
mod mismatch;
mod read;
mod torch_file;
mod write;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use tch::nn::VarStore;
use tch::{Tensor, no_grad};

pub use any::read_any;
pub use bytes::of_bytes;
pub use finite::check_finite;
pub use kinds::{kind_of, name_of};
pub use mismatch::{Difference, Mismatch};
pub use read::{OpenFile, metadata, open, parse, read, shapes};
pub use torch_file::{read_torch, torch_kind};
pub use write::save;

use crate::TorchError;

/// All variables of `vs` by name, trainable or not; handles on the same memory.
pub fn tensors(vs: &VarStore) -> BTreeMap<String, Tensor> {
    vs.variables().into_iter().collect()
}

/// The trainable variables of `vs` with their names, sorted by name; handles on the same memory.
pub fn trainable(vs: &VarStore) -> Vec<(String, Tensor)> {
    let places: HashSet<_> = vs.trainable_variables().iter().map(|tensor| tensor.data_ptr() as usize).collect();
    let is_trainable = |(_, tensor): &(String, Tensor)| places.contains(&(tensor.data_ptr() as usize));
    tensors(vs).into_iter().filter(is_trainable).collect()
}

/// Loads a file into the variables of `vs`, which have to be exactly those of the file.
///
/// ```
/// use std::collections::BTreeMap;
/// use tch::{Device, nn};
/// use vqkit_torch::weights;
///
/// let mut vs = nn::VarStore::new(Device::Cpu);
/// let _ = vs.root().ones("weight", &[2, 3]);
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("model.safetensors");
/// weights::save(&path, &weights::tensors(&vs), &BTreeMap::new())?;
/// weights::load(&path, &mut vs)?;
///
/// let mut other = nn::VarStore::new(Device::Cpu);
/// let _ = other.root().ones("weight", &[3, 2]);
/// let message = weights::load(&path, &mut other).unwrap_err().to_string();
/// assert!(message.contains("`weight` has shape [2, 3], wanted [3, 2]"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`TorchError::Mismatch`] listing every name, shape and kind that differs; nothing is changed then. Those of [`read`].
pub fn load(path: &Path, vs: &mut VarStore) -> Result<(), TorchError> {
    assign_from(path, &read(path)?, vs)
}

/// Copies tensors into the variables of `vs`, which have to be exactly those; devices may differ.
///
/// # Errors
/// [`TorchError::Mismatch`] listing every name, shape and kind that differs; nothing is changed then.
pub fn assign(from: &BTreeMap<String, Tensor>, vs: &mut VarStore) -> Result<(), TorchError> {
    assign_from(Path::new("the given tensors"), from, vs)
}

/// As [`assign`], of tensors that were read from the file `path`.
///
/// # Errors
/// As [`assign`].
pub fn assign_from(path: &Path, from: &BTreeMap<String, Tensor>, vs: &mut VarStore) -> Result<(), TorchError> {
    let variables = tensors(vs);
    Mismatch::check(&path.display().to_string(), &variables, from)?;
    no_grad(|| variables.into_iter().try_for_each(|(name, mut variable)| variable.f_copy_(&from[&name])))?;
    Ok(())
}
