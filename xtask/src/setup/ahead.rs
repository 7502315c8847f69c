//! A build beside the download: most crates need no libtorch, and fetching and unpacking it keeps one core busy at most.

use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::cargo::cargo;
use crate::terminal::say;

/// Cargo at work on the binary, until it is dropped.
///
/// It gets as far as it can: what needs libtorch fails, and is left to the build that follows.
#[derive(Debug)]
pub struct Ahead(Child);

impl Ahead {
    /// Starts Cargo; `None` where that does not work, since the build that follows will say why.
    pub fn start() -> Option<Self> {
        let mut build = cargo(&["build", "--release", "--package", "vqkit-cli", "--keep-going"]);
        build.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = build.spawn().ok()?;
        say!("meanwhile Cargo compiles what needs no libtorch");
        Some(Self(child))
    }
}

impl Drop for Ahead {
    /// Ends Cargo and its compilers, so that the build that follows begins with what it waits for longest.
    fn drop(&mut self) {
        // Both fail where it has ended by itself.
        let _ = killpg(Pid::from_raw(self.0.id() as i32), Signal::SIGINT);
        let _ = self.0.wait();
    }
}
