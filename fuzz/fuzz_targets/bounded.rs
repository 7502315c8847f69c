//! An allocator that ends the program at an allocation far beyond the size of the input.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// For each byte of the input: a pickle has a value in each, and tables double when they are full.
const PER_BYTE: usize = 128;
/// Whatever the input is: buffers, and the end of an archive.
const ALWAYS: usize = 1 << 17;

static LARGEST: AtomicUsize = AtomicUsize::new(usize::MAX);

#[global_allocator]
static ALLOCATOR: Bounded = Bounded;

struct Bounded;

// SAFETY: everything is handed on to the system's allocator.
unsafe impl GlobalAlloc for Bounded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        check(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        check(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        check(size);
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn check(size: usize) {
    if size > LARGEST.load(Ordering::Relaxed) {
        std::process::abort();
    }
}

/// Runs `f`, which may not allocate more at once than an input of `length` bytes is good for.
pub fn within<T>(length: usize, f: impl FnOnce() -> T) -> T {
    LARGEST.store(length * PER_BYTE + ALWAYS, Ordering::Relaxed);
    let made = f();
    LARGEST.store(usize::MAX, Ordering::Relaxed);
    made
}
