//! A checkpoint as it lies on the disk: its tensors by the keys that lead to them, read one at a time.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use safetensors::tensor::TensorInfo as SafeTensorInfo;
use serde_json::{Map, Value};
use tch::{Kind, Tensor};
use vqkit_torch::weights;
use vqkit_torch_file::{Dict, TensorInfo, TorchFile, Value as TorchValue};

use crate::error::{ForeignError, Result};

/// Where the header of a safetensors file begins, always with `{`.
const HEADER: usize = 8;

/// The list of shards that transformers and diffusers write for a state of several files.
const INDEX: &str = ".index.json";

/// A checkpoint: one file of PyTorch's or of safetensors, or the shards of one.
#[derive(Debug)]
pub struct ForeignFile {
    path: PathBuf,
    tensors: Vec<ForeignTensor>,
    values: Value,
    contents: Contents,
}

/// A tensor in a checkpoint, which is not read yet.
#[derive(Debug, Clone)]
pub struct ForeignTensor {
    /// The keys that lead to it: `["state_dict", "encoder.conv_in.weight"]`; in safetensors only the last.
    pub keys: Vec<String>,
    /// Its shape.
    pub shape: Vec<i64>,
    /// Its kind.
    pub kind: Kind,
    place: Place,
}

/// What a tensor is read from.
#[derive(Debug, Clone)]
enum Place {
    Torch(TensorInfo),
    Safetensors { file: usize, info: SafeTensorInfo },
}

#[derive(Debug)]
enum Contents {
    Torch(Box<TorchFile>),
    Safetensors(Vec<weights::OpenFile>),
}

impl ForeignFile {
    /// Opens a file that `torch.save` wrote, a safetensors file, or an index of shards (`….index.json`); reads names and
    /// shapes only. Nothing in it is executed.
    ///
    /// # Errors
    /// When it is none of these, or is broken.
    pub fn open(path: &Path) -> Result<Self> {
        if path.to_string_lossy().ends_with(INDEX) {
            return Self::of_shards(path, &shards(path)?);
        }
        match is_safetensors(path)? {
            true => Self::of_shards(path, &[path.to_owned()]),
            false => Self::of_torch(path),
        }
    }

    fn of_torch(path: &Path) -> Result<Self> {
        let file = TorchFile::open(path)?;
        let tensor = |entry: &vqkit_torch_file::Entry| ForeignTensor {
            keys: entry.path.clone(),
            shape: entry.tensor.shape().iter().map(|length| *length as i64).collect(),
            kind: weights::torch_kind(entry.tensor.dtype()),
            place: Place::Torch(entry.tensor.clone()),
        };
        let tensors: Vec<ForeignTensor> = file.tensors().iter().map(tensor).collect();
        if let (true, Some(unreadable)) = (tensors.is_empty(), file.unreadable().first()) {
            let (name, class) = (unreadable.path.join("."), &unreadable.class);
            return Err(ForeignError::file(
                path,
                format!("`{name}` would have to be made by a call of `{class}`, which is not done"),
            ));
        }
        let values = facts(file.root(), 0);
        Ok(Self { path: path.to_owned(), tensors, values, contents: Contents::Torch(Box::new(file)) })
    }

    fn of_shards(path: &Path, shards: &[PathBuf]) -> Result<Self> {
        let (mut files, mut tensors) = (Vec::new(), Vec::new());
        for shard in shards {
            let open = weights::open(shard)?;
            for (name, info) in open.header().tensors() {
                let kind = weights::kind_of(info.dtype).ok_or_else(|| {
                    ForeignError::file(shard, format!("`{name}` is {}, which libtorch lacks", info.dtype))
                })?;
                let shape = info.shape.iter().map(|length| *length as i64).collect();
                let place = Place::Safetensors { file: files.len(), info: info.clone() };
                tensors.push(ForeignTensor { keys: vec![name.clone()], shape, kind, place });
            }
            files.push(open);
        }
        let metadata = files.first().and_then(|file| file.header().metadata().as_ref());
        let texts = metadata.into_iter().flatten().map(|(key, text)| (key.clone(), Value::from(text.as_str())));
        let values = Value::Object(texts.collect());
        Ok(Self { path: path.to_owned(), tensors, values, contents: Contents::Safetensors(files) })
    }

    /// Its path, as it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every tensor.
    pub fn tensors(&self) -> &[ForeignTensor] {
        &self.tensors
    }

