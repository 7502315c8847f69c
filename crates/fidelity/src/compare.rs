//! Comparison of any two sets of images.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::Serialize;
use vqkit_metrics::{KernelDistanceConfig, Neighbours};
use vqkit_recipe::InvalidRequest;
use vqkit_run::{Context, files};

use crate::{
    cache, error::Result, extractor::Extractor, extractor::Features, image_set::Origin, image_set::PictureSet,
    protocol::Protocol, set_metrics::MetricValues, set_metrics::compare_statistics, side::Side, statistics::KEPT,
    statistics::SPLITS, statistics::Statistics, warnings,
};

/// Which sets to compare, and how.
#[derive(Debug, Clone)]
pub struct Request {
    /// The real images: a folder, a tar archive, saved statistics, or an `.npz` of pytorch-fid.
    pub real: PathBuf,
    /// The generated images, in the same forms.
    pub fake: PathBuf,
    /// The network.
    pub features: Features,
    /// Its weights, where it does not come with them. Default: they are downloaded.
    pub weights: Option<PathBuf>,
    /// How images are prepared for the network. Default: the usual protocol of the network.
    pub protocol: Option<Protocol>,
    /// Number of images that pass through the network at once.
    pub batch_size: usize,
    /// A file to write the statistics of the real images to.
    pub save_statistics: Option<PathBuf>,
}

impl Request {
    /// A comparison of two sets by InceptionV3, as in pytorch-fid.
    pub fn new(real: impl Into<PathBuf>, fake: impl Into<PathBuf>) -> Self {
        Self {
            real: real.into(),
            fake: fake.into(),
            features: Features::default(),
            weights: None,
            protocol: None,
            batch_size: 50,
            save_statistics: None,
        }
    }
}

/// How the metrics were computed.
#[derive(Debug, Clone, Serialize)]
pub struct SetsProtocol {
    /// The name of the protocol, which says how images are prepared for the network.
    pub name: Protocol,
    /// How images are resized for the network.
    pub resize: &'static str,
    /// How a value `v` of 0 to 255 is scaled for the network.
    pub value_range: &'static str,
    /// The network.
    pub features: Features,
    /// BLAKE3 of its weights.
    pub features_weights: String,
    /// The real images; `None` where their statistics do not say.
    pub real: Option<Origin>,
    /// The generated images.
    pub fake: Option<Origin>,
    /// Whether the statistics of the real images came from the cache.
    pub real_from_cache: bool,
    /// Largest number of images per set whose features were kept, for neighbours and kernels.
    pub kept_features: usize,
    /// Number of neighbours in precision and recall, and in density and coverage.
    pub nearest: [i64; 2],
    /// Number of subsets for the kernel distance, largest number of images of each, and their seed.
    pub kid_subsets: [u64; 3],
    /// Number of splits for the Inception Score, after a fixed permutation.
    pub inception_score_splits: i64,
    /// Number format of the network's computations; moments and distances always use fp64.
    pub precision: &'static str,
    /// The device.
    pub device: String,
    /// Versions of vqkit and libtorch.
    pub versions: [String; 2],
}

/// The metrics, how they were computed, and warnings.
#[derive(Debug, Clone, Serialize)]
pub struct SetMetrics {
    /// How they were computed.
    pub protocol: SetsProtocol,
    /// The metrics by name.
    pub metrics: MetricValues,
    /// Warnings for readers who compare them with others.
    pub warnings: Vec<String>,
}

/// Compares two sets.
///
/// # Errors
/// [`InvalidRequest`] where a set is missing, or statistics were computed in another way; when weights cannot be had,
/// or an image cannot be read.
pub fn compare(request: &Request, context: &Context) -> Result<SetMetrics> {
    let protocol = Protocol::resolve(request.protocol, request.features)?;
    check(request)?;
    let extractor = Extractor::load(request.features, request.weights.as_deref(), context)?;
    let side = |path: &Path, is_real: bool| open(path, is_real, request, protocol, &extractor, context);
    let (real, fake) = (side(&request.real, true)?, side(&request.fake, false)?);
    if let Some(path) = &request.save_statistics {
        files::create_file(path, |beside| real.statistics.write(beside))?;
    }
    let score = fake.statistics.header.as_ref().and_then(|header| header.score);
    let metrics = compare_statistics(&real.statistics, &fake.statistics, score, request.features)?;
    let warnings = warnings::of([&real, &fake], &metrics, request.features);
    let (kernel, neighbours) = (KernelDistanceConfig::default(), Neighbours::default());
    let protocol = SetsProtocol {
        name: protocol,
        resize: protocol.resize(),
        value_range: protocol.value_range(),
        features: request.features,
        features_weights: extractor.weights().to_owned(),
        real: real.origin().cloned(),
        fake: fake.origin().cloned(),
        real_from_cache: real.from_cache,
        kept_features: KEPT,
        nearest: [neighbours.precision, neighbours.density],
        kid_subsets: [kernel.subsets as u64, kernel.subset_size as u64, kernel.seed],
        inception_score_splits: SPLITS,
        precision: "fp32",
        device: vqkit_torch::device::name(context.device),
        versions: [env!("CARGO_PKG_VERSION").into(), vqkit_torch::libtorch_version()],
    };
    Ok(SetMetrics { protocol, metrics, warnings })
}

