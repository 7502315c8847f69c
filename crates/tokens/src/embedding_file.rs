//! Vectors computed elsewhere, for example by a text encoder: a tensor `[L, D]` for every sample, by its key, in
//! safetensors files.

use std::{
    collections::HashMap,
    ops::Range,
    path::{Path, PathBuf},
};

use safetensors::Dtype;
use vqkit_data::{BadFile, DataError};
use vqkit_run::RunError;
use vqkit_torch::weights::{self, OpenFile};

use crate::error::{Result, TokensError};

/// Sequences of vectors by the keys of samples.
///
/// A key is that of [`Sample::key`](vqkit_data::Sample): in archives the name without its extensions, in folders the
/// path inside the folder. Vectors are f32, f16 or bf16; sequences may differ in length, but not in width.
#[derive(Debug)]
pub struct EmbeddingFile {
    files: Vec<OpenFile>,
    /// For every key, the file and the place of the numbers in it.
    places: HashMap<String, Place>,
    dim: usize,
    longest: usize,
}

#[derive(Debug)]
struct Place {
    file: usize,
    dtype: Dtype,
    bytes: Range<u64>,
}

impl EmbeddingFile {
    /// Opens files; no vector is read.
    ///
    /// # Errors
    /// For a file that is not there, is broken, or holds other tensors; for a key that occurs twice.
    pub fn open(paths: &[PathBuf]) -> Result<Self> {
        let mut opened = Self { files: Vec::new(), places: HashMap::new(), dim: 0, longest: 0 };
        paths.iter().try_for_each(|path| opened.add(path))?;
        Ok(opened)
    }

    fn add(&mut self, path: &Path) -> Result<()> {
        let bad = |reason: String| TokensError::from(RunError::artifact(path, reason));
        let file = weights::open(path)?;
        for (key, info) in file.header().tensors() {
            let (length, dim) = match (info.dtype, info.shape.as_slice()) {
                (Dtype::F32 | Dtype::F16 | Dtype::BF16, &[length, dim]) if length > 0 && dim > 0 => (length, dim),
                (dtype, shape) => {
                    return Err(bad(format!("`{key}` must be f32, f16 or bf16 [L, D], found {dtype:?} {shape:?}")));
                }
            };
            if self.dim != 0 && self.dim != dim {
                return Err(bad(format!("vectors of `{key}` have width {dim}, others {}", self.dim)));
            }
            (self.dim, self.longest) = (dim, self.longest.max(length));
            let place = Place { file: self.files.len(), dtype: info.dtype, bytes: file.range(info) };
            if self.places.insert(key.clone(), place).is_some() {
                return Err(bad(format!("`{key}` is in another file as well")));
            }
        }
        self.files.push(file);
        Ok(())
    }

    /// The width of a vector.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The number of vectors of the longest sequence.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// The keys, in their order.
    pub fn keys(&self) -> Vec<&str> {
        let mut keys: Vec<&str> = self.places.keys().map(String::as_str).collect();
        keys.sort_unstable();
        keys
    }

