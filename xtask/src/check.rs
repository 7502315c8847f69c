//! The verbs `test`, `tidy` and `ci`: every check there is, cheapest first.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;

use crate::book;
use crate::cargo::{cargo, run, status};
use crate::package;
use crate::setup;
use crate::terminal::{complain, say};
use crate::venv::TESTS;

/// Runs every check, on a libtorch set up with the defaults.
pub fn test() -> Result<()> {
    every_check(&[], &setup::Options::default(), false)
}

/// What continuous integration runs, in a clean checkout and without a terminal.
pub fn ci() -> Result<()> {
    status(&mut cargo(&["--version"]))?;
    status(&mut cargo(&["clippy", "--version"]))?;
    every_check(&["--locked"], &setup::Options::for_tests(), true)
}

/// The Python that tests read our files with; where it cannot be had and is not needed, those tests say that they are skipped.
fn python(is_needed: bool) -> Result<Option<PathBuf>> {
    match TESTS.python() {
        Ok(python) => Ok(Some(python)),
        Err(error) if is_needed => Err(error),
        Err(error) => {
            complain!("warning: event files are not read with TensorBoard: {error:#}");
            Ok(None)
        }
    }
}

/// `flags` go to each build.
fn every_check(flags: &[&str], options: &setup::Options, needs_python: bool) -> Result<()> {
    let begin = Instant::now();
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
    // Before the first build: set-up changes the flags, and with them every build so far is stale.
    setup::ensure_with(options)?;
    tidy(flags)?;
    book::build(flags, None)?;
    run(cargo(&["clippy", "--workspace", "--all-targets"]).args(flags).args(["--", "-D", "warnings"]))?;
    run(cargo(&["doc", "--workspace", "--no-deps"]).args(flags).env("RUSTDOCFLAGS", "-D warnings"))?;
    let mut tests = cargo(&["test", "--workspace", "--exclude", "xtask"]);
    run(tests.args(flags).envs(python(needs_python)?.map(|python| ("VQKIT_TEST_PYTHON", python))))?;
    package::dry_run(flags)?;
    say!("\nEvery check passed, in {:.1} minutes.", begin.elapsed().as_secs_f64() / 60.0);
    Ok(())
}

/// The tests of this crate: house rules and set-up. Needs no libtorch.
pub fn tidy(flags: &[&str]) -> Result<()> {
    run(cargo(&["test", "--package", "xtask"]).args(flags))
}
