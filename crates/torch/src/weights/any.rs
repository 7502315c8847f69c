//! Files of weights of either format, told apart by what they hold.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use tch::Tensor;

use super::read::check_plain;
use super::{read, read_torch};
use crate::TorchError;

/// Enough to tell the formats apart.
const START: u64 = 64;
/// Where the header of a safetensors file begins, always with `{`.
const HEADER: usize = 8;

/// Reads all tensors of a safetensors file, or of one that `torch.save` wrote; its first bytes tell which, its name does not.
///
/// ```
/// use std::collections::BTreeMap;
/// use tch::Tensor;
/// use vqkit_torch::weights;
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("model.ckpt");
/// let tensors = BTreeMap::from([("weight".to_owned(), Tensor::from_slice(&[1.0, 2.0]))]);
/// weights::save(&path, &tensors, &BTreeMap::new())?;
/// assert_eq!(weights::read_any(&path)?, tensors);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`TorchError::File`] when it is neither; those of [`read`] and [`read_torch`].
pub fn read_any(path: &Path) -> Result<BTreeMap<String, Tensor>, TorchError> {
    let failed = || TorchError::io("read", path);
    check_plain(path)?;
    let mut start = Vec::new();
    File::open(path).map_err(failed())?.take(START).read_to_end(&mut start).map_err(failed())?;
    match &start[..] {
        start if start.get(HEADER) == Some(&b'{') => read(path),
        // A zip archive; a pickle of protocol 2 and later; one of protocol 0, which begins with a class or a mark.
        [b'P', b'K', 3, 4, ..] | [0x80, ..] | [b'c' | b'(', ..] => read_torch(path),
        _ => Err(TorchError::file(path, refusal(&start))),
    }
}

fn refusal(start: &[u8]) -> String {
    let text = String::from_utf8_lossy(start);
    let found = if start.starts_with(&[0x1f, 0x8b]) {
        "it is compressed with gzip: uncompress it first".to_owned()
    } else if start.is_empty() {
        "it is empty".to_owned()
    } else if text.starts_with("version https://git-lfs") {
        "it is a pointer of Git LFS, not the file itself: fetch that with `git lfs pull`".to_owned()
    } else if text.trim_start().starts_with('<') {
        "it is a web page: the download failed, or needs a login".to_owned()
    } else {
        format!("it begins with {:?}", text.chars().take(HEADER).collect::<String>())
    };
    format!("this is neither a safetensors file nor one of PyTorch's: {found}")
}
