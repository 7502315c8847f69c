//! Signals that arrive before they can be handled: they are held back.
//!
//! Loading libtorch takes most of the program's first quarter of a second, all of it before `main`.

use nix::sys::signal::{SigSet, Signal};

fn signals() -> SigSet {
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect()
}

/// Holds signals back, also while the program restarts itself.
pub fn hold_signals() {
    // If the system refuses, signals have their default effect.
    let _ = signals().thread_block();
}

/// Delivers the signals that were held back, and all later ones.
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
