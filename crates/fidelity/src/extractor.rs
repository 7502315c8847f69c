//! Feature extractors: networks in whose features sets of images are compared.

use std::{fmt, fs, path::Path, str::FromStr};

use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};
use vqkit_metrics::FidInception;
use vqkit_models::EvaluationClassifier;
use vqkit_pretrained::{download, hub};
use vqkit_recipe::{InputSpec, InvalidRequest};
use vqkit_run::{Context, RunError};
use vqkit_torch::weights;

use crate::{error::FidelityError, error::Result};

/// The known file with the weights of [`Features::Inception`].
const INCEPTION: &str = "fid-inception";

/// The feature extractor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Features {
    /// InceptionV3 with the weights of FID, 2048 features.
    #[default]
    Inception,
    /// The small classifier of CIFAR-10 that comes with vqkit.
    VggCifar10,
    /// A classifier of one's own: a run whose recipe has `[features]`.
    Classifier,
}

impl Features {
    /// The name of a metric in these features: the plain names are reserved for Inception.
    pub fn metric_name(self, name: &str) -> String {
        match (self, name) {
            (Self::Inception, "frechet_distance") => "fid".into(),
            (Self::Inception, name) => name.into(),
            (Self::VggCifar10, "frechet_distance") => "fd_vgg_cifar10".into(),
            (Self::VggCifar10, name) => format!("{name}_vgg_cifar10"),
            (Self::Classifier, "frechet_distance") => "fd_classifier".into(),
            (Self::Classifier, name) => format!("{name}_classifier"),
        }
    }
}

impl FromStr for Features {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "inception" => Ok(Self::Inception),
            "vgg-cifar10" => Ok(Self::VggCifar10),
            "classifier" => Ok(Self::Classifier),
            _ => Err("must be inception, vgg-cifar10 or classifier".into()),
        }
    }
}

impl fmt::Display for Features {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str(match self {
            Self::Inception => "inception",
            Self::VggCifar10 => "vgg-cifar10",
            Self::Classifier => "classifier",
        })
    }
}

/// A network in whose features sets of images are compared.
#[derive(Debug)]
pub struct Extractor {
    kind: Features,
    network: Network,
    weights: String,
}

#[derive(Debug)]
enum Network {
    Inception(FidInception),
    Classifier(EvaluationClassifier),
}

impl Extractor {
    /// The network of this kind; the weights of Inception from `weights`, a path or a location on the Hub, else
    /// fetched by name; for a classifier of one's own, `weights` is its run, or the run's file.
    ///
    /// # Errors
    /// [`InvalidRequest`] where weights are given for a network that comes with its own, or are missing; when they
    /// cannot be had, or belong to another network.
    pub fn load(features: Features, weights: Option<&Path>, context: &Context) -> Result<Self> {
        let device = context.device;
        let weights = weights.map(|weights| hub::local_path(weights, &context.observer)).transpose()?;
        match (features, weights.as_deref()) {
            (Features::Inception | Features::Classifier, Some(path)) if !path.exists() => {
                Err(InvalidRequest::option("weights", format!("there are no weights at {}", path.display())).into())
            }
            (Features::Classifier, Some(path)) => Ok(Self::of(EvaluationClassifier::read(path, device)?, features)),
            (Features::Classifier, None) => {
                Err(InvalidRequest::option("weights", "name the run whose recipe has [features]").into())
            }
            (Features::Inception, Some(path)) => Self::inception(path, device),
            (Features::Inception, None) => {
                Self::inception(&download::fetch(download::find(INCEPTION)?, &context.observer)?, device)
            }
            (Features::VggCifar10, Some(path)) => {
                let reason =
                    format!("vgg-cifar10 comes with its own weights; leave out {}, or use inception", path.display());
                Err(InvalidRequest::option("weights", reason).into())
            }
            (Features::VggCifar10, None) => Self::embedded(device),
        }
    }

    /// As [`load`](Self::load), without a download: `None` where weights are needed, and are neither given nor downloaded
    /// before.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn at_hand(features: Features, weights: Option<&Path>, context: &Context) -> Result<Option<Self>> {
        let is_missing =
            || Ok::<_, FidelityError>(!download::Cache::user()?.path(download::find(INCEPTION)?).is_file());
        match (features, weights) {
            (Features::Inception, None) if is_missing()? => Ok(None),
            _ => Self::load(features, weights, context).map(Some),
        }
    }

    /// The network that comes with vqkit, `vgg-cifar10`.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn embedded(device: Device) -> Result<Self> {
        Ok(Self::of(EvaluationClassifier::shipped(device)?, Features::VggCifar10))
    }

    fn of(classifier: EvaluationClassifier, kind: Features) -> Self {
        let weights = classifier.fingerprint.clone();
        Self { kind, network: Network::Classifier(classifier), weights }
    }

    fn inception(path: &Path, device: Device) -> Result<Self> {
        let network = FidInception::from_tensors(&weights::read_any(path)?, device)
            .map_err(|error| RunError::artifact(path, error.to_string()))?;
        let bytes = fs::read(path).map_err(|source| RunError::io("read", path, source))?;
        let weights = blake3::hash(&bytes).to_hex().to_string();
        Ok(Self { kind: Features::Inception, network: Network::Inception(network), weights })
    }

    /// The kind.
    pub fn kind(&self) -> Features {
        self.kind
    }

    /// Whether it takes images of this shape: colour images that are large enough.
    pub fn takes(&self, shape: InputSpec) -> bool {
        match &self.network {
            Network::Inception(_) => shape.channels == 3,
            Network::Classifier(classifier) => classifier.takes(shape),
        }
    }

    /// The classifier, where the network is one.
    pub fn classifier(&self) -> Option<&EvaluationClassifier> {
        match &self.network {
            Network::Inception(_) => None,
            Network::Classifier(classifier) => Some(classifier),
        }
    }

    /// BLAKE3 of the weights' file.
    pub fn weights(&self) -> &str {
        &self.weights
    }

    /// Width of the features.
    pub fn width(&self) -> i64 {
        match &self.network {
            Network::Inception(_) => FidInception::WIDTH,
            Network::Classifier(classifier) => classifier.network.width(),
        }
    }

    /// `[B, 3, H, W]` in `[-1, 1]` to `[B, width]`, f32.
    ///
    /// # Errors
    /// When the network cannot take such images.
    pub fn features(&self, images: &Tensor) -> Result<Tensor> {
        match &self.network {
            Network::Inception(network) => Ok(network.features(images)?),
            Network::Classifier(classifier) => Ok(classifier.network.pooled(images)?),
        }
    }

    /// The probabilities of the network's classes, of features `[B, width]`; `None` where its weights have no classifier.
    pub fn probabilities(&self, features: &Tensor) -> Option<Tensor> {
        match &self.network {
            Network::Inception(network) => network.probabilities(features),
            Network::Classifier(classifier) => {
                Some(classifier.network.classify(features).softmax(-1, tch::Kind::Float))
            }
        }
    }
}
