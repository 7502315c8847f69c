//! CUDA, found at run time: one binary serves machines with a GPU and without.
//!
//! The binary links libtorch for the CPU alone. Where there is a driver, the libraries for CUDA are opened from the same
//! installation, once, before libtorch is first asked about CUDA: it keeps the first answer for the rest of the process.
//! So ask this module, or [`device::parse`](crate::device::parse), before `tch::Cuda`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::shim;

/// The library that gives libtorch CUDA.
const LIBRARY: &str = "libtorch_cuda.so";
/// Where that library lies, seen from the folder of `libtorch_cpu.so`: beside it, as in a PyTorch, or where
/// `cargo xtask setup --cuda` puts it, away from what is linked.
const FOLDERS: [&str; 2] = ["", "../cuda/torch/lib"];
/// NVIDIA's driver.
const DRIVER: &str = "libcuda.so.1";

/// What the search for CUDA came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Discovery {
    /// The machine has no NVIDIA driver.
    NoDriver,
    /// There is a driver, but this libtorch has no library for CUDA.
    NoLibrary {
        /// Where it was looked for.
        searched: Vec<PathBuf>,
    },
    /// The library is there, but the system cannot open it.
    Failed {
        /// The library.
        path: PathBuf,
        /// The system's reason.
        reason: String,
    },
    /// The library is open.
    Loaded {
        /// The library.
        path: PathBuf,
    },
}

impl fmt::Display for Discovery {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDriver => write!(out, "this machine has no NVIDIA driver ({DRIVER})"),
            Self::NoLibrary { searched } => {
                write!(out, "this libtorch has no {LIBRARY} (looked in {searched:?}): run `cargo xtask setup --cuda`")
            }
            Self::Failed { path, reason } => write!(out, "cannot open {}: {reason}", path.display()),
            Self::Loaded { path } => write!(out, "{} is open", path.display()),
        }
    }
}

/// Opens libtorch's CUDA library where there is one to open; the first call does the work.
pub fn discover() -> &'static Discovery {
    static FOUND: OnceLock<Discovery> = OnceLock::new();
    FOUND.get_or_init(search)
}

/// Whether there is a CUDA device that libtorch can use.
pub fn is_available() -> bool {
    count() > 0
}

/// The number of CUDA devices that libtorch can use.
pub fn count() -> usize {
    discover();
    usize::try_from(tch::Cuda::device_count()).unwrap_or(0)
}

fn search() -> Discovery {
    if open(Path::new(DRIVER)).is_err() {
        return Discovery::NoDriver;
    }
    let libtorch = shim::libtorch_path().ok().flatten();
    let searched = libtorch.as_deref().map(folders).unwrap_or_default();
    let found = searched.iter().map(|folder| folder.join(LIBRARY)).find(|path| path.is_file());
    match found.map(|path| (open(&path), path)) {
        None => Discovery::NoLibrary { searched },
        Some((Ok(()), path)) => Discovery::Loaded { path },
        Some((Err(reason), path)) => Discovery::Failed { path, reason },
    }
}

/// Where the CUDA library of an installation may lie, from its `libtorch_cpu.so` as loaded and, behind links, as it is.
fn folders(libtorch: &Path) -> Vec<PathBuf> {
    let resolved = libtorch.canonicalize().ok();
    let homes = [Some(libtorch), resolved.as_deref()].into_iter().flatten().filter_map(Path::parent);
    let mut folders: Vec<PathBuf> = Vec::new();
    for folder in homes.flat_map(|home| FOLDERS.map(|relative| home.join(relative))) {
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    folders
}

/// Opens a shared library for the rest of the process, its symbols visible to all.
#[cfg(target_os = "linux")]
fn open(path: &Path) -> Result<(), String> {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
    // SAFETY: NVIDIA's driver and libtorch's own library are made to be opened so; what they run then only registers them.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) };
    let library = library.map_err(|error| std::error::Error::source(&error).unwrap_or(&error).to_string())?;
    // libtorch keeps pointers into it.
    std::mem::forget(library);
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn open(_path: &Path) -> Result<(), String> {
    Err("CUDA is served on Linux only".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_goes_by_the_place_of_libtorch() {
        let libtorch = shim::libtorch_path().unwrap().unwrap();
        assert!(libtorch.ends_with("libtorch_cpu.so") || libtorch.ends_with("libtorch.so"), "{}", libtorch.display());
        let folders = folders(Path::new("/opt/libtorch/lib/libtorch_cpu.so"));
        assert_eq!(folders, [Path::new("/opt/libtorch/lib/"), Path::new("/opt/libtorch/lib/../cuda/torch/lib")]);
    }

    #[test]
    fn without_a_driver_there_are_no_devices() {
        if *discover() == Discovery::NoDriver {
            assert_eq!(count(), 0);
        }
    }

    #[test]
    fn a_library_that_is_none_is_told_of() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(LIBRARY);
        std::fs::write(&path, "not a library").unwrap();
        let reason = open(&path).unwrap_err();
        assert!(reason.contains(LIBRARY) || cfg!(not(target_os = "linux")), "{reason}");
    }
}
