//! What a thread is attempting to make, which errors of libtorch then name.

use std::cell::RefCell;

thread_local! {
    /// What this thread is attempting to make, the innermost last.
    static MAKING: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// What this thread is attempting to make.
pub fn making() -> Option<String> {
    MAKING.with_borrow(|making| making.last().cloned())
}

/// Runs a part of an attempt on another thread: `what` is what [`making`] said on the first.
pub fn continued<T>(what: Option<&str>, work: impl FnOnce() -> T) -> T {
    let _scope = what.map(|what| Scope::enter(what.to_owned()));
    work()
}

/// One level of [`MAKING`].
pub(crate) struct Scope;

impl Scope {
    pub fn enter(what: String) -> Self {
        MAKING.with_borrow_mut(|making| making.push(what));
        Self
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        MAKING.with_borrow_mut(|making| drop(making.pop()));
    }
}
