//! A build beside the download: most crates need no libtorch, and fetching and unpacking it keeps one core busy at most.

use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{io, thread};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{iterator::Signals, low_level};

use super::settings;
use crate::cargo::{cargo, root};
use crate::terminal::say;

/// Cargo at work on the binary, until it is dropped.
///
/// It gets as far as it can: what needs libtorch fails, and is left to the build that follows.
#[derive(Debug)]
pub struct Ahead {
    cargo: Child,
    is_wanted: Arc<AtomicBool>,
}

impl Ahead {
    /// Starts Cargo; `None` where that does not work, since the build that follows will say why.
    pub fn start() -> Option<Self> {
        let mut build = cargo(&["build", "--release", "--package", "vqkit-cli", "--keep-going"]);
        build.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let ahead = Self { cargo: build.spawn().ok()?, is_wanted: Arc::new(true.into()) };
        ahead.end_at_signals().ok()?;
        say!("meanwhile Cargo compiles what needs no libtorch");
        Some(ahead)
    }

    /// Cargo has a group of processes of its own, which Ctrl-C does not reach: SIGINT and SIGTERM end it too, and the settings
    /// that name a libtorch that is not there yet.
    fn end_at_signals(&self) -> io::Result<()> {
        let (group, is_wanted) = (self.group(), Arc::clone(&self.is_wanted));
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        thread::spawn(move || {
            for signal in signals.forever() {
                if is_wanted.load(Ordering::SeqCst) {
                    let _ = killpg(group, Signal::SIGINT);
                    settings::forget(&root());
                }
                let _ = low_level::emulate_default_handler(signal);
            }
        });
        Ok(())
    }

    /// Cargo and its compilers.
    fn group(&self) -> Pid {
        Pid::from_raw(self.cargo.id() as i32)
    }
}

impl Drop for Ahead {
    /// Ends Cargo and its compilers, so that the build that follows begins with what it waits for longest.
    fn drop(&mut self) {
        self.is_wanted.store(false, Ordering::SeqCst);
        // Both fail where it has ended by itself.
        let _ = killpg(self.group(), Signal::SIGINT);
        let _ = self.cargo.wait();
    }
}
