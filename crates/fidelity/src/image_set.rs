//! A folder or archive of images, read batch by batch.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tch::Tensor;
use vqkit_data::{DataConfig, DataError, Encoding, SourceConfig, View, default_workers, read_ahead};

use crate::{error::FidelityError, error::Result, protocol::Protocol, protocol::Shown};

/// Number of images that each thread decodes ahead; they are kept at full size, beyond the bound on memory for
/// decoding.
const AHEAD: usize = 2;

/// A folder of images, or tar archives.
#[derive(Debug)]
pub struct PictureSet {
    path: PathBuf,
    view: View,
}

/// Where a set of images comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Its path.
    pub path: PathBuf,
    /// Number of images; all are used.
    pub pictures: usize,
    /// BLAKE3 over all files, in the order of their names.
    pub fingerprint: String,
    /// How the files hold their pixels.
    pub encodings: BTreeSet<Encoding>,
    /// Height and width of the smallest and of the largest image as the network receives them, where the images were decoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sizes: Option<[[u32; 2]; 2]>,
}

/// One decoded image.
struct Read {
    shown: Shown,
    hash: blake3::Hash,
    encoding: Encoding,
}

impl PictureSet {
    /// Opens a folder or archives; decodes nothing.
    ///
    /// # Errors
    /// When there are no such files.
    pub fn open(path: &Path) -> Result<Self> {
        let view = DataConfig::new(1, SourceConfig::at_path(path)?).open()?.train;
        Ok(Self { path: path.to_owned(), view })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.view.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// BLAKE3 over names and sizes, which distinguishes sets without reading them.
    pub fn listing(&self) -> String {
        self.view.fingerprint()
    }

    /// Where the set comes from; reads every file and decodes none.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn origin(&self) -> Result<Origin> {
        let view = self.view.clone();
        let read = move |index: usize| {
            let bytes = encoded(&view, index)?;
            Ok((blake3::hash(&bytes), Encoding::of(&bytes)))
        };
        let files: Vec<(blake3::Hash, Encoding)> =
            read_ahead(self.len(), default_workers(), AHEAD, read).collect::<Result<_, DataError>>()?;
        Ok(self.origin_of(files, None))
    }

    fn origin_of(&self, files: Vec<(blake3::Hash, Encoding)>, sizes: Option<[[u32; 2]; 2]>) -> Origin {
        let mut hasher = blake3::Hasher::new();
        files.iter().for_each(|(hash, _)| {
            hasher.update(hash.as_bytes());
        });
        Origin {
            path: self.path.clone(),
            pictures: self.len(),
            fingerprint: hasher.finalize().to_hex().to_string(),
            encodings: files.into_iter().map(|(_, encoding)| encoding).collect(),
            sizes,
        }
    }

    /// Calls `each` with batches `[B, 3, H, W]` of at most `size` images of equal size, decoded ahead, in the order of
    /// the set; returns where the set comes from.
    ///
    /// # Errors
    /// When an image cannot be read; those of `each`.
    pub fn for_each_batch(
        &self,
        protocol: Protocol,
        size: usize,
        mut each: impl FnMut(&Tensor) -> Result<()>,
    ) -> Result<Origin> {
        let view = self.view.clone();
        let read = move |index: usize| {
            let bytes = encoded(&view, index)?;
            let picture = view.reader().decode_as_libjpeg(&bytes, view.key(index).unwrap_or_default())?;
            let (hash, encoding) = (blake3::hash(&bytes), Encoding::of(&bytes));
            Ok::<_, DataError>(Read { shown: protocol.show(&picture)?, hash, encoding })
        };
        let (mut batch, mut files): (Vec<Shown>, _) = (Vec::new(), Vec::with_capacity(self.len()));
        let mut sizes: Option<[[u32; 2]; 2]> = None;
        for read in read_ahead(self.len(), default_workers(), AHEAD, read) {
            let Read { shown, hash, encoding } = read?;
            let area = |[height, width]: &[u32; 2]| u64::from(*height) * u64::from(*width);
            let [smallest, largest] = sizes.unwrap_or([shown.size; 2]);
            sizes = Some([
                if area(&shown.size) < area(&smallest) { shown.size } else { smallest },
                if area(&shown.size) > area(&largest) { shown.size } else { largest },
            ]);

            files.push((hash, encoding));
            if batch.len() == size || batch.last().is_some_and(|last| last.size != shown.size) {
                each(&Shown::batch(&batch))?;
                batch.clear();
            }
            batch.push(shown);
        }
        if files.len() != self.len() {
            return Err(FidelityError::EndedEarly(self.path.clone()));
        }
        each(&Shown::batch(&batch))?;
        Ok(self.origin_of(files, sizes))
    }

    /// Whether every image has the name of an image in the other set.
    pub fn is_named_after(&self, other: &Self) -> bool {
        let stems = |set: &Self| -> BTreeSet<String> {
            let keys = (0..set.len()).filter_map(|index| set.view.key(index));
            keys.map(|key| key.rsplit_once('.').map_or(key, |(stem, _)| stem).to_owned()).collect()
        };
        stems(self).is_subset(&stems(other))
    }
}

fn encoded(view: &View, index: usize) -> Result<Vec<u8>, DataError> {
    Ok(view.encoded(index)?.unwrap_or_default())
}
