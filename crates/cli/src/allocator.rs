//! Memory from mimalloc; if there is none left, the program ends with an error message, where Rust would abort.
//!
//! mimalloc takes the place of `malloc` for the whole program, and so for the tensors of libtorch.

use std::{
    alloc::{GlobalAlloc, Layout},
    cell::Cell,
};

use mimalloc::MiMalloc;
use signal_hook::low_level;
use vqkit::run::files::abandon_all;

use crate::terminal;

/// mimalloc, with a message in the place of an abort.
pub struct Allocator;

thread_local! {
    static FAILS: Cell<bool> = const { Cell::new(false) };
}

/// Ends the program. The message and the removal of temporary files may need memory themselves: the second time, both
/// are skipped.
fn fail(layout: Layout) -> ! {
    if !FAILS.replace(true) {
        terminal::say(format_args!("error: not enough memory for {} more bytes", layout.size()));
        abandon_all();
    }
    low_level::exit(1)
}

fn checked(pointer: *mut u8, layout: Layout) -> *mut u8 {
    if pointer.is_null() && layout.size() > 0 { fail(layout) } else { pointer }
}

// SAFETY: every call goes to mimalloc unchanged; the addition runs only if that returns null, and does
// not return.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`.
        checked(unsafe { MiMalloc.alloc(layout) }, layout)
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        checked(unsafe { MiMalloc.alloc_zeroed(layout) }, layout)
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above, for `GlobalAlloc::realloc`.
        let moved = unsafe { MiMalloc.realloc(pointer, layout, size) };
        let wanted = Layout::from_size_align(size, layout.align()).unwrap_or(layout);
        checked(moved, wanted)
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above, for `GlobalAlloc::dealloc`.
        unsafe { MiMalloc.dealloc(pointer, layout) }
    }
}
