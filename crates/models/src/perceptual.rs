//! Networks whose features compare images: those that come with vqkit, a run's own, and LPIPS.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use tch::{Device, Tensor, nn::VarStore};
use vqkit_losses::{FrozenVgg, Lpips, Perceptual, lpips_state};
use vqkit_pretrained::{PretrainedError, download, hub};
use vqkit_recipe::{InputSpec, InvalidRequest, LpipsConfig, PerceptualConfig, VggConfig, stage_names};
use vqkit_run::{Context, Run};
use vqkit_torch::weights;

use crate::{error::ModelError, error::Result};

/// The name, in recipes, of the perceptual network that comes with vqkit.
const SHIPPED: &str = "cifar10";

/// The known files that make up LPIPS.
const LPIPS_FILES: [&str; 2] = ["vgg16", "lpips-vgg"];

/// The perceptual network of small recipes: `configs/features-cifar10.toml`.
const FEATURES_CIFAR10: &[u8] = include_bytes!("../assets/features-cifar10.safetensors");

/// Checks that the network that a recipe names takes its images; one that is not trained yet, or is in a file, is
/// checked later.
///
/// # Errors
/// [`InvalidRequest`] where the images are too small.
pub fn check(config: &PerceptualConfig, shape: InputSpec) -> Result<()> {
    let least = match config {
        PerceptualConfig::Lpips(_) => Lpips::LEAST_SIZE,
        PerceptualConfig::Vgg(config) if config.weights == SHIPPED => shipped(Device::Cpu)?.least_size(),
        PerceptualConfig::Vgg(_) => 1,
    };
    match i64::from(shape.size) < least {
        false => Ok(()),
        true => Err(InvalidRequest::key(
            format!("{}.loss.perceptual", shape.modality.stage()),
            format!("needs images of at least {least} pixels, but {}", shape.describe_size()),
        )
        .into()),
    }
}

/// The network that a recipe names; `None`, with a warning, where its weights cannot be had and the recipe marks it as
/// optional.
///
/// # Errors
/// When the weights cannot be had, or are not those of such a network.
pub fn load(config: &PerceptualConfig, run: &Run, context: &Context) -> Result<Option<Box<dyn Perceptual>>> {
    match config {
        PerceptualConfig::Vgg(config) => Ok(Some(Box::new(vgg(config, run, context)?))),
        PerceptualConfig::Lpips(config) => match lpips(config, context) {
            Ok(network) => Ok(Some(Box::new(network))),
            Err(error @ ModelError::Pretrained(PretrainedError::Fetch(_) | PretrainedError::Hub(_)))
                if config.optional =>
            {
                context.warn(format_args!("training continues without the perceptual loss: {error}"));
                Ok(None)
            }
            Err(error) => Err(error),
        },
    }
}

/// LPIPS with the weights that a recipe's loss names, else with those that were downloaded before; `None` where they
/// are missing.
///
/// # Errors
/// When weights exist and are not those of LPIPS.
pub fn lpips_at_hand(config: Option<&PerceptualConfig>, device: Device) -> Result<Option<Lpips>> {
    let files: Vec<PathBuf> = match config {
        Some(PerceptualConfig::Lpips(config)) if !config.weights.is_empty() => config.weights.clone(),
        _ => {
            let cache = download::Cache::user()?;
            LPIPS_FILES.iter().map(|name| Ok(cache.path(download::find(name)?))).collect::<Result<_>>()?
        }
    };
    let at_hand = |file: &PathBuf| Ok(hub::path_at_hand(file)?);
    let at_hand = files.iter().map(at_hand).collect::<Result<Option<Vec<PathBuf>>>>()?;
    at_hand.filter(|files| files.iter().all(|file| file.is_file())).map(|files| lpips_of(&files, device)).transpose()
}

fn vgg(config: &VggConfig, run: &Run, context: &Context) -> Result<FrozenVgg> {
    let device = context.device;
    match config.weights.as_str() {
        SHIPPED => shipped(device),
        "run" => {
            let output = run.require(stage_names::FEATURES)?;
            Ok(FrozenVgg::from_tensors(&weights::read(&run.path().join(&output.path))?, device)?)
        }
        path => {
            let path = hub::local_path(Path::new(path), &context.observer)?;
            Ok(FrozenVgg::from_tensors(&weights::read(&path)?, device)?)
        }
    }
}

fn shipped(device: Device) -> Result<FrozenVgg> {
    let path = Path::new("features-cifar10.safetensors");
    Ok(FrozenVgg::from_tensors(&weights::parse(path, FEATURES_CIFAR10)?, device)?)
}

fn lpips(config: &LpipsConfig, context: &Context) -> Result<Lpips> {
    let files: Vec<PathBuf> = match config.weights.is_empty() {
        true => {
            let fetched = LPIPS_FILES.map(|name| Ok(download::fetch(download::find(name)?, &context.observer)?));
            fetched.into_iter().collect::<Result<_>>()?
        }
        false => {
            let local = |path| Ok(hub::local_path(path, &context.observer)?.into_owned());
            config.weights.iter().map(|path| local(path)).collect::<Result<_>>()?
        }
    };
    lpips_of(&files, context.device)
}

fn lpips_of(files: &[PathBuf], device: Device) -> Result<Lpips> {
    let mut state: BTreeMap<String, Tensor> = BTreeMap::new();
    for file in files {
        state.extend(weights::read_any(file)?);
    }
    let mut vs = VarStore::new(device);
    let network = Lpips::new(&vs.root());
    weights::assign(&lpips_state(state)?, &mut vs)?;
    Ok(network)
}
