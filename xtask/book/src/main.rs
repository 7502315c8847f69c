//! Checks the links of all Markdown in the checkout, and renders the documentation as a book. Runs in the checkout's root.

mod book;
mod checkout;
mod links;
mod page;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::Parser;

use crate::book::Book;

/// Check the documentation's links, then build the book.
#[derive(Debug, Parser)]
struct Options {
    /// The folder that the book is written into
    out: PathBuf,
    /// Open the book in a browser
    #[arg(long)]
    open: bool,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    let first = make(Path::new("."), &options.out)?;
    if options.open {
        opener::open(first)?;
    }
    Ok(())
}

/// Makes the book of the checkout `root` in the folder `out`, and returns its first page.
fn make(root: &Path, out: &Path) -> Result<PathBuf> {
    let book = Book::load(root)?;
    let broken = links::broken(root, &book)?;
    ensure!(broken.is_empty(), "{} broken links:\n{}", broken.len(), broken.join("\n"));
    book.render(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkout::fixture;

    #[test]
    fn a_sound_book_is_rendered() {
        let checkout = fixture(&[]);
        let out = checkout.path().join("target/book");
        let first = make(checkout.path(), &out).unwrap();
        assert!(std::fs::read_to_string(first).unwrap().contains("What it is"));
        assert!(out.join("guide/run.html").is_file());
    }

    #[test]
    fn a_broken_link_stops_the_book() {
        let checkout = fixture(&[("docs/src/guide/run.md", "# Run\n\nSee [there](gone.md).\n")]);
        let out = checkout.path().join("target/book");
        let error = make(checkout.path(), &out).unwrap_err().to_string();
        assert!(error.contains("docs/src/guide/run.md:3: `gone.md`"), "{error}");
        assert!(!out.exists());
    }

    #[test]
    fn a_chapter_without_its_file_is_refused() {
        let checkout = fixture(&[("docs/src/SUMMARY.md", "- [Gone](gone.md)\n")]);
        let error = make(checkout.path(), &checkout.path().join("out")).unwrap_err();
        assert!(format!("{error:#}").contains("gone.md"), "{error:#}");
    }
}
