//! A number of bytes that threads share: who wants more than is left waits for its turn.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Bytes that may be in use at once.
#[derive(Debug)]
pub(crate) struct Budget {
    capacity: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    used: u64,
    /// The number that the next to wait gets; turns come in the order of numbers, so that large wishes are not passed by small ones
    /// for ever.
    next: u64,
    /// The number whose turn it is.
    turn: u64,
}

/// Bytes in use; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Budget {
    pub(crate) fn new(capacity: u64) -> Arc<Self> {
        Arc::new(Self { capacity, state: Mutex::default(), changed: Condvar::new() })
    }

    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Waits until `bytes`, at most the capacity, are free.
    pub(crate) fn wait_for(self: &Arc<Self>, bytes: u64) -> Reservation {
        let bytes = bytes.min(self.capacity);
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        while state.turn != number || state.used.saturating_add(bytes) > self.capacity {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.turn += 1;
        state.used += bytes;
        drop(state);
        self.changed.notify_all();
        Reservation { budget: Arc::clone(self), bytes }
    }

    /// Takes `bytes` without waiting, be they free or not.
    pub(crate) fn take(self: &Arc<Self>, bytes: u64) -> Reservation {
        let bytes = bytes.min(self.capacity);
        self.lock().used += bytes;
        Reservation { budget: Arc::clone(self), bytes }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.lock().used -= self.bytes;
        self.budget.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU64, Ordering},
        thread,
    };

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn never_more_than_the_capacity_is_in_use_and_all_get_their_turn(
            wishes in prop::collection::vec(prop::collection::vec(1u64..=100, 0..20), 1..6),
        ) {
            let (budget, used, most) = (Budget::new(100), AtomicU64::new(0), AtomicU64::new(0));
            thread::scope(|scope| {
                for wishes in &wishes {
                    let (budget, used, most) = (&budget, &used, &most);
                    scope.spawn(move || {
                        for bytes in wishes {
                            let reservation = budget.wait_for(*bytes);
                            let now = used.fetch_add(*bytes, Ordering::SeqCst) + bytes;
                            most.fetch_max(now, Ordering::SeqCst);
                            thread::yield_now();
                            used.fetch_sub(*bytes, Ordering::SeqCst);
                            drop(reservation);
                        }
                    });
                }
            });
            prop_assert!(most.into_inner() <= 100);
            prop_assert_eq!(budget.lock().used, 0);
        }
    }
}
