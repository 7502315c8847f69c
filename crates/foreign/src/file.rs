//! A checkpoint as it lies on the disk: its tensors by the keys that lead to them, read one at a time.

use std::{
    collections::{BTreeMap, HashSet},
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
    files: Vec<Opened>,
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
    Torch { file: usize, info: TensorInfo },
    Safetensors { file: usize, info: SafeTensorInfo },
}

/// One file of a checkpoint.
#[derive(Debug)]
enum Opened {
    Torch(Box<TorchFile>),
    Safetensors(weights::OpenFile),
}

impl ForeignFile {
    /// Opens a file that `torch.save` wrote, a safetensors file, or an index of shards (`….index.json`); reads names and
    /// shapes only. Nothing in it is executed.
    ///
    /// # Errors
    /// When it is none of these, or is broken.
    pub fn open(path: &Path) -> Result<Self> {
        let paths = if path.to_string_lossy().ends_with(INDEX) { shards(path)? } else { vec![path.to_owned()] };
        let mut checkpoint =
            Self { path: path.to_owned(), tensors: Vec::new(), values: Value::Null, files: Vec::new() };
        for path in &paths {
            match is_safetensors(path)? {
                true => checkpoint.add_safetensors(path)?,
                false => checkpoint.add_torch(path)?,
            }
        }
        let mut names = HashSet::new();
        match checkpoint.tensors.iter().find(|tensor| !names.insert(&tensor.keys)) {
            None => Ok(checkpoint),
            Some(twice) => {
                let name = twice.keys.join(".");
                Err(ForeignError::file(path, format!("two of its tensors are called `{name}`")))
            }
        }
    }

    fn add_torch(&mut self, path: &Path) -> Result<()> {
        let file = TorchFile::open(path)?;
        if let (true, Some(unreadable)) = (file.tensors().is_empty(), file.unreadable().first()) {
            let (name, class) = (unreadable.path.join("."), &unreadable.class);
            let reason = format!("`{name}` would have to be made by a call of `{class}`, which is not done");
            return Err(ForeignError::file(path, reason));
        }
        for entry in file.tensors() {
            self.tensors.push(ForeignTensor {
                keys: entry.path.clone(),
                shape: lengths(path, entry.tensor.shape().iter().copied())?,
                kind: weights::torch_kind(entry.tensor.dtype()),
                place: Place::Torch { file: self.files.len(), info: entry.tensor.clone() },
            });
        }
        if self.values.is_null() {
            self.values = facts(file.root(), 0, &mut MOST.clone());
        }
        self.files.push(Opened::Torch(Box::new(file)));
        Ok(())
    }

    fn add_safetensors(&mut self, path: &Path) -> Result<()> {
        let file = weights::open(path)?;
        for (name, info) in file.header().tensors() {
            let kind = weights::kind_of(info.dtype)
                .ok_or_else(|| ForeignError::file(path, format!("`{name}` is {}, which libtorch lacks", info.dtype)))?;
            let shape = lengths(path, info.shape.iter().map(|length| *length as u64))?;
            let place = Place::Safetensors { file: self.files.len(), info: info.clone() };
            self.tensors.push(ForeignTensor { keys: vec![name.clone()], shape, kind, place });
        }
        if let (true, Some(metadata)) = (self.values.is_null(), file.header().metadata()) {
            let texts = metadata.iter().map(|(key, text)| (key.clone(), Value::from(text.as_str())));
            self.values = Value::Object(texts.collect());
        }
        self.files.push(Opened::Safetensors(file));
        Ok(())
    }

    /// The paths of its files: of shards, all of them.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| match file {
            Opened::Torch(file) => file.path(),
            Opened::Safetensors(file) => file.path(),
        })
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
        let foreign = || ForeignError::file(&self.path, "the tensor is of another file");
        let bytes = match &tensor.place {
            Place::Torch { file, info } => match self.files.get(*file) {
                Some(Opened::Torch(file)) => file.read(info)?,
                _ => return Err(foreign()),
            },
            Place::Safetensors { file, info } => match self.files.get(*file) {
                Some(Opened::Safetensors(file)) => {
                    let range = file.range(info);
                    let mut bytes = vec![0; (range.end - range.start) as usize];
                    file.read(range.start, &mut bytes)?;
                    bytes
                }
                _ => return Err(foreign()),
            },
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

/// A shape in the numbers of libtorch.
fn lengths(path: &Path, shape: impl Iterator<Item = u64>) -> Result<Vec<i64>> {
    let length = |length: u64| {
        i64::try_from(length)
            .map_err(|_| ForeignError::file(path, format!("a tensor has the impossible length {length}")))
    };
    shape.map(length).collect()
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
/// Values of one file that are kept; shared ones count as often as they stand somewhere.
const MOST: usize = 100_000;

/// The plain values of a pickle, without its tensors; `left`: how many more are kept.
fn facts(value: TorchValue, depth: usize, left: &mut usize) -> Value {
    if depth > DEEPEST || *left == 0 {
        return Value::Null;
    }
    *left -= 1;
    match value {
        TorchValue::Bool(value) => value.into(),
        TorchValue::Int(value) => i64::try_from(value).map_or(Value::Null, Value::from),
        TorchValue::Float(value) => value.into(),
        TorchValue::Text(text) => text.into(),
        TorchValue::Sequence(items) => items.iter().take(*left).map(|item| facts(item, depth + 1, left)).collect(),
        TorchValue::Dict(entries) => named(entries, depth, left),
        TorchValue::Object(object) => match object.state() {
            Some(state) => facts(state, depth + 1, left),
            None => named(object.items(), depth, left),
        },
        _ => Value::Null,
    }
}

/// The plain values of a dict whose keys are texts.
fn named(entries: Dict, depth: usize, left: &mut usize) -> Value {
    let mut values = Map::new();
    for (key, value) in entries.iter().take(*left) {
        if let (Some(key), false) = (key.as_text(), matches!(value, TorchValue::Tensor(_))) {
            values.insert(key.to_owned(), facts(value, depth + 1, left));
        }
    }
    Value::Object(values)
}
