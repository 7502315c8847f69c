//! Work shared out among libtorch's own threads, so that no second pool competes with them for the cores.

use std::ffi::c_void;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// `GOMP_parallel` of the OpenMP runtime that libtorch is linked against.
type Fork = unsafe extern "C" fn(unsafe extern "C" fn(*mut c_void), *mut c_void, u32, u32);

/// Calls `work` once for every index below `count`, in any order, on libtorch's threads.
pub(super) fn share(count: usize, work: &(dyn Fn(usize) + Sync)) {
    let threads = usize::try_from(tch::get_num_threads()).unwrap_or(1).clamp(1, count.max(1));
    let crew = Crew { next: AtomicUsize::new(0), count, work };
    match (*FORK, threads) {
        (_, 1) => crew.take(),
        // SAFETY: `enter` reads a `Crew` that outlives the call, which returns when every thread has left it.
        (Some(fork), _) => unsafe { fork(enter, (&raw const crew).cast_mut().cast(), threads as u32, 0) },
        (None, _) => std::thread::scope(|scope| {
            (1..threads).for_each(|_| drop(scope.spawn(|| crew.take())));
            crew.take();
        }),
    }
}

/// As [`share`], but each thread takes several neighbouring indices at a time, one after the other.
pub(super) fn share_in_runs(count: usize, work: &(dyn Fn(usize) + Sync)) {
    let threads = usize::try_from(tch::get_num_threads()).unwrap_or(1).max(1);
    let length = (count / (4 * threads)).max(1);
    share(count.div_ceil(length), &|run| (run * length..count.min((run + 1) * length)).for_each(work));
}

/// What the threads take from.
struct Crew<'w> {
    next: AtomicUsize,
    count: usize,
    work: &'w (dyn Fn(usize) + Sync),
}

impl Crew<'_> {
    fn take(&self) {
        loop {
            match self.next.fetch_add(1, Ordering::Relaxed) {
                index if index < self.count => (self.work)(index),
                _ => return,
            }
        }
    }
}

unsafe extern "C" fn enter(crew: *mut c_void) {
    // SAFETY: `share` hands over a living `Crew`, which is only read.
    unsafe { &*crew.cast::<Crew>() }.take();
}

#[cfg(unix)]
static FORK: LazyLock<Option<Fork>> = LazyLock::new(|| {
    let program = libloading::os::unix::Library::this();
    // SAFETY: GNU's OpenMP runtime has given this symbol this signature since GCC 4.9.
    unsafe { program.get::<Fork>(b"GOMP_parallel\0") }.ok().map(|symbol| *symbol)
});

#[cfg(not(unix))]
static FORK: LazyLock<Option<Fork>> = LazyLock::new(|| None);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_comes_once() {
        for count in [0, 1, 2, 7, 1000] {
            let seen: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
            share(count, &|index| {
                seen[index].fetch_add(1, Ordering::Relaxed);
            });
            assert!(seen.iter().all(|times| times.load(Ordering::Relaxed) == 1), "{count}");
        }
    }
}
