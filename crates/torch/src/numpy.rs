//! Random numbers as numpy's legacy generator draws them, where results of other implementations rest on them.

/// `numpy.random.RandomState(seed).permutation(count)`: Fisher and Yates from the back, with numbers below a bound drawn by
/// rejection.
///
/// ```
/// assert_eq!(vqkit_torch::numpy::permutation(1, 5), [2, 1, 4, 0, 3]);
/// ```
pub fn permutation(seed: u32, count: i64) -> Vec<i64> {
    let mut random = rand_mt::Mt::new(seed);
    let mut positions: Vec<i64> = (0..count).collect();
    for last in (1..positions.len()).rev() {
        let mask = u32::MAX >> (last as u32).leading_zeros();
        let other = loop {
            let drawn = random.next_u32() & mask;
            if drawn <= last as u32 {
                break drawn as usize;
            }
        };
        positions.swap(last, other);
    }
    positions
}
