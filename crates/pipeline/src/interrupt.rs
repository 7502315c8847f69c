//! The wish to leave: Ctrl-C, the end of a session, a terminal that goes away.
//!
//! Work looks at it between two pieces (a batch, a token, a picture) and unwinds, so that nothing half-made stays. A single piece that takes
//! longer is not waited for, unless it is sheltered: a training step is finished, and a checkpoint written.

use std::{
    fs, io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
    low_level,
};

use crate::{
    error::{PipelineError, Result},
    files, terminal,
};

/// How long the program has to unwind by itself.
const PATIENCE: Duration = Duration::from_millis(900);

/// Signals that come so soon after the first are the same wish: a closing terminal sends several.
const SAME: Duration = Duration::from_millis(400);

/// How often the signals are looked at once there was one.
const LOOK: Duration = Duration::from_millis(20);

/// Becomes true at the first SIGINT, SIGTERM or SIGHUP. A second one that comes later, or one second without an end of unsheltered work, ends the program
/// with code 130; what it was writing is removed first.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<State>);

#[derive(Debug, Default)]
struct State {
    is_set: AtomicBool,
    has_ended: AtomicBool,
    shelters: AtomicUsize,
}

/// Work that is finished before the program leaves, while this lives.
#[derive(Debug)]
pub struct Shelter(Interrupt);

impl Interrupt {
    /// Listens to the signals. SIGHUP is left alone where it is ignored, as under `nohup`.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn install() -> io::Result<Self> {
        let interrupt = Self::default();
        let signals = [SIGINT, SIGTERM].into_iter().chain((!is_ignored(SIGHUP)).then_some(SIGHUP));
        let signals = Signals::new(signals)?;
        let listener = interrupt.clone();
        thread::Builder::new().name("vqkit-signals".into()).spawn(move || listener.listen(signals))?;
        Ok(interrupt)
    }

    /// Whether the user wants to leave.
    pub fn is_set(&self) -> bool {
        self.0.is_set.load(Ordering::Relaxed)
    }

    /// Stops work that has a place to stop.
    ///
    /// # Errors
    /// [`PipelineError::Interrupted`] when the user wants to leave.
    pub fn check(&self) -> Result<()> {
        if self.is_set() { Err(PipelineError::Interrupted) } else { Ok(()) }
    }

    /// Begins work that is to be finished first.
    pub fn shelter(&self) -> Shelter {
        self.0.shelters.fetch_add(1, Ordering::SeqCst);
        Shelter(self.clone())
    }

    /// Says that the program is about to end by itself.
    pub fn end(&self) {
        self.0.has_ended.store(true, Ordering::SeqCst);
    }

    fn listen(&self, mut signals: Signals) {
        if signals.forever().next().is_none() {
            return;
        }
        self.0.is_set.store(true, Ordering::SeqCst);
        let (first, mut since) = (Instant::now(), Instant::now());
        while !self.0.has_ended.load(Ordering::SeqCst) {
            if self.0.shelters.load(Ordering::SeqCst) > 0 {
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
}

/// Says a line, and waits for no reader that has stopped to read.
fn say_if_heard(line: &'static str) {
    if thread::Builder::new().spawn(move || terminal::say(line)).is_ok() {
        thread::sleep(LOOK);
    }
}

impl Drop for Shelter {
    fn drop(&mut self) {
        self.0.0.shelters.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Whether whoever started this process wants the signal to be ignored; where the system does not say, it is not.
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal - 1) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_checked_and_sheltered_from() {
        let interrupt = Interrupt::default();
        interrupt.check().unwrap();
        let shelter = interrupt.shelter();
        interrupt.0.is_set.store(true, Ordering::SeqCst);
        assert!(matches!(interrupt.clone().check(), Err(PipelineError::Interrupted)));
        assert_eq!(interrupt.0.shelters.load(Ordering::SeqCst), 1);
        drop(shelter);
        assert_eq!(interrupt.0.shelters.load(Ordering::SeqCst), 0);
    }
}
