//! Token files: grids of indices as u16 or u32, with their labels, in safetensors.

use std::{borrow::Cow, collections::HashMap, path::Path};

use safetensors::{Dtype, View};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};
use vqkit_torch::weights;

use crate::{
    error::{PipelineError, Result},
    files,
};

/// The one entry of the header's metadata; JSON, so that the file is the same byte for byte each time.
const HEADER: &str = "vqkit";
/// The tensor with the labels.
pub(crate) const CLASS: &str = "class";

/// What a token file says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenHeader {
    /// Fingerprint of the tokenizer that wrote the tokens.
    pub tokenizer: String,
    /// Fingerprint of the data that they were made of.
    pub data: String,
    /// Sizes of the codebooks, level by level, coarse first.
    pub sizes: Vec<Vec<i64>>,
    /// Names of the classes; none where there are no labels.
    pub classes: Vec<String>,
}

impl TokenHeader {
    /// The header of a file, whose tokens are not looked at.
    ///
    /// # Errors
    /// When it cannot be read, or is not a token file.
    pub fn read(path: &Path) -> Result<Self> {
        Self::of(&weights::metadata(path)?.into_iter().collect())
            .map_err(|reason| PipelineError::artifact(path, reason))
    }

    /// The header in a file's metadata; else what is wrong with it.
    pub(crate) fn of(metadata: &HashMap<String, String>) -> Result<Self, String> {
        let text = metadata.get(HEADER).ok_or("not a token file: its header names no tokenizer")?;
        serde_json::from_str(text).map_err(|error| error.to_string())
    }
}

/// The tensor with the indices of a level.
pub(crate) fn level_name(level: usize) -> String {
    format!("level.{level}")
}

/// Writes one file. `levels`: the indices of each level, whole numbers `[N, Q, *S]` on any device; `classes`: `[N]`, i64, -1
/// where an image has none.
///
/// # Errors
/// When it cannot be written.
pub fn write(path: &Path, header: &TokenHeader, levels: &[Tensor], classes: &Tensor) -> Result<()> {
    let mut entries: Vec<(String, Entry)> = Vec::new();
    for (level, (indices, sizes)) in levels.iter().zip(&header.sizes).enumerate() {
        entries.push((level_name(level), Entry::indices(indices, sizes)?));
    }
    entries.push((CLASS.into(), Entry::classes(classes)?));
    let header =
        serde_json::to_string(header).map_err(|source| PipelineError::Json { path: path.to_owned(), source })?;
    let bytes = safetensors::serialize(entries, Some(HashMap::from([(HEADER.to_owned(), header)])))
        .map_err(|error| PipelineError::artifact(path, error.to_string()))?;
    files::write(path, &bytes)
}

/// Bytes of one tensor on their way into a file.
struct Entry {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Entry {
    fn indices(indices: &Tensor, sizes: &[i64]) -> Result<Self> {
        let values: Vec<i32> = Vec::try_from(indices.f_to_kind(Kind::Int)?.flatten(0, -1).to_device(Device::Cpu))?;
        let fits_u16 = sizes.iter().all(|&size| size <= 1 << 16);
        let (dtype, bytes) = match fits_u16 {
            true => (Dtype::U16, values.iter().flat_map(|value| (*value as u16).to_le_bytes()).collect()),
            false => (Dtype::U32, values.iter().flat_map(|value| (*value as u32).to_le_bytes()).collect()),
        };
        Ok(Self { dtype, shape: indices.size().iter().map(|length| *length as usize).collect(), bytes })
    }

    fn classes(classes: &Tensor) -> Result<Self> {
        let values: Vec<i64> = Vec::try_from(classes)?;
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Ok(Self { dtype: Dtype::I64, shape: vec![values.len()], bytes })
    }
}

impl View for Entry {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}
