//! The verbs that hand over to the `vqkit` binary.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::cargo::{cargo, display};
use crate::setup;

/// Everything behind the verb.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// What `vqkit` takes; `cargo xtask train -- --help` lists it, and so for the others
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    pub words: Vec<OsString>,
}

/// A call of the `vqkit` binary in release, built if need be.
pub fn binary(verb: &str) -> Command {
    cargo(&["run", "--release", "--package", "vqkit-cli", "--bin", "vqkit", "--", verb])
}

/// Hands over to `vqkit VERB ARGS`, in the user's own folder.
pub fn vqkit(verb: &str, arguments: &Arguments) -> Result<ExitCode> {
    setup::ensure()?;
    let mut command = binary(verb);
    command.args(&arguments.words).current_dir(std::env::current_dir()?);
    hand_over(&mut command).with_context(|| format!("cannot start `{}`", display(&command)))
}

/// Becomes the command, so that signals reach it alone and the exit code is its own.
#[cfg(unix)]
fn hand_over(command: &mut Command) -> std::io::Result<ExitCode> {
    Err(std::os::unix::process::CommandExt::exec(command))
}

#[cfg(not(unix))]
fn hand_over(command: &mut Command) -> std::io::Result<ExitCode> {
    let code = command.status()?.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