/// What is wrong with a request, before anything is loaded.
fn check(request: &Request) -> Result<()> {
    for (option, path) in [("real", &request.real), ("fake", &request.fake)] {
        // Braces may stand for several archives.
        if !path.exists() && extension(path) != Some("tar") {
            return Err(InvalidRequest::option(option, format!("there is nothing at {}", path.display())).into());
        }
    }
    if let Some(path) = &request.save_statistics {
        files::check_free(path).map_err(|error| InvalidRequest::option("save_statistics", error.to_string()))?;
    }
    match &request.save_statistics {
        Some(path) if path.parent().is_some_and(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()) => {
            Err(InvalidRequest::option("save_statistics", format!("there is no folder for {}", path.display())).into())
        }
        Some(_) if extension(&request.real) == Some("npz") => Err(InvalidRequest::option(
            "save_statistics",
            "the real images are already given as statistics, which do not name their images; give the images themselves",
        )
        .into()),
        _ => Ok(()),
    }
}

fn extension(path: &Path) -> Option<&str> {
    path.extension().and_then(|extension| extension.to_str())
}

fn open(
    path: &Path,
    is_real: bool,
    request: &Request,
    protocol: Protocol,
    extractor: &Extractor,
    context: &Context,
) -> Result<Side> {
    let saved = |statistics: Statistics| Side { statistics, set: None, from_cache: false };
    match extension(path) {
        Some("npz") => {
            let statistics = Statistics::read_npz(path)?;
            let (found, wanted) = (statistics.mean.size()[0], extractor.width());
            match found == wanted {
                true => Ok(saved(statistics)),
                false => {
                    let reason = format!("{} has {found} features, {} has {wanted}", path.display(), request.features);
                    Err(InvalidRequest::option("features", reason).into())
                }
            }
        }
        Some("safetensors") => {
            let statistics = Statistics::read(path)?;
            refuse_others(path, &statistics, protocol, extractor)?;
            Ok(saved(statistics))
        }
        _ => {
            let set = PictureSet::open(path)?;
            let gather = || Statistics::gather(&set, extractor, protocol, request.batch_size, context);
            let (statistics, from_cache) = match is_real {
                true => cache::statistics(&set, extractor, protocol, context, gather)?,
                false => (gather()?, false),
            };
            Ok(Side { statistics, set: Some(set), from_cache })
        }
    }
}

/// Refuses statistics of another network, or of images that were prepared in another way.
fn refuse_others(path: &Path, statistics: &Statistics, protocol: Protocol, extractor: &Extractor) -> Result<()> {
    let Some(header) = &statistics.header else { return Ok(()) };
    let found = [header.features.to_string(), header.weights.clone(), header.protocol.to_string()];
    let wanted = [extractor.kind().to_string(), extractor.weights().to_owned(), protocol.to_string()];
    let names = ["network", "weights", "protocol"];
    match names.iter().zip(found).zip(wanted).find(|((_, found), wanted)| found != wanted) {
        None => Ok(()),
        Some(((name, found), wanted)) => {
            let reason = format!(
                "the statistics in {} were made with another {name}: {found}; this comparison uses {wanted}",
                path.display()
            );
            Err(InvalidRequest::option("real", reason).into())
        }
    }
}

impl fmt::Display for SetMetrics {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let SetsProtocol { name, features, real, fake, .. } = &self.protocol;
        let side = |origin: &Option<Origin>| match origin {
            Some(origin) => format!("{} ({} images)", origin.path.display(), origin.pictures),
            None => "statistics".into(),
        };
        writeln!(out, "{} against {}, by {features}, protocol {name}", side(fake), side(real))?;
        for (name, value) in &self.metrics {
            writeln!(out, "  {name:<36} {:.6}", value.as_f64().unwrap_or(f64::NAN))?;
        }
        self.warnings.iter().try_for_each(|warning| writeln!(out, "warning: {warning}"))
    }
}
