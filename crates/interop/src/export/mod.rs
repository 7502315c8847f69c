//! Runs under the names and in the files of other projects.

mod card;
mod diffusers;
mod graph;
mod llamagen;
mod names;
mod networks;
mod safetensors;
mod taming;
mod tokens;

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use serde::Serialize;
use vqkit_run::{Context, Run, files};

use crate::error::{InteropError, Result};

/// What a run is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A folder that diffusers' `VQModel.from_pretrained` loads.
    Diffusers,
    /// The state dict and the configuration of taming-transformers.
    Taming,
    /// The state dicts of LlamaGen.
    Llamagen,
    /// The weights under vqkit's names, and the recipe as JSON.
    Safetensors,
    /// A TorchScript module with `encode` and `decode`.
    Torchscript,
    /// `encode.onnx` and `decode.onnx`.
    Onnx,
    /// The run's tokens as LlamaGen's training reads them: one `.npy` of codes and one of labels for every image.
    Npy,
    /// The run's tokens as tar shards in WebDataset layout.
    Webdataset,
}

const FORMATS: [(&str, Format); 8] = [
    ("diffusers", Format::Diffusers),
    ("taming", Format::Taming),
    ("llamagen", Format::Llamagen),
    ("safetensors", Format::Safetensors),
    ("torchscript", Format::Torchscript),
    ("onnx", Format::Onnx),
    ("npy", Format::Npy),
    ("webdataset", Format::Webdataset),
];

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        FORMATS.iter().find(|(name, _)| *name == text).map(|(_, format)| *format).ok_or_else(|| {
            let names: Vec<_> = FORMATS.iter().map(|(name, _)| *name).collect();
            format!("`{text}` is no format; there are {}", names.join(", "))
        })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str(FORMATS.iter().find(|(_, format)| format == self).map_or("", |(name, _)| name))
    }
}

/// What was written.
#[derive(Debug, Clone, Serialize)]
pub struct Exported {
    /// The folder.
    pub folder: PathBuf,
    /// Its format.
    pub format: Format,
    /// Its files, by their paths inside.
    pub files: Vec<PathBuf>,
}

/// Writes a run into the new folder `out`, with a model card.
///
/// # Errors
/// When the format cannot hold the run's networks (the message says what it lacks), the run is not trained, or a file cannot
/// be written.
pub fn export(run: &Run, format: Format, out: &Path, context: &Context) -> Result<Exported> {
    files::create(out, |folder| {
        let usage = match format {
            Format::Diffusers => diffusers::write(run, folder, context)?,
            Format::Taming => taming::write(run, folder, context)?,
            Format::Llamagen => llamagen::write(run, folder, context)?,
            Format::Safetensors => safetensors::write(run, folder)?,
            Format::Torchscript => graph::write_torchscript(run, folder)?,
            Format::Onnx => graph::write_onnx(run, folder)?,
            Format::Npy => tokens::write_npy(run, folder)?,
            Format::Webdataset => tokens::write_webdataset(run, folder)?,
        };
        card::write(run, format, &usage, folder)
    })?;
    let mut files = Vec::new();
    list(out, Path::new(""), &mut files)?;
    files.sort();
    Ok(Exported { folder: out.to_owned(), format, files })
}

/// The files below a folder.
fn list(folder: &Path, inside: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let failed = |source| InteropError::Io { action: "read", path: folder.to_owned(), source };
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = inside.join(entry.file_name());
        match entry.path().is_dir() {
            true => list(&entry.path(), &path, files)?,
            false => files.push(path),
        }
    }
    Ok(())
}

/// The most files that are named.
const NAMED: usize = 12;

impl fmt::Display for Exported {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        self.files.iter().take(NAMED).try_for_each(|file| writeln!(out, "  {}", file.display()))?;
        if self.files.len() > NAMED {
            writeln!(out, "  and {} more", self.files.len() - NAMED)?;
        }
        writeln!(out, "{}", self.folder.display())
    }
}
