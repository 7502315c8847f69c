//! A folder with a libtorch in it: `include/`, `lib/`, and the right version.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::version::VERSION;

/// Where `version.h` lies below `include`; the older place comes second.
const VERSION_HEADERS: &[&str] = &["torch/headeronly/version.h", "torch/csrc/api/include/torch/version.h"];

/// A libtorch that `tch` can build against and load.
#[derive(Debug, PartialEq, Eq)]
pub struct Library {
    /// The folder that holds `include` and `lib`, absolute.
    pub home: PathBuf,
}

impl Library {
    /// Checks that `home` holds headers and libraries of the right version.
    pub fn open(home: &Path) -> Result<Self> {
        let home = fs::canonicalize(home).with_context(|| format!("there is no folder {}", home.display()))?;
        for stem in ["c10", "torch", "torch_cpu"] {
            let file = home.join("lib").join(shared_library(stem));
            ensure!(file.is_file(), "{} is missing", file.display());
        }
        let found = version(&home)?;
        if found != VERSION {
            bail!("{} holds libtorch {found}, but vqkit needs {VERSION} exactly", home.display());
        }
        Ok(Self { home })
    }

    /// The folder of the shared libraries.
    pub fn lib(&self) -> PathBuf {
        self.home.join("lib")
    }
}

/// The file name of a shared library here.
pub fn shared_library(stem: &str) -> String {
    format!("{}{stem}{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX)
}

/// The version that the headers below `home` state.
fn version(home: &Path) -> Result<String> {
    let include = home.join("include");
    for header in VERSION_HEADERS.iter().map(|header| include.join(header)) {
        let Ok(text) = fs::read_to_string(&header) else { continue };
        if let Some(version) = stated_version(&text) {
            return Ok(version);
        }
    }
    bail!("{} has no PyTorch headers that state a version", include.display())
}

/// `2.11.0` of the three `#define TORCH_VERSION_…` lines.
fn stated_version(header: &str) -> Option<String> {
    let part = |name: &str| {
        let words = header.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let found = words.into_iter().find(|words| words.len() == 3 && words[0] == "#define" && words[1] == name);
        found.map(|words| words[2].to_owned())
    };
    Some(format!("{}.{}.{}", part("TORCH_VERSION_MAJOR")?, part("TORCH_VERSION_MINOR")?, part("TORCH_VERSION_PATCH")?))
}

/// The PyTorch that `python3` imports, if there is one; an error says why it cannot serve.
pub fn installed_pytorch() -> Option<Result<Library>> {
    // `find_spec` answers at once where there is none; importing shows that one works.
    const FIND: &str = "import importlib.util as util\n\
                        if util.find_spec('torch'):\n    print('found'); import torch; print(torch.__path__[0])";
    let output = Command::new("python3").args(["-c", FIND]).stdin(Stdio::null()).output().ok()?;
    let words = String::from_utf8_lossy(&output.stdout);
    let mut lines = words.lines();
    lines.next()?;
    Some(match lines.next() {
        Some(home) if output.status.success() => Library::open(Path::new(home)),
        _ => {
            let complaints = String::from_utf8_lossy(&output.stderr);
            Err(anyhow!("importing it fails: {}", complaints.lines().last().unwrap_or_default()))
        }
    })
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Makes a folder that looks like a libtorch of this version.
    pub fn fake(home: &Path, version: [&str; 3]) {
        let header = home.join("include").join(VERSION_HEADERS[0]);
        fs::create_dir_all(header.parent().unwrap()).unwrap();
        fs::create_dir_all(home.join("lib")).unwrap();
        let lines = ["MAJOR", "MINOR", "PATCH"].iter().zip(version);
        let text: String = lines.map(|(part, number)| format!("#define TORCH_VERSION_{part} {number}\n")).collect();
        fs::write(header, text).unwrap();
        for stem in ["c10", "torch", "torch_cpu"] {
            fs::write(home.join("lib").join(shared_library(stem)), stem).unwrap();
        }
    }

    #[test]
    fn the_right_version_is_taken() {
        let home = tempfile::tempdir().unwrap();
        fake(home.path(), ["2", "11", "0"]);
        assert_eq!(Library::open(home.path()).unwrap().home, fs::canonicalize(home.path()).unwrap());
    }

    #[test]
    fn another_version_is_refused_by_name() {
        let home = tempfile::tempdir().unwrap();
        fake(home.path(), ["2", "5", "1"]);
        let error = Library::open(home.path()).unwrap_err().to_string();
        assert!(error.contains("2.5.1") && error.contains("2.11.0 exactly"), "{error}");
    }

    #[test]
    fn a_missing_library_is_named() {
        let home = tempfile::tempdir().unwrap();
        fake(home.path(), ["2", "11", "0"]);
        fs::remove_file(home.path().join("lib").join(shared_library("torch_cpu"))).unwrap();
        let error = Library::open(home.path()).unwrap_err().to_string();
        assert!(error.contains(&shared_library("torch_cpu")), "{error}");
    }

    #[test]
    fn a_missing_folder_is_named() {
        let error = Library::open(Path::new("/no/such/folder")).unwrap_err().to_string();
        assert!(error.contains("/no/such/folder"), "{error}");
    }
}
