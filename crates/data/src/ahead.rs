//! Reading ahead on threads, in order.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    thread,
};

use crossbeam_channel::{Receiver, bounded};

use crate::bounds::MAX_WORKERS;

/// Items that a thread may be in front.
const MAX_AHEAD: usize = 1024;

/// What `read` makes of `0..count`, in that order, on `workers` threads of which each stays at most `ahead` items in front.
///
/// There are 64 threads at most, and 1024 items in front of each. Thread `w` takes the indices `w`, `w + workers` and so on; dropped
/// early, the threads end after the item at hand. Should `read` panic, so does the iterator. Where the system gives no thread, its
/// items are read when they are due.
///
/// ```
/// let squares: Vec<usize> = vqkit_data::read_ahead(5, 2, 4, |index| index * index).collect();
/// assert_eq!(squares, [0, 1, 4, 9, 16]);
/// ```
pub fn read_ahead<T: Send + 'static>(
    count: usize,
    workers: usize,
    ahead: usize,
    read: impl Fn(usize) -> T + Clone + Send + 'static,
) -> impl Iterator<Item = T> {
    let workers = workers.clamp(1, MAX_WORKERS).min(count.max(1));
    let start = |worker: usize| -> Option<Receiver<thread::Result<T>>> {
        let (sender, receiver) = bounded(ahead.clamp(1, MAX_AHEAD));
        let read = read.clone();
        let work = move || {
            let one = |index: usize| catch_unwind(AssertUnwindSafe(|| read(index)));
            let _ = (worker..count).step_by(workers).try_for_each(|index| sender.send(one(index)));
        };
        thread::Builder::new().spawn(work).ok().map(|_| receiver)
    };
    let receivers: Vec<Option<Receiver<thread::Result<T>>>> = (0..workers).map(start).collect();
    (0..count).map_while(move |index| match &receivers[index % workers] {
        Some(receiver) => receiver.recv().ok().map(|read| read.unwrap_or_else(|panic| resume_unwind(panic))),
        None => Some(read(index)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_does_not_depend_on_the_threads() {
        let slow = |index: usize| {
            thread::sleep(std::time::Duration::from_millis((7 * index as u64) % 5));
            index
        };
        assert!(read_ahead(23, usize::MAX, usize::MAX, slow).eq(0..23));
        for workers in [1, 2, 3, 40] {
            assert!(read_ahead(23, workers, 2, slow).eq(0..23), "{workers} workers");
        }
        let broken = read_ahead(9, 2, 1, |index| if index == 4 { panic!("a bug") } else { index });
        assert!(catch_unwind(AssertUnwindSafe(|| broken.count())).is_err());
        assert_eq!(read_ahead(0, 4, 2, slow).count(), 0);
        assert_eq!(read_ahead(100, 2, 1, slow).take(3).count(), 3);
    }
}
