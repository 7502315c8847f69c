//! The files of a checkpoint, and which of its weights later stages use.

use std::{
    collections::BTreeMap,
    fs::File,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor, nn::VarStore};
use vqkit_torch::{attempt, weights};

use crate::{checkpoint::Checkpoints, error::Result, error::RunError, files};

/// Tensors by name.
pub type Tensors = BTreeMap<String, Tensor>;

/// The network.
pub const MODEL: &str = "model.safetensors";

/// Its averaged weights.
pub const EMA: &str = "ema.safetensors";

/// The optimizer's state, counters of loops, and the random state.
pub const OPTIMIZER: &str = "optimizer.safetensors";

/// The discriminator.
pub const DISCRIMINATOR: &str = "discriminator.safetensors";

/// The state of the discriminator's optimizer.
pub const DISCRIMINATOR_OPTIMIZER: &str = "discriminator-optimizer.safetensors";

/// What fine-tuning with low-rank updates has trained; [`MODEL`] holds the sums of weights and updates.
pub const LORA: &str = "lora.safetensors";

/// Beside the checkpoints of a stage: the weights under the low-rank updates, as they were before training.
pub const BASE: &str = "base.safetensors";

/// The progress of training.
pub const STATE: &str = "state.json";

/// What differs from one machine to another.
pub const CLOCK: &str = "clock.json";

/// The origin of the weights, where they were copied.
pub const ORIGIN: &str = "origin.json";

/// The random state, among the tensors of [`OPTIMIZER`].
pub const RNG: &str = "rng";

/// Prefix of the names of counters, among the tensors of [`OPTIMIZER`].
pub const COUNTER: &str = "counter.";

/// `state.json`: the progress of training. The same for the same recipe, whatever the speed of the machine.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct State {
    /// Steps done.
    pub step: u64,
    /// Samples consumed: the position in the data.
    pub samples: u64,
    /// Updates of the averaged weights.
    pub ema_updates: i64,
    /// The best metric so far on validation data.
    pub best: Option<f64>,
    /// Whether the user interrupted the validation of this step.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub owes_measurement: bool,
    /// How often training went back to an earlier checkpoint because of a fault.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub step_backs: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// The file of a checkpoint with its weights for use: the averaged ones where there are any.
pub fn weights_for_use(checkpoint: &Path) -> PathBuf {
    let averaged = checkpoint.join(EMA);
    if averaged.is_file() { averaged } else { checkpoint.join(MODEL) }
}

/// Creates a checkpoint in a stage's existing folder `to` from the weights for use of another run's checkpoint and its
/// `state.json`; `origin.json` says where they come from.
///
/// # Errors
/// When a file cannot be read or written.
pub fn copy_for_use(from: &Path, to: &Path, origin: &impl Serialize) -> Result<PathBuf> {
    let checkpoints = Checkpoints::open(to, 1)?;
    let weights = weights_for_use(from);
    let bytes = std::fs::read(&weights).map_err(|source| RunError::io("read", &weights, source))?;
    let state: State = files::read_json(&from.join(STATE))?;
    checkpoints.write(state.step, false, |folder| {
        files::write(&folder.join(MODEL), &bytes)?;
        files::write_json(&folder.join(STATE), &state)?;
        files::write_json(&folder.join(ORIGIN), origin)
    })?;
    checkpoints.last()?.ok_or_else(|| RunError::artifact(to, "no checkpoint was written"))
}

/// Loads the weights that a checkpoint holds for use.
///
/// # Errors
/// When they do not fit the variables, or are not finite.
pub fn load_for_use(checkpoint: &Path, vs: &mut VarStore) -> Result<()> {
    let path = weights_for_use(checkpoint);
    attempt(format!("the weights of {}", path.display()), || {
        let tensors = read_for_use(checkpoint)?;
        weights::check_finite(&path, &tensors)?;
        Ok(weights::assign_from(&path, &tensors, vs)?)
    })
}

/// The weights that a checkpoint holds for use. Those that were rounded to 16 bits to take less room come as fp32.
///
/// # Errors
/// When they cannot be read.
pub fn read_for_use(checkpoint: &Path) -> Result<Tensors> {
    let widened = |value: Tensor| match value.kind() {
        Kind::Half | Kind::BFloat16 => value.to_kind(Kind::Float),
        _ => value,
    };
    let tensors = weights::read(&weights_for_use(checkpoint))?;
    Ok(tensors.into_iter().map(|(name, value)| (name, widened(value))).collect())
}

/// BLAKE3 of the weights that a checkpoint holds for use.
///
/// # Errors
/// When they cannot be read.
pub fn fingerprint(checkpoint: &Path) -> Result<String> {
    let path = weights_for_use(checkpoint);
    let failed = |source| RunError::io("read", &path, source);
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(&path).map_err(failed)?).map_err(failed)?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// The counters of a training loop in a checkpoint; empty where the checkpoint has only weights.
///
/// # Errors
/// When the file that holds them cannot be read.
pub fn counters_of(checkpoint: &Path) -> Result<Tensors> {
    let path = checkpoint.join(OPTIMIZER);
    if !path.is_file() {
        return Ok(Tensors::new());
    }
    Ok(split_counters(weights::read(&path)?).0)
}

/// Counters, under the names that the loop gave them, and everything else.
pub fn split_counters(saved: Tensors) -> (Tensors, Tensors) {
    let (counters, rest): (Tensors, Tensors) = saved.into_iter().partition(|(name, _)| name.starts_with(COUNTER));
    (counters.into_iter().map(|(name, value)| (name[COUNTER.len()..].to_owned(), value)).collect(), rest)
}
