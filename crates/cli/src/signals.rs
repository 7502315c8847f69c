//! Ctrl-C, the end of a session, a closed terminal: SIGINT, SIGTERM and SIGHUP all request that the program stops.
//!
//! Work checks for the request between two units (a batch, a token, an image) and unwinds, so that nothing half-written
//! stays. The program does not wait for a unit that takes longer, unless it is sheltered: a training step is finished,
//! and a checkpoint written.

use std::{
    fs, io, thread,
    time::{Duration, Instant},
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
    low_level,
};
use vqkit::run::{Interrupt, files};

use crate::terminal;

/// Time that the program has to unwind by itself.
const PATIENCE: Duration = Duration::from_millis(900);

/// Signals within this time after the first count as the same request: a closing terminal sends several.
const SAME: Duration = Duration::from_millis(400);

/// Interval at which signals are checked after the first one.
const LOOK: Duration = Duration::from_millis(20);

/// Sets the interrupt that it returns at the first signal. A second one that comes later, or unsheltered work that does not end in a
/// second, ends the program with code 130; what it was writing is removed first. SIGHUP is left alone where it is ignored, as under
/// `nohup`.
///
/// # Errors
/// When the operating system refuses.
pub fn listen() -> io::Result<Interrupt> {
    let interrupt = Interrupt::default();
    let signals = [SIGINT, SIGTERM].into_iter().chain((!is_ignored(SIGHUP)).then_some(SIGHUP));
    let signals = Signals::new(signals)?;
    let told = interrupt.clone();
    thread::Builder::new().name("vqkit-signals".into()).spawn(move || wait(signals, &told))?;
    Ok(interrupt)
}

fn wait(mut signals: Signals, interrupt: &Interrupt) {
    if signals.forever().next().is_none() {
        return;
    }
    interrupt.set();
    let (first, mut since) = (Instant::now(), Instant::now());
    while !interrupt.has_ended() {
        if interrupt.is_sheltered() {
            since = Instant::now();
        }
        let comes_again = signals.pending().count() > 0 && first.elapsed() > SAME;
        if since.elapsed() > PATIENCE || comes_again {
            files::abandon_all();
            say_if_heard("error: interrupted");
            low_level::exit(130);
        }
        thread::sleep(LOOK);
    }
}

/// Prints a line, without waiting for a reader that has stopped reading.
fn say_if_heard(line: &'static str) {
    if thread::Builder::new().spawn(move || terminal::say(line)).is_ok() {
        thread::sleep(LOOK);
    }
}

/// Whether the parent process set the signal to be ignored; false if the system does not tell.
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal - 1) & 1 == 1
}
