//! The context of all work: device, threads, number format, interruption and observer.

use std::sync::Arc;

use tch::{Device, Kind, Tensor};
use vqkit_recipe::{InvalidRequest, Precision};
use vqkit_torch::{autocast, determinism, device, memory, threads};

use crate::{
    error::Result,
    interrupt::Interrupt,
    observer::{Event, Observer, Progress, Silent},
};

/// Least memory in bytes to start any work: with less, libraries below libtorch end the process instead of returning an
/// error.
const LEAST_MEMORY: u64 = 256 << 20;

/// The context of all work: where it runs and who observes it.
#[derive(Debug, Clone)]
pub struct Context {
    /// CPU or a GPU.
    pub device: Device,
    /// Set to stop the work.
    pub interrupt: Interrupt,
    /// Receives events about the work.
    pub observer: Arc<dyn Observer>,
}

impl Context {
    /// Chooses the device (`auto`, `cpu`, `cuda:N`), sets libtorch's threads and turns its deterministic algorithms on.
    ///
    /// # Errors
    /// When there is no such device, or the number of threads is not one that this machine can use.
    pub fn new(device: &str, threads: Option<i32>, interrupt: Interrupt, observer: Arc<dyn Observer>) -> Result<Self> {
        let device = device::parse(device).map_err(|error| InvalidRequest::option("device", error.to_string()))?;
        if let Some(threads) = threads {
            let most = most_threads();
            if !(1..=most).contains(&threads) {
                let reason = format!("must be 1 to {most} on this machine, found {threads}");
                return Err(InvalidRequest::option("threads", reason).into());
            }
            threads::set(threads);
        }
        determinism::set(true)?;
        memory::check("the least that any work takes", LEAST_MEMORY)?;
        Ok(Self { device, interrupt, observer })
    }

    /// For use in another program: the work cannot be interrupted, and events are dropped.
    ///
    /// # Errors
    /// As [`Context::new`].
    pub fn silent(device: &str) -> Result<Self> {
        Self::new(device, None, Interrupt::default(), Arc::new(Silent))
    }

    /// The number format of the computations of encoder, decoder and prior.
    pub fn kind(&self, precision: Precision) -> Kind {
        match precision {
            Precision::Fp32 => Kind::Float,
            Precision::Bf16 => Kind::BFloat16,
            Precision::Auto if autocast::bf16_is_fast(self.device) => Kind::BFloat16,
            Precision::Auto => Kind::Float,
        }
    }

    /// Runs `work` in the given number format.
    pub fn autocast<T>(&self, kind: Kind, work: impl FnOnce() -> T) -> T {
        match kind {
            Kind::Float => work(),
            kind => autocast::with(self.device, kind, work),
        }
    }

    /// Images on the device, in channels-last layout: convolutions keep the layout of their input, and on the CPU
    /// reorder less in this one.
    ///
    /// # Shapes
    /// `[B, C, H, W]`.
    ///
    /// # Errors
    /// When the values are not of that shape, or the device refuses.
    pub fn pixels(&self, values: &[f32], shape: [usize; 4]) -> Result<Tensor> {
        Ok(vqkit_torch::images(values, shape, self.device)?)
    }

    /// A batch's images, `[B, C, H, W]` in `[-1, 1]`, as [`pixels`](Self::pixels).
    ///
    /// # Errors
    /// When the device refuses.
    pub fn images(&self, batch: &vqkit_data::Batch) -> Result<Tensor> {
        self.pixels(&batch.images, batch.shape)
    }

    /// Reports a warning.
    pub fn warn(&self, message: impl std::fmt::Display) {
        self.observer.observe(&Event::Warning { message: &message.to_string() });
    }

    /// Reports a line about a task.
    pub fn note(&self, task: &str, message: impl std::fmt::Display) {
        self.observer.observe(&Event::Note { task, message: &message.to_string() });
    }

    /// Begins a task of `total` units.
    pub fn progress(&self, task: &str, unit: &'static str, total: u64) -> Progress {
        Progress::begin(&self.observer, task, unit, 0, total)
    }
}

/// Largest number of threads per operation: more than a few per core only wait for each other.
fn most_threads() -> i32 {
    threads::available().saturating_mul(4).max(64)
}
