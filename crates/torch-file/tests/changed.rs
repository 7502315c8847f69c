//! Files in which anything was changed or cut: the answer is tensors or a sentence, and takes no more memory than the file is
//! good for.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use proptest::prelude::*;
use support::{FILES, open};
use vqkit_torch_file::TorchFileError;

/// A pickle may have a value in each of its bytes, and tables double when they are full.
const PER_BYTE: usize = 128;
/// Buffers, and the end of an archive.
const ALWAYS: usize = 1 << 17;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Watched = Watched;

/// Notes the largest allocation of each thread.
struct Watched;

// SAFETY: everything is handed on to the system's allocator.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size);
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn note(size: usize) {
    // The thread may be ending.
    let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(size)));
}

/// Opens a file and reads everything in it; the largest allocation beside the answer.
fn read_all(bytes: &[u8]) -> (Result<Vec<usize>, TorchFileError>, usize) {
    LARGEST.set(0);
    let read = open(bytes).and_then(|file| {
        file.tensors()
            .iter()
            .map(|entry| Ok(file.read(&entry.tensor)?.len() + file.read_storage(&entry.tensor)?.len()))
            .collect()
    });
    (read, LARGEST.get())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_and_cut_files_do_no_harm(
        file in 0..2_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8_u8), 0..3),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let mut bytes = FILES[file].1.to_vec();
        for (place, byte) in changes {
            *place.get_mut(&mut bytes) = byte;
        }
        for (place, bit) in flips {
            *place.get_mut(&mut bytes) ^= 1 << bit;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let (read, largest) = read_all(&bytes);
        prop_assert!(largest <= bytes.len() * PER_BYTE + ALWAYS, "{largest} of {}", bytes.len());
        match read {
            Ok(lengths) => prop_assert!(lengths.iter().all(|length| *length <= 2 * bytes.len())),
            Err(error) => prop_assert!(error.to_string().contains("any.name"), "{error}"),
        }
    }
}

/// What is claimed in front of nothing.
#[test]
fn claimed_lengths_are_not_allocated() {
    for claim in [&b"\x8d\0\0\0\0\x01\0\0\0"[..], b"T\xff\xff\xff\x7f", b"\x8b\xff\xff\xff\x7f", b"B\xff\xff\xff\xff"] {
        let (read, largest) = read_all(&support::legacy(claim));
        assert!(read.is_err() && largest <= ALWAYS, "{largest}");
    }
}
