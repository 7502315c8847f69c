//! The inner loop of a product: up to six rows of input against a panel of sixteen columns of weights.
//!
//! Every sum runs over the depth from front to back in one accumulator, whatever the number of rows, so that a row's
//! result is the same bits in every batch.

/// Columns of a panel.
pub(super) const WIDTH: usize = 16;
/// Most rows that one pass over a panel serves.
pub(super) const ROWS: usize = 6;

/// The sums of some rows with the columns of a panel.
pub(super) type Sums = [[f32; WIDTH]; ROWS];

/// How a weight is stored; a panel holds its values depth-first, the columns of one depth side by side.
pub(super) trait Weight: Copy + Sync {
    /// The number that it stands for, before the column's scale.
    fn value(self) -> f32;

    /// The sixteen numbers at `place`.
    ///
    /// # Safety
    /// There are sixteen weights at `place`, and the processor has AVX2.
    #[cfg(target_arch = "x86_64")]
    unsafe fn load(place: *const Self) -> [std::arch::x86_64::__m256; 2];
}

/// bfloat16: the upper half of an f32.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub(super) struct Bf16(pub u16);

/// Adds `rows[r] · panel` to `sums[r]` for each of `count` rows of `depth` numbers, `stride` apart from `rows` on. Meanwhile the
/// weights that lie `ahead` of each one that is read are fetched from memory.
pub(super) fn accumulate<W: Weight>(
    rows: &[f32],
    stride: usize,
    count: usize,
    depth: usize,
    panel: &[W],
    ahead: usize,
    sums: &mut Sums,
) {
    assert!((1..=ROWS).contains(&count) && panel.len() >= depth * WIDTH);
    assert!(rows.len() >= (count - 1) * stride + depth);
    #[cfg(target_arch = "x86_64")]
    if super::cpu::has_avx2() {
        let (rows, panel) = (rows.as_ptr(), panel.as_ptr());
        // SAFETY: the processor has the features, and the lengths were compared above.
        return unsafe {
            match count {
                1 => x86::accumulate::<W, 1>(rows, stride, depth, panel, ahead, sums),
                2 => x86::accumulate::<W, 2>(rows, stride, depth, panel, ahead, sums),
                3 => x86::accumulate::<W, 3>(rows, stride, depth, panel, ahead, sums),
                4 => x86::accumulate::<W, 4>(rows, stride, depth, panel, ahead, sums),
                5 => x86::accumulate::<W, 5>(rows, stride, depth, panel, ahead, sums),
                _ => x86::accumulate::<W, 6>(rows, stride, depth, panel, ahead, sums),
            }
        };
    }
    for (row, sums) in sums.iter_mut().enumerate().take(count) {
        for (input, weights) in rows[row * stride..][..depth].iter().zip(panel.chunks_exact(WIDTH)) {
            sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += input * weight.value());
        }
    }
}

impl Weight for f32 {
    fn value(self) -> f32 {
        self
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn load(place: *const Self) -> [std::arch::x86_64::__m256; 2] {
        use std::arch::x86_64::_mm256_loadu_ps;
        // SAFETY: the caller vouches for sixteen numbers.
        unsafe { [_mm256_loadu_ps(place), _mm256_loadu_ps(place.add(8))] }
    }
}

impl Weight for Bf16 {
    fn value(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn load(place: *const Self) -> [std::arch::x86_64::__m256; 2] {
        use std::arch::x86_64::{_mm_loadu_si128, _mm256_castsi256_ps, _mm256_cvtepu16_epi32, _mm256_slli_epi32};
        [0, 8].map(|first| {
            // SAFETY: the caller vouches for sixteen numbers.
            let halves = unsafe { _mm_loadu_si128(place.add(first).cast()) };
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(halves)))
        })
    }
}

impl Weight for i8 {
    fn value(self) -> f32 {
        self.into()
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn load(place: *const Self) -> [std::arch::x86_64::__m256; 2] {
        use std::arch::x86_64::{_mm_loadl_epi64, _mm256_cvtepi8_epi32, _mm256_cvtepi32_ps};
        [0, 8].map(|first| {
            // SAFETY: the caller vouches for sixteen numbers.
            let bytes = unsafe { _mm_loadl_epi64(place.add(first).cast()) };
            _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes))
        })
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        _MM_HINT_T1, _mm_prefetch, _mm256_broadcast_ss, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_storeu_ps,
    };

    use super::{Sums, Weight};

    /// # Safety
    /// The processor has AVX2 and FMA; `R` rows of `depth` numbers lie `stride` apart, and `depth` times sixteen weights
    /// at `panel`.
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn accumulate<W: Weight, const R: usize>(
        rows: *const f32,
        stride: usize,
        depth: usize,
        panel: *const W,
        ahead: usize,
        sums: &mut Sums,
    ) {
        // SAFETY: as this function's; the sums have sixteen numbers a row.
        unsafe {
            let mut sum: [_; R] =
                std::array::from_fn(|row| [0, 8].map(|first| _mm256_loadu_ps(sums[row].as_ptr().add(first))));
            for step in 0..depth {
                let place = panel.add(step * super::WIDTH);
                // A place behind the last weight is no error here: nothing is read.
                _mm_prefetch::<_MM_HINT_T1>(place.wrapping_add(ahead).cast());
                let [low, high] = W::load(place);
                for (row, sum) in sum.iter_mut().enumerate() {
                    let input = _mm256_broadcast_ss(&*rows.add(row * stride + step));
                    *sum = [_mm256_fmadd_ps(input, low, sum[0]), _mm256_fmadd_ps(input, high, sum[1])];
                }
            }
            for (row, sum) in sum.iter().enumerate() {
                _mm256_storeu_ps(sums[row].as_mut_ptr(), sum[0]);
                _mm256_storeu_ps(sums[row].as_mut_ptr().add(8), sum[1]);
            }
        }
    }
}
