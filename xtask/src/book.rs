//! The verb `book`: the documentation as a book, and a check of its links. A program of its own does the work, so that
//! the other verbs need not wait for mdBook to be built.

use anyhow::Result;

use crate::cargo::{cargo, run, target_dir};
use crate::terminal::say;

/// Build the documentation as a book, and check the links of all Markdown in the checkout. Needs no network.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo xtask book\n  cargo xtask book --open")]
pub struct Options {
    /// Open the book in a browser
    #[arg(long)]
    open: bool,
}

/// Builds the book that the options ask for.
pub fn book(options: &Options) -> Result<()> {
    build(&[], options.open.then_some("--open"))
}

/// `flags` go to the build of the program, `option` to the program.
pub fn build(flags: &[&str], option: Option<&str>) -> Result<()> {
    let out = target_dir().join("book");
    let mut command = cargo(&["run", "--quiet", "--package", "vqkit-book"]);
    run(command.args(flags).arg("--").arg(&out).args(option))?;
    say!("The book: {}", out.join("index.html").display());
    Ok(())
}
