//! Classifiers whose features and classes measure images: the one that comes with vqkit, or the one of a run.

use std::{fs, path::Path};

use safetensors::SafeTensors;
use tch::Device;
use vqkit_losses::FrozenVgg;
use vqkit_recipe::{InputSpec, stage_names};
use vqkit_run::RunError;
use vqkit_torch::weights;

use crate::error::Result;

/// The classifier that comes with vqkit, which no loss uses: `configs/evaluation-cifar10.toml`.
const CIFAR10: &[u8] = include_bytes!("../assets/evaluation-cifar10.safetensors");

/// The file of a run whose recipe has `[features]`.
const OF_RUN: &str = "backbone.safetensors";

/// A frozen classifier, and the names of its classes.
#[derive(Debug)]
pub struct EvaluationClassifier {
    /// The network.
    pub network: FrozenVgg,
    /// Names of the classes, in the order of the logits.
    pub classes: Vec<String>,
    /// BLAKE3 of its weights' file.
    pub fingerprint: String,
}

impl EvaluationClassifier {
    /// The classifier that comes with vqkit: its features define `fd_vgg_cifar10`, its classes the class accuracy.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn shipped(device: Device) -> Result<Self> {
        Self::parse(Path::new("evaluation-cifar10.safetensors"), CIFAR10, device)
    }

    /// The classifier of a run whose recipe has `[features]`, or of its file `features/backbone.safetensors`.
    ///
    /// # Errors
    /// When there is no such file, or it holds another network.
    pub fn read(path: &Path, device: Device) -> Result<Self> {
        let file = match path.is_dir() {
            true => path.join(stage_names::FEATURES).join(OF_RUN),
            false => path.to_owned(),
        };
        let bytes = fs::read(&file).map_err(|source| RunError::io("read", &file, source))?;
        Self::parse(&file, &bytes, device)
    }

    fn parse(path: &Path, bytes: &[u8], device: Device) -> Result<Self> {
        let network = FrozenVgg::from_tensors(&weights::parse(path, bytes)?, device)?;
        let refuse = |reason: String| RunError::artifact(path, reason);
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| refuse(error.to_string()))?;
        let classes = header.metadata().as_ref().and_then(|metadata| metadata.get("classes"));
        let classes = classes.ok_or_else(|| refuse("does not name its classes".into()))?;
        let classes = classes.split(',').map(str::to_owned).collect();
        Ok(Self { network, classes, fingerprint: blake3::hash(bytes).to_hex().to_string() })
    }

    /// Whether it takes images of this shape: colour images, large enough for its last stage.
    pub fn takes(&self, shape: InputSpec) -> bool {
        let in_colour = !shape.labels && self.network.in_channels() == shape.channels as i64;
        in_colour && i64::from(shape.size) >= self.network.least_size()
    }
}
