//! Virtual environments of Python under `target`: for the peers, and for the tests that read our files with others' programs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::cargo::{root, run, target_dir};
use crate::terminal::say;

/// One environment.
#[derive(Debug)]
pub struct Venv {
    /// Its folder under `target`.
    folder: &'static str,
    /// The list of its packages.
    requirements: &'static str,
    /// What its packages are, as a message says it.
    about: &'static str,
}

/// What `bench --peers` runs on.
pub const PEERS: Venv = Venv {
    folder: "peers",
    requirements: "benches/peers/requirements.txt",
    about: "the peers' packages (PyTorch with what it needs: several GB on Linux)",
};

/// What the tests read our files with.
pub const TESTS: Venv = Venv {
    folder: "tests-python",
    requirements: "tests/requirements.txt",
    about: "what the tests read and run our files with (TensorBoard and onnxruntime: some 200 MB)",
};

impl Venv {
    /// The environment's Python, with all that the requirements name installed.
    pub fn python(&self) -> Result<PathBuf> {
        let requirements = root().join(self.requirements);
        let wanted =
            fs::read_to_string(&requirements).with_context(|| format!("cannot read {}", requirements.display()))?;
        let folder = target_dir().join(self.folder);
        let python = folder.join("bin/python");
        // Written last: an interrupted installation has none, and starts anew.
        let stamp = folder.join("installed.txt");
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
            return Ok(python);
        }
        say!("installing {} into {}", self.about, folder.display());
        // An environment that was finished once takes what the requirements have new.
        if stamp.is_file() {
            fs::remove_file(&stamp)?;
        } else {
            make(&folder)?;
        }
        install(&python, &requirements)
            .with_context(|| format!("this takes a package index that has {}", self.requirements))?;
        fs::write(&stamp, wanted)?;
        Ok(python)
    }
}

/// An empty environment in place of what is there.
fn make(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    let mut command = Command::new(if has_uv() { "uv" } else { "python3" });
    let words: &[&str] = if has_uv() { &["venv"] } else { &["-m", "venv"] };
    run(command.args(words).arg(folder)).context("this takes Python 3.11 or newer with its module venv")
}

fn install(python: &Path, requirements: &Path) -> Result<()> {
    let mut command = if has_uv() {
        let mut command = Command::new("uv");
        command.args(["pip", "install", "--python"]).arg(python);
        command
    } else {
        let mut command = Command::new(python);
        command.args(["-m", "pip", "install"]);
        command
    };
    run(command.arg("-r").arg(requirements))
}

fn has_uv() -> bool {
    Command::new("uv")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|it| it.success())
}
