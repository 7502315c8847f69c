//! Runs under the names and in the files of other projects.

mod card;
mod diffusers;
mod format;
mod graph;
mod llamagen;
mod names;
mod networks;
mod run;
mod safetensors;
mod taming;
mod tokens;

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

pub use format::Format;
use serde::Serialize;
use vqkit_run::{Run, files};

use crate::error::{InteropError, Result};

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

/// Writes a run into the new folder `out`, with a model card. `is_rounded`: in [`Format::Run`], whether matrices and kernels are
/// rounded to bf16, which halves the folder.
///
/// # Errors
/// When the format cannot hold the run's networks (the message says what it lacks), the run is not trained, or a file cannot
/// be written.
pub fn export(run: &Run, format: Format, is_rounded: bool, out: &Path) -> Result<Exported> {
    if format == Format::Run {
        pack(run, is_rounded, out)?;
    } else if is_rounded {
        let reason = format!("only a run can have other types of weights; `{format}` keeps fp32");
        return Err(vqkit_recipe::InvalidRequest::option("dtype", reason).into());
    } else {
        files::create(out, |folder| convert(run, format, folder))?;
    }
    let mut files = Vec::new();
    list(out, Path::new(""), &mut files)?;
    files.sort();
    Ok(Exported { folder: out.to_owned(), format, files })
}

/// Writes a run in the format of another project into an existing folder.
fn convert(run: &Run, format: Format, folder: &Path) -> Result<()> {
    let usage = match format {
        Format::Run => String::new(),
        Format::Diffusers => diffusers::write(run, folder)?,
        Format::Taming => taming::write(run, folder)?,
        Format::Llamagen => llamagen::write(run, folder)?,
        Format::Safetensors => safetensors::write(run, folder)?,
        Format::Torchscript => graph::write_torchscript(run, folder)?,
        Format::Onnx => graph::write_onnx(run, folder)?,
        Format::Npy => tokens::write_npy(run, folder)?,
        Format::Webdataset => tokens::write_webdataset(run, folder)?,
    };
    card::write(run, format, &usage, folder)
}

/// Writes a run of ours; what was begun is removed where that fails.
fn pack(run: &Run, is_rounded: bool, out: &Path) -> Result<()> {
    let packed = run::begin(run, out)?;
    let written = run::write(run, is_rounded, packed).and_then(|usage| card::write(run, Format::Run, &usage, out));
    written.inspect_err(|_| {
        // The error is what the caller has to know.
        drop(fs::remove_dir_all(out));
    })
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
