//! The checkpoints that a path stands for.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::error::{ForeignError, Result};

/// Endings of checkpoints.
const ENDINGS: [&str; 6] = ["safetensors", "ckpt", "pt", "pth", "bin", "pkl"];

/// What stands in front of the ending where weights were converted.
const VARIANTS: [&str; 3] = [".fp16", ".bf16", ".non_ema"];

/// Ending of a list of shards, which stands for all of them.
const INDEX: &str = ".index.json";

/// The checkpoints of a path: the file itself; of a folder the checkpoints in it, or else in its folder `checkpoints`. Shards are
/// one checkpoint, and `last.ckpt` stands for the others of its training.
///
/// # Errors
/// When a folder cannot be read or holds none.
pub fn checkpoints(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    for folder in [path.to_owned(), path.join("checkpoints")] {
        let found = if folder.is_dir() { in_folder(&folder)? } else { Vec::new() };
        if !found.is_empty() {
            return Ok(found);
        }
    }
    let endings = ENDINGS.join(", .");
    Err(ForeignError::file(path, format!("holds no checkpoint: no file that ends in .{endings}")))
}

fn in_folder(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |source| ForeignError::Io { action: "read", path: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if let Some(last) = files.iter().find(|path| name(path) == "last.ckpt") {
        return Ok(vec![last.clone()]);
    }
    let ends = |path: &Path| path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known));
    let (indices, mut files): (Vec<PathBuf>, Vec<PathBuf>) = files
        .into_iter()
        .filter(|path| name(path).ends_with(INDEX) || ends(path))
        .partition(|path| name(path).ends_with(INDEX));
    files.retain(|path| !is_shard(&name(path)));
    // The same weights in another format or precision are one checkpoint.
    files.sort_by_key(|path| (plain_name(&name(path)), rank(&name(path))));
    files.dedup_by_key(|path| plain_name(&name(path)));
    Ok(indices.into_iter().chain(files).collect())
}

/// Whether a name is that of one of several shards: `model-00001-of-00002.safetensors`.
fn is_shard(name: &str) -> bool {
    let counts = name.rsplit_once('.').and_then(|(stem, _)| stem.rsplit_once("-of-"));
    counts.is_some_and(|(_, count)| !count.is_empty() && count.bytes().all(|digit| digit.is_ascii_digit()))
}

/// A name without the endings of its format and of a variant.
fn plain_name(name: &str) -> String {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    VARIANTS.iter().fold(stem, |stem, variant| stem.strip_suffix(variant).unwrap_or(stem)).to_owned()
}

/// How late a file of the same weights is taken: variants after the weights as they were trained, other formats after safetensors.
fn rank(name: &str) -> (bool, bool) {
    (VARIANTS.iter().any(|variant| name.contains(&format!("{variant}."))), !name.ends_with(".safetensors"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

    use super::*;

    fn found(files: &[&str]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let found = checkpoints(folder.path()).unwrap_or_default();
        found.iter().map(|path| path.strip_prefix(folder.path()).unwrap().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn checkpoints_of_a_folder_are_found() {
        assert_eq!(found(&["a.pt", "b.safetensors", "config.json", "README.md"]), ["a.pt", "b.safetensors"]);
        assert_eq!(
            found(&["checkpoints/epoch=3.ckpt", "checkpoints/last.ckpt", "configs/x.yaml"]),
            ["checkpoints/last.ckpt"]
        );
        let shards = ["m-1-of-2.safetensors", "m-2-of-2.safetensors", "m.safetensors.index.json", "vq.pt"];
        assert_eq!(found(&shards), ["m.safetensors.index.json", "vq.pt"]);
        let variants = ["m.bin", "m.fp16.safetensors", "m.safetensors", "v1.2.pt", "v1.3.pt"];
        assert_eq!(found(&variants), ["m.safetensors", "v1.2.pt", "v1.3.pt"]);
        assert!(found(&["README.md"]).is_empty());
    }
}
