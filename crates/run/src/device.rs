//! Where the work runs: device, threads, arithmetic, and the wish to leave.

use std::sync::Arc;

use tch::{Device, Kind, Tensor};
use vqkit_recipe::{InvalidRequest, Precision};
use vqkit_torch::{autocast, determinism, device, memory, threads};

use crate::{
    error::Result,
    interrupt::Interrupt,
    observer::{Event, Observer, Progress, Silent},
};

/// Bytes without which work is not begun: with less, libraries below libtorch end the process and not the call.
const LEAST_MEMORY: u64 = 256 << 20;

/// Where the work runs.
#[derive(Debug, Clone)]
pub struct Context {
    /// CPU or a GPU.
    pub device: Device,
    /// Set when the work is to stop.
    pub interrupt: Interrupt,
    /// Who hears how the work goes.
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

    /// For a program of one's own: nobody interrupts the work, and nobody hears of it.
    ///
    /// # Errors
    /// As [`Context::new`].
    pub fn silent(device: &str) -> Result<Self> {
        Self::new(device, None, Interrupt::default(), Arc::new(Silent))
    }

    /// The arithmetic of encoder, decoder and prior.
    pub fn kind(&self, precision: Precision) -> Kind {
        match precision {
            Precision::Fp32 => Kind::Float,
            Precision::Bf16 => Kind::BFloat16,
            Precision::Auto if autocast::bf16_is_fast(self.device) => Kind::BFloat16,
            Precision::Auto => Kind::Float,
        }
    }

    /// Runs `work` in the given arithmetic.
    pub fn autocast<T>(&self, kind: Kind, work: impl FnOnce() -> T) -> T {
        match kind {
            Kind::Float => work(),
            kind => autocast::with(self.device, kind, work),
        }
    }

    /// Pictures on the device, with the channels of a pixel side by side in memory: convolutions keep the layout of their input,
    /// and on the CPU reorder less in this one.
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

    /// Says something that a user should know.
    pub fn warn(&self, message: impl std::fmt::Display) {
        self.observer.observe(&Event::Warning { message: &message.to_string() });
    }

    /// Says a line about a task.
    pub fn note(&self, task: &str, message: impl std::fmt::Display) {
        self.observer.observe(&Event::Note { task, message: &message.to_string() });
    }

    /// Begins a task of `total` units.
    pub fn progress(&self, task: &str, unit: &'static str, total: u64) -> Progress {
        Progress::begin(&self.observer, task, unit, 0, total)
    }
}

/// Threads that an operation may be given: more than a few per core only wait for each other.
fn most_threads() -> i32 {
    threads::available().saturating_mul(4).max(64)
}
