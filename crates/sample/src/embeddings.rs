//! References to embeddings that images are conditioned on: those of validation samples, or all of a file that the
//! caller names.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use vqkit_recipe::{EmbeddingCondition, InvalidRequest};
use vqkit_run::RunError;
use vqkit_tokens::{ConditionEncoder, EmbeddingFile};

use crate::error::Result;

/// Where the vectors of an image are, and a hash of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmbeddingRef {
    /// Their key.
    pub key: String,
    /// The file; without one, the files of the run's validation samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// BLAKE3 of their numbers, as little-endian f32.
    pub blake3: String,
}

impl EmbeddingRef {
    /// Those of a validation sample.
    ///
    /// # Errors
    /// Where it has none.
    pub fn of_sample(key: &str, own: &EmbeddingFile) -> Result<Self> {
        Ok(Self { key: key.to_owned(), file: None, blake3: blake3(&own.get(key)?) })
    }

    /// All of a file, in the order of their keys.
    ///
    /// # Errors
    /// [`InvalidRequest`] where the file cannot be used, holds nothing, or vectors other than `condition` describes.
    pub fn of_file(path: &Path, condition: &EmbeddingCondition) -> Result<Vec<Self>> {
        let file = open(path)?;
        let refuse =
            |reason: String| Err(InvalidRequest::option("embedding", format!("{}: {reason}", path.display())).into());
        let (length, dim) = (file.longest() as i64, file.dim() as i64);
        if length == 0 {
            return refuse("holds no vectors".into());
        }
        if dim != condition.dim {
            return refuse(format!("its vectors have width {dim}, but the run takes {}", condition.dim));
        }
        if length > condition.length {
            return refuse(format!("has {length} vectors in a sequence, but the run reads {}", condition.length));
        }
        let whole = std::path::absolute(path).map_err(|source| RunError::io("find", path, source))?;
        let vectors = |key: &str| Ok(Self { file: Some(whole.clone()), ..Self::of_sample(key, &file)? });
        file.keys().into_iter().map(vectors).collect()
    }
}

/// The numbers of vectors, `L * D` of each.
///
/// # Errors
/// Where they are missing, or have changed.
pub fn read(vectors: &[&EmbeddingRef], encoder: &ConditionEncoder) -> Result<Vec<Vec<f32>>> {
    let mut files = HashMap::new();
    for path in vectors.iter().filter_map(|vectors| vectors.file.as_deref()) {
        if !files.contains_key(path) {
            files.insert(path, open(path)?);
        }
    }
    let one = |vectors: &&EmbeddingRef| {
        let numbers = match &vectors.file {
            Some(path) => files[path.as_path()].get(&vectors.key)?,
            None => encoder.embeddings()?.get(&vectors.key)?,
        };
        if blake3(&numbers) != vectors.blake3 {
            let message = format!("the vectors of {} differ from those that the record was made with", vectors.key);
            return Err(InvalidRequest::option("replay", message).into());
        }
        Ok(numbers)
    };
    vectors.iter().map(one).collect()
}

fn open(path: &Path) -> Result<EmbeddingFile> {
    Ok(EmbeddingFile::open(&[path.to_owned()])
        .map_err(|error| InvalidRequest::option("embedding", format!("{error}")))?)
}

fn blake3(numbers: &[f32]) -> String {
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    blake3::hash(&bytes).to_hex().to_string()
}