    /// The vectors of a sample, one after the other, `L * D` numbers.
    ///
    /// # Errors
    /// Where there are none, the file was truncated since it was opened, or cannot be read.
    pub fn get(&self, key: &str) -> Result<Vec<f32>> {
        let Place { file, dtype, bytes: range } = self.places.get(key).ok_or_else(|| {
            let files = self.files.iter().map(|file| file.path().display().to_string()).collect::<Vec<_>>().join(", ");
            DataError::Bad(BadFile { key: key.to_owned(), reason: format!("has no vectors in {files}") })
        })?;
        let mut bytes = vec![0; (range.end - range.start) as usize];
        self.files[*file].read(range.start, &mut bytes)?;
        let halves = || bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]));
        Ok(match dtype {
            Dtype::F16 => halves().map(|bits| half::f16::from_bits(bits).to_f32()).collect(),
            Dtype::BF16 => halves().map(|bits| half::bf16::from_bits(bits).to_f32()).collect(),
            _ => bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use safetensors::tensor::TensorView;

    use super::*;

    fn write(folder: &tempfile::TempDir, name: &str, tensors: &[(&str, Dtype, Vec<usize>, Vec<u8>)]) -> PathBuf {
        let path = folder.path().join(name);
        let view = |(key, dtype, shape, bytes): &(&str, Dtype, Vec<usize>, Vec<u8>)| {
            (
                (*key).to_owned(),
                TensorView::new(*dtype, shape.clone(), Box::leak(bytes.clone().into_boxed_slice())).unwrap(),
            )
        };
        std::fs::write(&path, safetensors::serialize(tensors.iter().map(view), None).unwrap()).unwrap();
        path
    }

    fn floats(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    #[test]
    fn vectors_are_found_by_key_in_every_kind_of_number() {
        let folder = tempfile::tempdir().unwrap();
        let halves = |bits: [u16; 2]| bits.iter().flat_map(|bits| bits.to_le_bytes()).collect::<Vec<u8>>();
        let one = write(&folder, "a", &[("cat", Dtype::F32, vec![2, 2], floats(&[1.0, 2.0, 3.0, 4.0]))]);
        let f16 = halves([half::f16::from_f32(0.5).to_bits(), half::f16::from_f32(-2.0).to_bits()]);
        let bf16 = halves([half::bf16::from_f32(0.25).to_bits(), half::bf16::from_f32(8.0).to_bits()]);
        let two = write(&folder, "b", &[("dog", Dtype::F16, vec![1, 2], f16), ("emu", Dtype::BF16, vec![1, 2], bf16)]);
        let file = EmbeddingFile::open(&[one.clone(), two]).unwrap();
        assert_eq!((file.dim(), file.longest()), (2, 2));
        assert_eq!(file.get("cat").unwrap(), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!((file.get("dog").unwrap(), file.get("emu").unwrap()), (vec![0.5, -2.0], vec![0.25, 8.0]));
        let error = file.get("cow").unwrap_err().to_string();
        assert!(error.contains("cow") && error.contains(one.to_str().unwrap()), "{error}");
    }

    #[test]
    fn other_tensors_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let fine = write(&folder, "fine", &[("cat", Dtype::F32, vec![1, 1], floats(&[1.0]))]);
        for (name, dtype, shape, bytes, words) in [
            ("flat", Dtype::F32, vec![1], floats(&[1.0]), "[L, D]"),
            ("whole", Dtype::I32, vec![1, 1], floats(&[1.0]), "I32"),
            ("wide", Dtype::F32, vec![1, 2], floats(&[1.0, 2.0]), "width 2"),
        ] {
            let other = write(&folder, name, &[("dog", dtype, shape, bytes)]);
            let error = EmbeddingFile::open(&[fine.clone(), other]).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        let again = write(&folder, "again", &[("cat", Dtype::F32, vec![1, 1], floats(&[1.0]))]);
        assert!(EmbeddingFile::open(&[fine.clone(), again]).unwrap_err().to_string().contains("another file"));
        std::fs::write(&fine, b"nothing").unwrap();
        assert!(EmbeddingFile::open(&[fine]).is_err());
    }

    #[test]
    fn headers_that_lie_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lies");
        let huge = u64::MAX / 8;
        for header in [
            r#"{"a": {"dtype": "F32", "shape": [0, 4611686018427387904, 4611686018427387904], "data_offsets": [0, 0]}}"#.into(),
            r#"{"a": {"dtype": "F32", "shape": [4611686018427387904, 4611686018427387904], "data_offsets": [0, 4]}}"#.into(),
            r#"{"a": {"dtype": "F32", "shape": [1, 1], "data_offsets": [8, 4]}}"#.into(),
            format!(r#"{{"a": {{"dtype": "F32", "shape": [1, {huge}], "data_offsets": [0, {}]}}}}"#, 4 * u128::from(huge)),
            r#"{"a": {"dtype": "F32", "shape": [1, 100], "data_offsets": [0, 400]}}"#.into(),
            format!("{}1", r#"{"a":"#.repeat(100_000)),
            "[".repeat(100_000),
        ] {
            let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &[0; 4]].concat();
            std::fs::write(&path, bytes).unwrap();
            let error = EmbeddingFile::open(std::slice::from_ref(&path)).unwrap_err().to_string();
            assert!(error.contains(path.to_str().unwrap()) && error.len() < 500, "{error}");
        }
        for len in [9, u64::MAX] {
            std::fs::write(&path, [&len.to_le_bytes()[..], b"{}"].concat()).unwrap();
            assert!(
                EmbeddingFile::open(std::slice::from_ref(&path))
                    .unwrap_err()
                    .to_string()
                    .contains("its header would have")
            );
        }
    }

    #[test]
    fn a_file_that_is_cut_while_it_is_open_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let two = [
            ("cat", Dtype::F32, vec![1, 2], floats(&[1.0, 2.0])),
            ("dog", Dtype::F32, vec![1, 2], floats(&[3.0, 4.0])),
        ];
        let path = write(&folder, "cut", &two);
        let file = EmbeddingFile::open(std::slice::from_ref(&path)).unwrap();
        let len = std::fs::metadata(&path).unwrap().len();
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(len - 4).unwrap();
        let outcomes = ["cat", "dog"].map(|key| file.get(key));
        let lost: Vec<String> =
            outcomes.iter().filter_map(|outcome| Some(outcome.as_ref().err()?.to_string())).collect();
        assert_eq!(lost.len(), 1, "{outcomes:?}");
        assert!(lost[0].contains("while it was read") && lost[0].contains(path.to_str().unwrap()), "{lost:?}");
    }
}
