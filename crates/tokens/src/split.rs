//! Training and validation images, and the names of their token files.

use std::path::{Path, PathBuf};

/// A part of the data that is written under its own name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// `train-00000.safetensors` and so on.
    Train,
    /// `validation-00000.safetensors` and so on.
    Validation,
}

impl Split {
    /// Prefix of the names of its files.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
        }
    }
}

/// The token files of a split, in order; none where nothing was set aside for validation.
pub fn files_of(folder: &Path, split: Split) -> Vec<PathBuf> {
    (0..).map(|index| folder.join(file_name(split, index))).take_while(|path| path.is_file()).collect()
}

/// The name of a token file of a split.
pub fn file_name(split: Split, index: usize) -> String {
    format!("{}-{index:05}.safetensors", split.prefix())
}