    /// What stands beside the tensors: numbers, texts and truth values by nested keys, also the attributes of objects such as
    /// an `argparse.Namespace`; of safetensors the metadata.
    pub fn values(&self) -> &Value {
        &self.values
    }

    /// Reads a tensor of this file, onto the CPU.
    ///
    /// # Errors
    /// When the file cannot be read, or was cut since it was opened.
    pub fn read(&self, tensor: &ForeignTensor) -> Result<Tensor> {
        let bytes = match (&self.contents, &tensor.place) {
            (Contents::Torch(file), Place::Torch(info)) => file.read(info)?,
            (Contents::Safetensors(files), Place::Safetensors { file, info }) => {
                let range = files[*file].range(info);
                let mut bytes = vec![0; (range.end - range.start) as usize];
                files[*file].read(range.start, &mut bytes)?;
                bytes
            }
            _ => return Err(ForeignError::file(&self.path, "the tensor is of another file")),
        };
        Ok(weights::of_bytes(&bytes, &tensor.shape, tensor.kind)?)
    }
}

impl ForeignTensor {
    /// How its kind is called: `F32`, `BF16`, `I64` and so on.
    pub fn kind_name(&self) -> String {
        weights::name_of(self.kind)
    }

    /// Its number of values.
    pub fn numel(&self) -> u64 {
        self.shape.iter().map(|length| length.unsigned_abs()).product()
    }
}

fn is_safetensors(path: &Path) -> Result<bool> {
    let failed = |source| ForeignError::Io { action: "read", path: path.to_owned(), source };
    let mut start = Vec::new();
    let file = File::open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(ForeignError::file(path, "is not a plain file"));
    }
    file.take(HEADER as u64 + 1).read_to_end(&mut start).map_err(failed)?;
    Ok(start.get(HEADER) == Some(&b'{'))
}

/// The files that an index names, which lie beside it.
fn shards(index: &Path) -> Result<Vec<PathBuf>> {
    let failed = |source| ForeignError::Io { action: "read", path: index.to_owned(), source };
    let value: Value = serde_json::from_slice(&std::fs::read(index).map_err(failed)?)
        .map_err(|error| ForeignError::file(index, format!("is no JSON: {error}")))?;
    let map = value.get("weight_map").and_then(Value::as_object);
    let map =
        map.ok_or_else(|| ForeignError::file(index, "has no `weight_map`, which names the file of every tensor"))?;
    let folder = index.parent().unwrap_or(Path::new("."));
    let mut names: BTreeMap<&str, PathBuf> = BTreeMap::new();
    for file in map.values() {
        let plain = file.as_str().filter(|name| Path::new(name).file_name().is_some_and(|plain| plain == *name));
        let name =
            plain.ok_or_else(|| ForeignError::file(index, format!("names {file}, which is no file beside it")))?;
        names.insert(name, folder.join(name));
    }
    Ok(names.into_values().collect())
}

/// Objects may be nested; deeper ones say nothing that is needed.
const DEEPEST: usize = 8;
/// Entries of one dict that are kept: an optimizer has as many as there are tensors.
const MOST: usize = 1000;

/// The plain values of a pickle, without its tensors.
fn facts(value: TorchValue, depth: usize) -> Value {
    if depth > DEEPEST {
        return Value::Null;
    }
    match value {
        TorchValue::Bool(value) => value.into(),
        TorchValue::Int(value) => i64::try_from(value).map_or(Value::Null, Value::from),
        TorchValue::Float(value) => value.into(),
        TorchValue::Text(text) => text.into(),
        TorchValue::Sequence(items) => items.iter().take(MOST).map(|item| facts(item, depth + 1)).collect(),
        TorchValue::Dict(entries) => named(entries, depth),
        TorchValue::Object(object) => match object.state() {
            Some(state) => facts(state, depth + 1),
            None => named(object.items(), depth),
        },
        _ => Value::Null,
    }
}

/// The plain values of a dict whose keys are texts.
fn named(entries: Dict, depth: usize) -> Value {
    let entry = |(key, value): (TorchValue, TorchValue)| match (key.as_text(), value) {
        (None, _) | (_, TorchValue::Tensor(_)) => None,
        (Some(key), value) => Some((key.to_owned(), facts(value, depth + 1))),
    };
    Value::Object(entries.iter().filter_map(entry).take(MOST).collect::<Map<_, _>>())
}
