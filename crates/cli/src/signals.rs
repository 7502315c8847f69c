//! Ctrl-C, the end of a session, a terminal that goes away: SIGINT, SIGTERM and SIGHUP are one wish to leave.
//!
//! Work looks at the wish between two pieces (a batch, a token, an image) and unwinds, so that nothing half-made stays. A single piece
//! that takes longer is not waited for, unless it is sheltered: a training step is finished, and a checkpoint written.

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

/// How long the program has to unwind by itself.
const PATIENCE: Duration = Duration::from_millis(900);

/// Signals that come so soon after the first are the same wish: a closing terminal sends several.
const SAME: Duration = Duration::from_millis(400);

/// How often the signals are looked at once there was one.
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

/// Says a line, and waits for no reader that has stopped to read.
fn say_if_heard(line: &'static str) {
    if thread::Builder::new().spawn(move || terminal::say(line)).is_ok() {
        thread::sleep(LOOK);
    }
}

/// Whether whoever started this process wants the signal to be ignored; where the system does not say, it is not.
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal - 1) & 1 == 1
}
