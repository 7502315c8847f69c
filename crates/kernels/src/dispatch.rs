//! Kernels compiled for several sets of instructions, of which the processor's best is taken.

use crate::sharing::share_in_runs;

/// Work in parts that do not depend on each other.
pub(crate) trait Kernel: Sync {
    /// Does one part; written with `#[inline(always)]`, so that it is compiled anew for every set of instructions.
    fn run(&self, part: usize);
}

/// Runs the parts `0..count` of a kernel on libtorch's threads.
pub(crate) fn launch<K: Kernel>(kernel: &K, count: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
        {
            // SAFETY: the processor has the features.
            return share_in_runs(count, &|part| unsafe { with_avx512(kernel, part) });
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has the features.
            return share_in_runs(count, &|part| unsafe { with_avx2(kernel, part) });
        }
    }
    share_in_runs(count, &|part| kernel.run(part));
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn with_avx512<K: Kernel>(kernel: &K, part: usize) {
    kernel.run(part);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn with_avx2<K: Kernel>(kernel: &K, part: usize) {
    kernel.run(part);
}
