//! Token files: grids of indices as u16 or u32, with their labels, in safetensors.

use std::{borrow::Cow, collections::HashMap, path::Path};

use safetensors::{Dtype, View};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};
use vqkit_run::{RunError, files};
use vqkit_torch::weights;

use crate::error::Result;
use vqkit_models::ConditionVocabulary;

/// The only entry of the header's metadata, in JSON, so that the file is the same byte for byte each time.
const HEADER: &str = "vqkit";
/// Largest number of codes that indices, of at most 32 bits, can name.
const MOST_CODES: i64 = 1 << 32;
/// The tensor with the labels.
pub const CLASS: &str = "class";
/// The tensor with the ids of captions.
pub const TEXT: &str = "text";
/// The tensor with the number of ids of captions.
pub const TEXT_LENGTH: &str = "text.length";
/// The tensor with vectors computed elsewhere.
pub const EMBEDDING: &str = "embedding";
/// The tensor with the number of vectors.
pub const EMBEDDING_LENGTH: &str = "embedding.length";

/// The header of a token file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenHeader {
    /// Fingerprint of the tokenizer that wrote the tokens.
    pub tokenizer: String,
    /// Fingerprint of the data that they were made from.
    pub data: String,
    /// Sizes of the codebooks, level by level, coarse first.
    pub sizes: Vec<Vec<i64>>,
    /// Names of the classes; empty where there are no labels.
    pub classes: Vec<String>,
    /// Those of the classes that have no sample in the split.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub empty_classes: Vec<String>,
    /// Fingerprint of the tokenizer of the templates, where there are templates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Sizes of the codebooks of the grids that images are conditioned on: the levels of the templates' tokenizer, then coordinates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub condition_sizes: Vec<Vec<i64>>,
    /// Number of different ids in captions, where there are captions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_vocabulary: Option<i64>,
}

impl TokenHeader {
    /// The header of a file, whose tokens are not read.
    ///
    /// # Errors
    /// When it cannot be read, or is not a token file.
    pub fn read(path: &Path) -> Result<Self> {
        Ok(Self::of(&weights::metadata(path)?.into_iter().collect())
            .map_err(|reason| RunError::artifact(path, reason))?)
    }

    /// The header in a file's metadata; an error says what is wrong with it.
    pub fn of(metadata: &HashMap<String, String>) -> Result<Self, String> {
        let text = metadata.get(HEADER).ok_or("not a token file: its header names no tokenizer")?;
        let header: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        header.check()?;
        Ok(header)
    }

    /// Checks that there are levels, and codebooks whose codes indices can name.
    fn check(&self) -> Result<(), String> {
        if self.sizes.is_empty() {
            return Err("its header names no level of tokens".into());
        }
        let is_possible = |sizes: &[i64]| !sizes.is_empty() && sizes.iter().all(|size| (1..=MOST_CODES).contains(size));
        match self.grids().into_iter().find(|(_, sizes)| !is_possible(sizes)) {
            None => Ok(()),
            Some((name, sizes)) => Err(format!(
                "its header claims codebooks of {sizes:?} codes for `{name}`: there must be at least one, of 1 to {MOST_CODES} codes"
            )),
        }
    }

    /// The conditions of the priors of these tokens.
    pub fn facts(&self) -> ConditionVocabulary {
        ConditionVocabulary { classes: self.classes.len() as u32, text_vocabulary: self.text_vocabulary.unwrap_or(1) }
    }

    /// Every tensor of indices, by name, with the sizes of its codebooks: the levels, then the condition grids.
    pub fn grids(&self) -> Vec<(String, Vec<i64>)> {
        let levels = self.sizes.iter().enumerate().map(|(level, sizes)| (level_name(level), sizes.clone()));
        let conditions = self.condition_sizes.iter().enumerate();
        let conditions = conditions.map(|(index, sizes)| (condition_name(index), sizes.clone()));
        let text = self.text_vocabulary.map(|vocabulary| (TEXT.to_owned(), vec![vocabulary]));
        levels.chain(conditions).chain(text).collect()
    }
}

/// The tensor with the indices of a level.
pub fn level_name(level: usize) -> String {
    format!("level.{level}")
}

/// The tensor with the indices of a grid that images are conditioned on.
pub fn condition_name(index: usize) -> String {
    format!("condition.{index}")
}

/// Tensors by their names in a file, all of the same number of images: `level.0` and so on, `condition.0` and so on and
/// `text`, integers `[N, Q, *S]`; `class` (-1 where an image has none), `text.length` and `embedding.length`, i64
/// `[N]`; `embedding`, f32 `[N, L, D]`.
pub type Columns = Vec<(String, Tensor)>;

/// Writes one file; the header determines its columns.
///
/// # Errors
/// When it cannot be written.
pub fn write(path: &Path, header: &TokenHeader, columns: &Columns) -> Result<()> {
    let grids = header.grids();
    let entry = |(name, tensor): &(String, Tensor)| -> Result<(String, Entry)> {
        let sizes = grids.iter().find(|(grid, _)| grid == name).map(|(_, sizes)| sizes);
        let entry = match (sizes, tensor.kind()) {
            (Some(sizes), _) => Entry::indices(tensor, sizes)?,
            (None, Kind::Float) => Entry::floats(tensor)?,
            (None, _) => Entry::numbers(tensor)?,
        };
        Ok((name.clone(), entry))
    };
    let entries: Vec<(String, Entry)> = columns.iter().map(entry).collect::<Result<_>>()?;
    let header = serde_json::to_string(header).map_err(|source| RunError::Json { path: path.to_owned(), source })?;
    let bytes = safetensors::serialize(entries, Some(HashMap::from([(HEADER.to_owned(), header)])))
        .map_err(|error| RunError::artifact(path, error.to_string()))?;
    Ok(files::write(path, &bytes)?)
}

/// The bytes of one tensor, to be written.
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

    fn numbers(numbers: &Tensor) -> Result<Self> {
        let values: Vec<i64> = Vec::try_from(numbers)?;
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Ok(Self { dtype: Dtype::I64, shape: vec![values.len()], bytes })
    }

    fn floats(floats: &Tensor) -> Result<Self> {
        let values: Vec<f32> = Vec::try_from(floats.flatten(0, -1).to_device(Device::Cpu))?;
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Ok(Self { dtype: Dtype::F32, shape: floats.size().iter().map(|length| *length as usize).collect(), bytes })
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
