//! Learning-rate schedules: a factor on the learning rate by step.

mod constant;
mod factor;
mod warmup_cosine;

pub use constant::Constant;
pub use warmup_cosine::WarmupCosine;

use crate::TorchError;
use factor::Factor;

vqkit_config::tagged! {
    /// The factor on the learning rate, by step.
    ///
    /// ```
    /// use vqkit_torch::schedule::Schedule;
    ///
    /// let text = r#"{"type": "warmup-cosine", "warmup_steps": 10, "end": 0.1}"#;
    /// let schedule: Schedule = serde_json::from_str(text)?;
    /// assert_eq!(schedule.factor(5, 100), 0.5);
    /// assert_eq!(schedule.factor(10, 100), 1.0);
    /// assert_eq!(schedule.factor(100, 100), 0.1);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub enum Schedule {
        /// The factor 1, after an optional linear warm-up.
        "constant" => Constant(Constant),
        /// A linear warm-up, then a cosine decay.
        "warmup-cosine" => WarmupCosine(WarmupCosine),
    }
    fn member -> dyn Factor;
}

impl Default for Schedule {
    /// The factor 1 throughout.
    fn default() -> Self {
        Self::Constant(Constant::default())
    }
}

impl Schedule {
    /// The factor for optimizer step `step`, counted from 0, of a training of `steps` steps.
    pub fn factor(&self, step: u64, steps: u64) -> f64 {
        self.member().factor(step, steps)
    }

    /// Checks the settings for a training of `steps` steps.
    ///
    /// # Errors
    /// [`TorchError::Config`] with the setting that makes no sense.
    pub fn validate(&self, steps: u64) -> Result<(), TorchError> {
        self.member().validate(steps)
    }
}
