//! Products of one vector with many, and mixtures of many.

/// `products[i] = vector · vectors[i]`, where `vectors` are stored one after the other.
pub(super) fn products(vector: &[f32], vectors: &[f32], products: &mut [f32]) {
    assert_eq!(vectors.len(), vector.len() * products.len());
    #[cfg(target_arch = "x86_64")]
    if super::cpu::has_avx2() {
        // SAFETY: the processor has the features, and the lengths were compared.
        return unsafe { x86::products(vector, vectors, products) };
    }
    for (product, other) in products.iter_mut().zip(vectors.chunks_exact(vector.len())) {
        *product = vector.iter().zip(other).map(|(left, right)| left * right).sum();
    }
}

/// `mixture = Σ weights[i] · vectors[i]`.
pub(super) fn mixture(weights: &[f32], vectors: &[f32], mixture: &mut [f32]) {
    assert_eq!(vectors.len(), mixture.len() * weights.len());
    #[cfg(target_arch = "x86_64")]
    if super::cpu::has_avx2() {
        // SAFETY: the processor has the features, and the lengths were compared.
        return unsafe { x86::mixture(weights, vectors, mixture) };
    }
    mixture.fill(0.0);
    for (weight, vector) in weights.iter().zip(vectors.chunks_exact(mixture.len())) {
        mixture.iter_mut().zip(vector).for_each(|(sum, value)| *sum += weight * value);
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256, _mm_add_ps, _mm_add_ss, _mm_cvtss_f32, _mm_movehl_ps, _mm_shuffle_ps, _mm256_add_ps,
        _mm256_castps256_ps128, _mm256_extractf128_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps,
        _mm256_setzero_ps, _mm256_storeu_ps,
    };

    /// Numbers in a register.
    const LANES: usize = 8;
    /// Registers that a mixture is summed in at once.
    const SUMS: usize = 8;

    /// # Safety
    /// The processor has AVX2 and FMA, and `vectors` hold as many numbers as there are products times the vector's.
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn products(vector: &[f32], vectors: &[f32], products: &mut [f32]) {
        let length = vector.len();
        let whole = length / LANES * LANES;
        for (index, product) in products.iter_mut().enumerate() {
            let other = &vectors[index * length..][..length];
            let mut sums = [_mm256_setzero_ps(); 2];
            for first in (0..whole).step_by(LANES) {
                // SAFETY: eight numbers lie from `first` on in either.
                let (left, right) = unsafe {
                    (_mm256_loadu_ps(vector.as_ptr().add(first)), _mm256_loadu_ps(other.as_ptr().add(first)))
                };
                let sum = &mut sums[first / LANES % 2];
                *sum = _mm256_fmadd_ps(left, right, *sum);
            }
            *product = total(_mm256_add_ps(sums[0], sums[1]));
            for place in whole..length {
                *product += vector[place] * other[place];
            }
        }
    }

    /// # Safety
    /// The processor has AVX2 and FMA, and `vectors` hold as many numbers as there are weights times the mixture's.
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn mixture(weights: &[f32], vectors: &[f32], mixture: &mut [f32]) {
        let length = mixture.len();
        let mut first = 0;
        while first + SUMS * LANES <= length {
            // SAFETY: the columns end before the vectors do.
            unsafe { columns::<SUMS>(weights, &vectors[first..], length, &mut mixture[first..]) };
            first += SUMS * LANES;
        }
        while first + LANES <= length {
            // SAFETY: as above.
            unsafe { columns::<1>(weights, &vectors[first..], length, &mut mixture[first..]) };
            first += LANES;
        }
        for place in first..length {
            mixture[place] =
                weights.iter().enumerate().map(|(row, weight)| weight * vectors[row * length + place]).sum();
        }
    }

    /// The first `N · LANES` columns of a mixture of vectors that begin `stride` apart.
    ///
    /// # Safety
    /// The processor has AVX2 and FMA; so many columns are in every vector and in the mixture.
    #[target_feature(enable = "avx2,fma")]
    unsafe fn columns<const N: usize>(weights: &[f32], vectors: &[f32], stride: usize, mixture: &mut [f32]) {
        let mut sums = [_mm256_setzero_ps(); N];
        for (row, weight) in weights.iter().enumerate() {
            let weight = _mm256_set1_ps(*weight);
            for (part, sum) in sums.iter_mut().enumerate() {
                // SAFETY: the caller vouches for the columns.
                let values = unsafe { _mm256_loadu_ps(vectors.as_ptr().add(row * stride + part * LANES)) };
                *sum = _mm256_fmadd_ps(weight, values, *sum);
            }
        }
        for (part, sum) in sums.iter().enumerate() {
            // SAFETY: the caller vouches for the columns.
            unsafe { _mm256_storeu_ps(mixture.as_mut_ptr().add(part * LANES), *sum) };
        }
    }

    /// The sum of a register's eight numbers.
    #[target_feature(enable = "avx2,fma")]
    fn total(register: __m256) -> f32 {
        let four = _mm_add_ps(_mm256_castps256_ps128(register), _mm256_extractf128_ps::<1>(register));
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
    }
}
