//! PyTorch's own files as named tensors; the crate `vqkit-torch-file` reads them, without running anything.

use std::collections::BTreeMap;
use std::path::Path;

use tch::{Kind, Tensor};
use vqkit_torch_file::{Dtype, Entry, TensorInfo, TorchFile, TorchFileError, Unreadable, Value};

use super::bytes::of_bytes;
use super::read::cut;
use crate::{TorchError, memory};

/// What a Lightning checkpoint calls its tensors.
const STATE_DICT: &str = "state_dict";

/// Reads the tensors of a file that `torch.save` wrote, onto the CPU, in their own kinds; nothing in it is executed.
///
/// Both formats are read: the zip archive (since PyTorch 1.6) and the stream of pickles before it. Where the root has a dict
/// called `state_dict`, as a Lightning checkpoint has, its tensors are read, else those of the root; dicts within dicts give
/// dotted names (`model.encoder.weight`), and what is neither a dict nor a tensor is left out. Tensors that share a storage in
/// the file share their memory; they need not be contiguous. Read are f64, f32, f16, bf16, i64, i32, i16, i8, u8 and bool,
/// dense, little-endian.
///
/// ```no_run
/// use std::path::Path;
/// use vqkit_torch::weights;
///
/// let tensors = weights::read_torch(Path::new("last.ckpt"))?;
/// println!("{:?}", tensors["quantize.embedding.weight"].size());
/// # Ok::<(), vqkit_torch::TorchError>(())
/// ```
///
/// # Errors
/// [`TorchError::File`] when it is no such file, is broken or truncated, has no dict of tensors at its root (the message
/// names what it asks to call instead), or a tensor of another kind; [`TorchError::Memory`] when its tensors have no place in
/// memory; [`TorchError::Io`] when it cannot be read.
pub fn read_torch(path: &Path) -> Result<BTreeMap<String, Tensor>, TorchError> {
    let file = TorchFile::open(path)?;
    let named = named(&file).map_err(|reason| refused(path, &reason))?;
    let bytes = named.values().map(|tensor| (tensor.storage_key(), tensor.storage_bytes()));
    let bytes: BTreeMap<&str, u64> = bytes.collect();
    // All storages, and one of them as it was read.
    let needed = bytes.values().sum::<u64>().saturating_add(bytes.values().max().copied().unwrap_or(0));
    memory::check(&format!("reading {}", path.display()), needed)?;
    let mut storages = BTreeMap::new();
    let tensor = |(name, info): (String, &TensorInfo)| {
        if !storages.contains_key(info.storage_key()) {
            storages.insert(info.storage_key().to_owned(), storage(&file, info)?);
        }
        Ok((name, view(info, &storages[info.storage_key()])?))
    };
    named.into_iter().map(tensor).collect()
}

fn refused(path: &Path, reason: &str) -> TorchError {
    TorchError::file(path, format!("this file of PyTorch's cannot be read: {reason}"))
}

/// The tensors by their dotted names.
fn named(file: &TorchFile) -> Result<BTreeMap<String, &TensorInfo>, String> {
    check_dict(file.root(), "its root")?;
    let inner = file.root().get(STATE_DICT);
    inner.map_or(Ok(()), |value| check_dict(value, "`state_dict`"))?;
    let prefix = if inner.is_some() { &[STATE_DICT][..] } else { &[] };
    let name = |path: &[String]| {
        let own = path.get(prefix.len()..)?;
        path.iter().zip(prefix).all(|(key, wanted)| key == wanted).then(|| own.join("."))
    };
    let mut array = None;
    for Unreadable { path, in_sequence, class } in file.unreadable() {
        match name(path).filter(|_| !in_sequence) {
            Some(name) if !class.starts_with("numpy") => {
                return Err(format!("`{name}` is made with `{class}`, a kind of tensor that is not read"));
            }
            Some(name) => array = Some(name),
            None => {}
        }
    }
    let mut tensors = BTreeMap::new();
    for Entry { path, in_sequence, tensor } in file.tensors() {
        let Some(name) = name(path).filter(|_| !in_sequence) else { continue };
        if tensors.contains_key(&name) {
            return Err(format!("two of its tensors are called `{name}`"));
        }
        tensors.insert(name, tensor);
    }
    match (tensors.is_empty(), array) {
        (false, _) => Ok(tensors),
        (true, None) => Err("there is no tensor in it".into()),
        (true, Some(name)) => Err(format!(
            "there is no tensor in it, but numpy's arrays, such as `{name}`: save tensors, which torch.from_numpy makes of them"
        )),
    }
}

/// Why a value cannot stand where a dict of tensors belongs.
fn check_dict(value: Value, place: &str) -> Result<(), String> {
    let hint = "save the model's state_dict() instead";
    Err(match value {
        Value::Dict(_) => return Ok(()),
        Value::Object(object) => format!(
            "{place} asks to call `{}`, and a checkpoint is read here, never run, since that can run code; {hint}",
            object.class()
        ),
        Value::Tensor(_) => format!("{place} is a tensor, not a dict of tensors; {hint}"),
        _ => format!("{place} is not a dict of tensors; {hint}"),
    })
}

/// The whole storage of a tensor, in one dimension.
fn storage(file: &TorchFile, info: &TensorInfo) -> Result<Tensor, TorchError> {
    let kind = torch_kind(info.dtype());
    of_bytes(&file.read_storage(info)?, &[info.storage_numel() as i64], kind)
}

/// The tensor, which shares the memory of its storage.
fn view(info: &TensorInfo, storage: &Tensor) -> Result<Tensor, TorchError> {
    let numbers = |numbers: &[u64]| numbers.iter().map(|number| *number as i64).collect::<Vec<_>>();
    let shape = numbers(info.shape());
    if info.numel() == 0 {
        return Ok(Tensor::f_empty(shape, (storage.kind(), storage.device()))?);
    }
    Ok(storage.f_as_strided(shape, numbers(info.strides()), info.storage_offset() as i64)?)
}

/// The kind of a type of PyTorch's files.
pub fn torch_kind(dtype: Dtype) -> Kind {
    match dtype {
        Dtype::F64 => Kind::Double,
        Dtype::F32 => Kind::Float,
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        Dtype::I64 => Kind::Int64,
        Dtype::I32 => Kind::Int,
        Dtype::I16 => Kind::Int16,
        Dtype::I8 => Kind::Int8,
        Dtype::U8 => Kind::Uint8,
        Dtype::Bool => Kind::Bool,
    }
}

impl From<TorchFileError> for TorchError {
    fn from(error: TorchFileError) -> Self {
        match error {
            TorchFileError::Io { path, source } => Self::Io { action: "read", path, source },
            TorchFileError::File { path, reason } => refused(&path, &reason),
            TorchFileError::Cut { path, before, now } => Self::file(&path, cut(before, now)),
            other => Self::file(other.path(), other.to_string()),
        }
    }
}
