//! The one place that prints: a reader that went away, or a disk that is full, ends no work.

use std::fmt::Arguments;
use std::io::{self, Write};

pub fn write_out(line: Arguments) {
    let _ = writeln!(io::stdout(), "{line}");
}

pub fn write_error(line: Arguments) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Hands what a program complained of on to the user.
pub fn pass_on(complaint: &[u8]) {
    let _ = io::stderr().write_all(complaint);
}

/// Writes a line on standard output, as `println!` does, and never panics.
macro_rules! say {
    () => { $crate::terminal::write_out(format_args!("")) };
    ($($line:tt)+) => { $crate::terminal::write_out(format_args!($($line)+)) };
}

/// Writes a line on standard error, as `eprintln!` does, and never panics.
macro_rules! complain {
    ($($line:tt)+) => { $crate::terminal::write_error(format_args!($($line)+)) };
}

pub(crate) use {complain, say};
