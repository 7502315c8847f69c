//! Interruption: by Ctrl-C, the end of a session, or a terminal that is closed.
//!
//! Work checks for it between two units (a batch, a token, an image) and unwinds, so that nothing half-written stays.
//! The program does not wait for a unit that takes longer, unless it is sheltered: a training step is finished, and a
//! checkpoint written.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use crate::{error::Result, error::RunError};

/// A request to stop; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<State>);

#[derive(Debug, Default)]
struct State {
    is_set: AtomicBool,
    has_ended: AtomicBool,
    shelters: AtomicUsize,
}

/// While this value lives, the program finishes the current work before it ends.
#[derive(Debug)]
pub struct Shelter(Interrupt);

impl Interrupt {
    /// Requests that the work stops.
    pub fn set(&self) {
        self.0.is_set.store(true, Ordering::SeqCst);
    }

    /// Whether a stop was requested.
    pub fn is_set(&self) -> bool {
        self.0.is_set.load(Ordering::Relaxed)
    }

    /// Stops the work here if a stop was requested.
    ///
    /// # Errors
    /// [`RunError::Interrupted`] when a stop was requested.
    pub fn check(&self) -> Result<()> {
        if self.is_set() { Err(RunError::Interrupted) } else { Ok(()) }
    }

    /// Whether work is in progress that has to be finished first.
    pub fn is_sheltered(&self) -> bool {
        self.0.shelters.load(Ordering::SeqCst) > 0
    }

    /// Whether the program is about to end by itself.
    pub fn has_ended(&self) -> bool {
        self.0.has_ended.load(Ordering::SeqCst)
    }

    /// Begins work that has to be finished before the program ends.
    pub fn shelter(&self) -> Shelter {
        self.0.shelters.fetch_add(1, Ordering::SeqCst);
        Shelter(self.clone())
    }

    /// Notes that the program is about to end by itself.
    pub fn end(&self) {
        self.0.has_ended.store(true, Ordering::SeqCst);
    }
}

impl Drop for Shelter {
    fn drop(&mut self) {
        self.0.0.shelters.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_checked_and_sheltered_from() {
        let interrupt = Interrupt::default();
        interrupt.check().unwrap();
        let shelter = interrupt.shelter();
        interrupt.set();
        assert!(matches!(interrupt.clone().check(), Err(RunError::Interrupted)));
        assert!(interrupt.is_sheltered());
        drop(shelter);
        assert!(!interrupt.is_sheltered());
    }
}
