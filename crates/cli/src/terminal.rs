//! The only module that prints. A failure to print messages never stops the work.

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

/// Prints on standard output. A closed pipe ends the program silently.
///
/// # Errors
/// When it cannot be written: a full disk.
pub fn print(text: &str) -> Result<(), RunError> {
    printed(io::stdout().write_all(text.as_bytes()))
}

/// The result of printing on standard output, after flushing.
///
/// # Errors
/// As [`print()`].
pub fn printed(result: io::Result<()>) -> Result<(), RunError> {
    match result.and_then(|()| io::stdout().flush()) {
        Err(error) if is_gone(&error) => Ok(()),
        result => result.map_err(|source| RunError::io("write to", Path::new("standard output"), source)),
    }
}

/// Prints a line on standard error; a failure is ignored.
pub fn say(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Whether standard error is a terminal that somebody may read.
pub fn is_watched() -> bool {
    io::stderr().is_terminal()
}

/// Whether there is no reader any more: a closed pipe or terminal.
fn is_gone(error: &io::Error) -> bool {
    let is_device = || fstat(io::stdout()).is_ok_and(|found| FileType::from_raw_mode(found.st_mode).is_char_device());
    match error.kind() {
        io::ErrorKind::BrokenPipe => true,
        // For a disk, the same error is a real one.
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
