//! Cargo and other programs, run from the root of the checkout.

use std::env;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};

use anyhow::{Context, Result, bail};

use crate::terminal::say;

/// What the outer `cargo run` tells this program about its own package, and what a nested build must not see.
const LEAKS: &[&str] = &["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_", "OUT_DIR"];

/// The root of the checkout.
pub fn root() -> PathBuf {
    let manifest = env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    manifest.parent().map_or(manifest.clone(), PathBuf::from)
}

/// The folder where Cargo builds.
pub fn target_dir() -> PathBuf {
    root().join(env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from))
}

/// A call of Cargo.
pub fn cargo<S: AsRef<OsStr>>(arguments: &[S]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(|name| LEAKS.iter().any(|leak| name.starts_with(leak))) {
            command.env_remove(name);
        }
    }
    command
}

/// Prints the command as one would type it, and runs it to its end.
pub fn status(command: &mut Command) -> Result<ExitStatus> {
    let line = display(command);
    say!("\n$ {line}");
    command.status().with_context(|| format!("cannot start `{line}`"))
}

/// As [`status`]; anything but success is an error.
pub fn run(command: &mut Command) -> Result<()> {
    let status = status(command)?;
    if !status.success() {
        bail!("`{}` failed ({status})", display(command));
    }
    Ok(())
}

/// The command as one would type it.
pub fn display(command: &Command) -> String {
    let program = PathBuf::from(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
    command.get_args().fold(name, |line, word| {
        let word = word.to_string_lossy();
        if word.contains(' ') { format!("{line} '{word}'") } else { format!("{line} {word}") }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_one_would_type_it() {
        let mut command = Command::new("/somewhere/bin/cargo");
        command.args(["test", "--", "two words"]);
        assert_eq!(display(&command), "cargo test -- 'two words'");
    }

    #[test]
    fn failure_names_the_command_and_its_status() {
        let error = run(cargo(&["no-such-verb"]).env("CARGO_TERM_QUIET", "true")).unwrap_err().to_string();
        assert!(error.contains("cargo no-such-verb") && error.contains("101"), "{error}");
    }

    #[test]
    fn the_root_holds_the_workspace() {
        assert!(root().join("xtask/Cargo.toml").is_file());
    }
}
