//! The threads that libtorch uses within one operation.

/// Sets the number of threads within an operation, for the whole process; less than one counts as one.
pub fn set(threads: i32) {
    tch::set_num_threads(threads.max(1));
}

/// The number of threads within an operation.
pub fn count() -> i32 {
    tch::get_num_threads()
}

/// The number of cores that this process may use, by its affinity and its container's quota.
pub fn available() -> i32 {
    std::thread::available_parallelism().map_or(1, |cores| i32::try_from(cores.get()).unwrap_or(i32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_counted() {
        let before = count();
        set(2);
        assert_eq!(count(), 2);
        set(0);
        assert_eq!(count(), 1);
        set(before);
        assert!(available() >= 1);
    }
}
