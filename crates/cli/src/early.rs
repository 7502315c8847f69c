//! Signals that come before there is somebody to listen to them: they wait.
//!
//! Loading libtorch takes most of the program's first quarter of a second, all of it before `main`.

use nix::sys::signal::{SigSet, Signal};

fn signals() -> SigSet {
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect()
}

/// Lets signals wait, also while the program starts itself anew.
pub fn hold_signals() {
    // Where the system refuses, signals act as on any program.
    let _ = signals().thread_block();
}

/// Delivers what waits, and everything from now on.
pub fn release_signals() {
    let _ = signals().thread_unblock();
}

/// Runs before the constructors of all libraries.
#[cfg(target_os = "linux")]
#[used]
#[unsafe(link_section = ".preinit_array")]
static FIRST: extern "C" fn() = {
    extern "C" fn first() {
        hold_signals();
    }
    first
};
