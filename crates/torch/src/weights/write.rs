//! Writing safetensors files.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use safetensors::Dtype;
use serde_json::{Map, Value, json};
use tch::{Device, Tensor};

use super::kinds::{dtype_of, name_of};
use crate::{TorchError, write_whole};

/// The header's length is a multiple of this, so that the data is aligned.
const ALIGNMENT: usize = 8;

/// Writes named tensors and metadata as a safetensors file.
///
/// The file is written beside `path`, flushed to the disk and renamed: `path` is the old file or the new one, whatever
/// happens. The same tensors and metadata give the same bytes. Values keep their kind: f64, f32, f16, bf16, i64, i32, i16,
/// i8, u8 and bool.
///
/// # Errors
/// [`TorchError::File`] when a tensor is of another kind; [`TorchError::Io`] when the file cannot be written.
pub fn save(
    path: &Path,
    tensors: &BTreeMap<String, Tensor>,
    metadata: &BTreeMap<String, String>,
) -> Result<(), TorchError> {
    let entries = ordered(path, tensors)?;
    let header = header(path, &entries, metadata)?;
    write_whole(path, |mut file, _| {
        file.write_all(&header).map_err(TorchError::io("write", path))?;
        entries
            .iter()
            .try_for_each(|entry| file.write_all(&bytes(entry.tensor)?).map_err(TorchError::io("write", path)))
    })
}

struct Entry<'a> {
    name: &'a str,
    dtype: Dtype,
    tensor: &'a Tensor,
}

/// The order that the safetensors crate writes: wide kinds first, which keeps all of them aligned, then by name.
fn ordered<'a>(path: &Path, tensors: &'a BTreeMap<String, Tensor>) -> Result<Vec<Entry<'a>>, TorchError> {
    let mut entries = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        let dtype = dtype_of(tensor.kind()).ok_or_else(|| {
            TorchError::file(path, format!("`{name}` is {}, which such a file does not hold", name_of(tensor.kind())))
        })?;
        entries.push(Entry { name, dtype, tensor });
    }
    entries.sort_by(|left, right| right.dtype.cmp(&left.dtype).then(left.name.cmp(right.name)));
    Ok(entries)
}

/// Length and header, padded.
fn header(path: &Path, entries: &[Entry], metadata: &BTreeMap<String, String>) -> Result<Vec<u8>, TorchError> {
    let mut table = Map::new();
    if !metadata.is_empty() {
        table.insert("__metadata__".into(), json!(metadata));
    }
    let mut offset = 0;
    for Entry { name, dtype, tensor } in entries {
        let end = offset + length(tensor);
        table.insert(
            (*name).into(),
            json!({"dtype": dtype.to_string(), "shape": tensor.size(), "data_offsets": [offset, end]}),
        );
        offset = end;
    }
    let mut text = Value::Object(table).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(ALIGNMENT), b' ');
    // Read back, so that no file is written that cannot be read: reserved names, a header above the format's limit.
    super::read::check_header(path, &text, offset)?;
    Ok([&(text.len() as u64).to_le_bytes()[..], &text].concat())
}

fn length(tensor: &Tensor) -> usize {
    tensor.numel() * tensor.kind().elt_size_in_bytes()
}

fn bytes(tensor: &Tensor) -> Result<Vec<u8>, TorchError> {
    let here = tensor.f_detach()?.f_to_device(Device::Cpu)?.f_contiguous()?;
    let mut bytes = vec![0; length(&here)];
    here.f_copy_data_u8(&mut bytes, here.numel())?;
    Ok(bytes)
}
