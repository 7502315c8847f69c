//! The peers' virtual environment, under `target/peers`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::cargo::{root, run, target_dir};

const REQUIREMENTS: &str = "benches/peers/requirements.txt";

/// The environment's Python, with all that the requirements name installed.
pub fn python() -> Result<PathBuf> {
    let requirements = root().join(REQUIREMENTS);
    let wanted =
        fs::read_to_string(&requirements).with_context(|| format!("cannot read {}", requirements.display()))?;
    let folder = target_dir().join("peers");
    let python = folder.join("bin/python");
    // Written last: an interrupted installation has none, and starts anew.
    let stamp = folder.join("installed.txt");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    println!(
        "installing the peers' packages into {} (PyTorch with what it needs: several GB on Linux)",
        folder.display()
    );
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    install(&folder, &python, &requirements).with_context(|| {
        format!("the peers take Python 3.11 or newer with its module venv, and a package index that has {REQUIREMENTS}")
    })?;
    fs::write(&stamp, wanted)?;
    Ok(python)
}

fn install(folder: &Path, python: &Path, requirements: &Path) -> Result<()> {
    let has_uv = Command::new("uv").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if has_uv.is_ok_and(|status| status.success()) {
        run(Command::new("uv").arg("venv").arg(folder))?;
        return run(Command::new("uv").args(["pip", "install", "--python"]).arg(python).arg("-r").arg(requirements));
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
    run(Command::new(python).args(["-m", "pip", "install", "-r"]).arg(requirements))
}
