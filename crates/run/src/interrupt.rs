//! The wish to leave: Ctrl-C, the end of a session, a terminal that goes away.
//!
//! Work looks at it between two pieces (a batch, a token, a picture) and unwinds, so that nothing half-made stays. A single piece that takes
//! longer is not waited for, unless it is sheltered: a training step is finished, and a checkpoint written.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use crate::{error::Result, error::RunError};

/// The wish to leave; clones share it.
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
    /// Says that the work is to stop.
    pub fn set(&self) {
        self.0.is_set.store(true, Ordering::SeqCst);
    }

    /// Whether the work is to stop.
    pub fn is_set(&self) -> bool {
        self.0.is_set.load(Ordering::Relaxed)
    }

    /// Stops work that has a place to stop.
    ///
    /// # Errors
    /// [`RunError::Interrupted`] when the user wants to leave.
    pub fn check(&self) -> Result<()> {
        if self.is_set() { Err(RunError::Interrupted) } else { Ok(()) }
    }

    /// Whether there is work under way that is to be finished first.
    pub fn is_sheltered(&self) -> bool {
        self.0.shelters.load(Ordering::SeqCst) > 0
    }

    /// Whether the program is about to end by itself.
    pub fn has_ended(&self) -> bool {
        self.0.has_ended.load(Ordering::SeqCst)
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
