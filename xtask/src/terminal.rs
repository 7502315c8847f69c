//! The one place that prints: a reader that went away, or a disk that is full, ends no work.

use std::fmt::Arguments;
use std::io::{self, Write};

/// Writes a line on standard output.
pub fn say(line: Arguments) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Writes a line on standard error.
pub fn warn(line: Arguments) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Writes a line on standard output, as `println!` does, and never panics.
macro_rules! say {
    () => { crate::terminal::say(format_args!("")) };
    ($($line:tt)+) => { crate::terminal::say(format_args!($($line)+)) };
}

/// Writes a line on standard error, as `eprintln!` does, and never panics.
macro_rules! warn {
    ($($line:tt)+) => { crate::terminal::warn(format_args!($($line)+)) };
}

pub(crate) use {say, warn};
