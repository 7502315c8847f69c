//! Work shared out among libtorch's own threads, so that no second pool competes with them for the cores.

use std::any::Any;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};

/// `GOMP_parallel` of the OpenMP runtime that libtorch is linked against.
type Fork = unsafe extern "C" fn(unsafe extern "C" fn(*mut c_void), *mut c_void, u32, u32);

/// Calls `work` once for every index below `count`, in any order, on libtorch's threads.
///
/// A panic of `work` on any of them stops the others and goes on from here, in the caller's thread.
pub fn share(count: usize, work: &(dyn Fn(usize) + Sync)) {
    let threads = usize::try_from(tch::get_num_threads()).unwrap_or(1).clamp(1, count.max(1));
    let making = vqkit_torch::making();
    let crew = Crew { next: AtomicUsize::new(0), count, work, making, panic: Mutex::new(None) };
    match (*FORK, threads) {
        (_, 1) => crew.take(),
        // SAFETY: `enter` reads a `Crew` that outlives the call, which returns when every thread has left it.
        (Some(fork), _) => unsafe { fork(enter, (&raw const crew).cast_mut().cast(), threads as u32, 0) },
        (None, _) => std::thread::scope(|scope| {
            (1..threads).for_each(|_| drop(scope.spawn(|| crew.take())));
            crew.take();
        }),
    }
    if let Some(payload) = crew.panic.into_inner().unwrap_or_else(PoisonError::into_inner) {
        resume_unwind(payload);
    }
}

/// As [`share`], but each thread takes several neighbouring indices at a time, one after the other.
pub fn share_in_runs(count: usize, work: &(dyn Fn(usize) + Sync)) {
    let threads = usize::try_from(tch::get_num_threads()).unwrap_or(1).max(1);
    let length = (count / (4 * threads)).max(1);
    share(count.div_ceil(length), &|run| (run * length..count.min((run + 1) * length)).for_each(work));
}

/// What the threads take from.
struct Crew<'w> {
    next: AtomicUsize,
    count: usize,
    work: &'w (dyn Fn(usize) + Sync),
    /// What the caller is attempting to make.
    making: Option<String>,
    /// The first panic; none may leave a thread of OpenMP, whose frames are C's.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Crew<'_> {
    fn take(&self) {
        let work = || vqkit_torch::continued(self.making.as_deref(), || self.take_all());
        if let Err(payload) = catch_unwind(AssertUnwindSafe(work)) {
            self.next.store(self.count, Ordering::Relaxed);
            self.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(payload);
        }
    }

    fn take_all(&self) {
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

    #[test]
    fn a_panic_of_any_thread_comes_back_and_the_threads_go_on_to_serve() {
        for wrong in [0, 3, 99] {
            let run = || share(100, &|index| assert_ne!(index, wrong, "a bug"));
            let payload = catch_unwind(run).unwrap_err();
            assert!(payload.downcast_ref::<String>().is_some_and(|said| said.contains("a bug")));
            let sum = AtomicUsize::new(0);
            share(100, &|index| _ = sum.fetch_add(index, Ordering::Relaxed));
            assert_eq!(sum.into_inner(), 4950);
        }
    }

    #[test]
    fn what_libtorch_refuses_on_any_thread_is_an_error_of_the_attempt() {
        let work = |_: usize| drop(tch::Tensor::zeros([-1i64], (tch::Kind::Float, tch::Device::Cpu)));
        let tried = vqkit_torch::attempt("panels", || {
            share(8, &work);
            Ok::<_, vqkit_torch::TorchError>(())
        });
        assert!(tried.unwrap_err().to_string().ends_with("(this was for panels)"));
    }
}
