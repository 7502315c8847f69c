//! The verbs `test`, `tidy` and `ci`: every check there is, cheapest first.

use std::time::Instant;

use anyhow::Result;

use crate::cargo::{cargo, run, status};
use crate::setup;

/// Runs every check, on a libtorch set up with the defaults.
pub fn test() -> Result<()> {
    every_check(&[], &setup::Options::default())
}

/// What continuous integration runs, in a clean checkout and without a terminal.
pub fn ci() -> Result<()> {
    status(&mut cargo(&["--version"]))?;
    status(&mut cargo(&["clippy", "--version"]))?;
    every_check(&["--locked"], &setup::Options::without_cuda())
}

/// `flags` go to each build.
fn every_check(flags: &[&str], options: &setup::Options) -> Result<()> {
    let begin = Instant::now();
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
    // Before the first build: set-up changes the flags, and with them every build so far is stale.
    setup::ensure_with(options)?;
    tidy(flags)?;
    run(cargo(&["clippy", "--workspace", "--all-targets"]).args(flags).args(["--", "-D", "warnings"]))?;
    run(cargo(&["doc", "--workspace", "--no-deps"]).args(flags).env("RUSTDOCFLAGS", "-D warnings"))?;
    run(cargo(&["test", "--workspace", "--exclude", "xtask"]).args(flags))?;
    println!("\nEvery check passed, in {:.1} minutes.", begin.elapsed().as_secs_f64() / 60.0);
    Ok(())
}

/// The tests of this crate: house rules and set-up. Needs no libtorch.
pub fn tidy(flags: &[&str]) -> Result<()> {
    run(cargo(&["test", "--package", "xtask"]).args(flags))
}
