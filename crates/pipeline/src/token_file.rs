//! Token files: grids of indices as u16 or u32, with their labels, in safetensors.

use std::{borrow::Cow, collections::HashMap, fs, path::Path};

use safetensors::{Dtype, SafeTensors, View};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};
use vqkit_torch::TokenGrid;

use crate::{
    error::{PipelineError, Result},
    files,
};

/// The one entry of the header's metadata; JSON, so that the file is the same byte for byte each time.
const HEADER: &str = "vqkit";
const CLASS: &str = "class";

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

/// The tokens of many images.
#[derive(Debug)]
pub struct TokenSet {
    /// What the file says of itself.
    pub header: TokenHeader,
    /// Indices of every level, `[N, Q, *S]`, i32.
    pub levels: Vec<Tensor>,
    /// Classes `[N]`, i64; -1 where an image has none.
    pub classes: Tensor,
}

impl TokenSet {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.classes.size()[0] as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The grids of a level at the given places, on `device`.
    ///
    /// # Errors
    /// When a place lies outside.
    pub fn grid(&self, level: usize, places: &Tensor, device: Device) -> Result<TokenGrid> {
        let indices = self.levels[level].f_index_select(0, places)?.to_device(device).to_kind(Kind::Int64);
        Ok(TokenGrid::new(indices, self.header.sizes[level].clone())?)
    }

    /// Writes one file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut entries: Vec<(String, Entry)> = Vec::new();
        for (level, (indices, sizes)) in self.levels.iter().zip(&self.header.sizes).enumerate() {
            entries.push((format!("level.{level}"), Entry::indices(indices, sizes)?));
        }
        entries.push((CLASS.into(), Entry::classes(&self.classes)?));
        let header = serde_json::to_string(&self.header)
            .map_err(|source| PipelineError::Json { path: path.to_owned(), source })?;
        let bytes = safetensors::serialize(entries, Some(HashMap::from([(HEADER.to_owned(), header)])))
            .map_err(|error| PipelineError::artifact(path, error.to_string()))?;
        files::write(path, &bytes)
    }

    /// Reads and joins files, in the order given.
    ///
    /// # Errors
    /// When one cannot be read, is not a token file, holds an index outside its codebook, or does not belong with the
    /// others.
    pub fn read(paths: &[impl AsRef<Path>]) -> Result<Self> {
        let mut sets = paths.iter().map(|path| Self::read_one(path.as_ref()).map(|set| (path.as_ref(), set)));
        let (_, mut joined) = sets.next().ok_or_else(|| PipelineError::Usage("no token files given".into()))??;
        for set in sets {
            let (path, set) = set?;
            if set.header != joined.header {
                return Err(PipelineError::artifact(path, "made by another tokenizer or of other data than the rest"));
            }
            for (all, more) in joined.levels.iter_mut().zip(&set.levels) {
                *all = Tensor::f_cat(&[&*all, more], 0)?;
            }
            joined.classes = Tensor::f_cat(&[&joined.classes, &set.classes], 0)?;
        }
        Ok(joined)
    }

    fn read_one(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).map_err(|source| PipelineError::io("read", path, source))?;
        let bad = |reason: String| PipelineError::artifact(path, reason);
        let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|error| bad(error.to_string()))?;
        let text = metadata.metadata().as_ref().and_then(|entries| entries.get(HEADER));
        let text = text.ok_or_else(|| bad("not a token file: its header names no tokenizer".into()))?;
        let header: TokenHeader = serde_json::from_str(text).map_err(|error| bad(error.to_string()))?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(|error| bad(error.to_string()))?;
        let find = |name: &str| tensors.tensor(name).map_err(|error| bad(error.to_string()));
        let mut levels = Vec::new();
        for (level, sizes) in header.sizes.iter().enumerate() {
            let indices = read_indices(&find(&format!("level.{level}"))?).map_err(bad)?;
            TokenGrid::new(indices.to_kind(Kind::Int64), sizes.clone())
                .and_then(|grid| grid.check_range())
                .map_err(|error| bad(error.to_string()))?;
            levels.push(indices);
        }
        let classes = read_classes(&find(CLASS)?).map_err(bad)?;
        if levels.iter().any(|level| level.size()[0] != classes.size()[0]) {
            return Err(bad("its levels and classes differ in length".into()));
        }
        Ok(Self { header, levels, classes })
    }
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

fn read_indices(view: &safetensors::tensor::TensorView) -> Result<Tensor, String> {
    let values: Vec<i32> = match view.dtype() {
        Dtype::U16 => view.data().chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]).into()).collect(),
        Dtype::U32 => {
            view.data().chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as i32).collect()
        }
        other => return Err(format!("indices must be u16 or u32, found {other:?}")),
    };
    let shape: Vec<i64> = view.shape().iter().map(|length| *length as i64).collect();
    Tensor::from_slice(&values).f_view(shape.as_slice()).map_err(|error| error.to_string())
}

fn read_classes(view: &safetensors::tensor::TensorView) -> Result<Tensor, String> {
    if view.dtype() != Dtype::I64 || view.shape().len() != 1 {
        return Err(format!("classes must be i64 [N], found {:?} {:?}", view.dtype(), view.shape()));
    }
    let word = |b: &[u8]| i64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]);
    Ok(Tensor::from_slice(&view.data().chunks_exact(8).map(word).collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(size: i64, tokenizer: &str) -> TokenSet {
        TokenSet {
            header: TokenHeader {
                tokenizer: tokenizer.into(),
                data: "d".into(),
                sizes: vec![vec![size]],
                classes: vec!["cat".into()],
            },
            levels: vec![Tensor::from_slice(&[0i32, 1, 2, size as i32 - 1]).view([1, 1, 2, 2])],
            classes: Tensor::from_slice(&[0i64]),
        }
    }

    #[test]
    fn reads_back_what_it_wrote_in_both_widths() {
        let folder = tempfile::tempdir().unwrap();
        for size in [512, 1 << 16, 1 << 18] {
            let path = folder.path().join("t.safetensors");
            let tokens = set(size, "t");
            tokens.write(&path).unwrap();
            let read = TokenSet::read(&[&path, &path]).unwrap();
            assert_eq!(read.header, tokens.header);
            assert_eq!(read.levels[0], Tensor::cat(&[&tokens.levels[0], &tokens.levels[0]], 0));
            assert_eq!(read.len(), 2);
        }
    }

    #[test]
    fn refuses_files_that_do_not_belong_together_and_indices_out_of_range() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        set(512, "a").write(&a).unwrap();
        set(512, "b").write(&b).unwrap();
        let error = TokenSet::read(&[&a, &b]).unwrap_err().to_string();
        assert!(error.contains("another tokenizer"), "{error}");
        let mut wrong = set(512, "a");
        wrong.levels[0] = &wrong.levels[0] + 1;
        wrong.write(&a).unwrap();
        let error = TokenSet::read(&[&a]).unwrap_err().to_string();
        assert!(error.contains("token 512 lies outside codebook 0 of 512 codes"), "{error}");
        std::fs::write(&a, b"{}").unwrap();
        assert!(TokenSet::read(&[&a]).is_err());
    }
}
