//! The one place that prints. What is said besides the work never fails the work.

use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
    path::Path,
};

use rustix::{
    fs::{FileType, fstat},
    io::Errno,
};
use vqkit::run::RunError;

/// Prints on standard output. A reader that went away ends this quietly.
///
/// # Errors
/// When it cannot be written: a full disk.
pub fn print(text: &str) -> Result<(), RunError> {
    printed(io::stdout().write_all(text.as_bytes()))
}

/// What a print on standard output came to, with what still waits to be written.
///
/// # Errors
/// As [`print()`].
pub fn printed(result: io::Result<()>) -> Result<(), RunError> {
    match result.and_then(|()| io::stdout().flush()) {
        Err(error) if is_gone(&error) => Ok(()),
        result => result.map_err(|source| RunError::io("write to", Path::new("standard output"), source)),
    }
}

/// Says a line on standard error, if anybody is there to read it.
pub fn say(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Whether somebody may be looking at standard error.
pub fn is_watched() -> bool {
    io::stderr().is_terminal()
}

/// Whether nobody reads any more: a pipe that was closed, a terminal that is gone.
fn is_gone(error: &io::Error) -> bool {
    let is_device = || fstat(io::stdout()).is_ok_and(|found| FileType::from_raw_mode(found.st_mode).is_char_device());
    match error.kind() {
        io::ErrorKind::BrokenPipe => true,
        // Of a disk, the same error is one.
        _ => error.raw_os_error() == Some(Errno::IO.raw_os_error()) && is_device(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_reader_that_went_away_is_no_error() {
        printed(Ok(())).unwrap();
        printed(Err(io::ErrorKind::BrokenPipe.into())).unwrap();
        let full = printed(Err(io::ErrorKind::StorageFull.into()));
        assert!(full.unwrap_err().to_string().contains("standard output"));
    }
}
