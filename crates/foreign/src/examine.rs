//! A checkpoint examined: which family it is of, what is in it, and what an import would make of it.

use std::{collections::BTreeMap, path::Path};

use crate::{
    config_file::ForeignConfig,
    error::{ForeignError, Result},
    families,
    family::Family,
    file::ForeignFile,
    reading::{Reading, Source},
    weight_set::{WeightSet, WeightSets, Weights},
};

/// The dict in which LlamaGen's training files keep the discriminator.
const DISCRIMINATOR: &str = "discriminator";

/// How a checkpoint is to be understood, where its names do not say it.
#[derive(Debug, Clone, Default)]
pub struct Hints {
    /// The family, by its short name.
    pub family: Option<String>,
    /// The configuration that belongs to it.
    pub config: Option<std::path::PathBuf>,
    /// Which of its weights to take, where it has both.
    pub weights: Option<Weights>,
}

/// What was found in a checkpoint.
pub struct Examined<'f> {
    /// The set of weights that was taken.
    pub set: WeightSet<'f>,
    /// Every set of weights that there is: its place, and whether they are averages.
    pub sets: Vec<(String, Weights)>,
    /// Number of tensors under other keys.
    pub others: BTreeMap<String, usize>,
    /// The family, if its names are known.
    pub family: Option<&'static dyn Family>,
    /// The networks; `None` where the family is known and not imported. An error says what does not fit.
    pub reading: Result<Option<Reading<'f>>, String>,
    /// The configuration.
    pub config: ForeignConfig,
    /// Steps of training, where the file says them.
    pub steps: Option<u64>,
}

/// Examines an opened file.
///
/// # Errors
/// When it holds no weights, there is no such family, or a configuration cannot be read.
pub fn examine<'f>(file: &'f ForeignFile, hints: &Hints) -> Result<Examined<'f>> {
    let config = match &hints.config {
        Some(path) => ForeignConfig::read(path)?,
        None => ForeignConfig::beside(file.path())?,
    };
    let sets = WeightSets::of(file);
    let set = sets.preferred(hints.weights).ok_or_else(|| no_set(file.path()))?.clone();
    let values = ForeignConfig::of(file.values().clone());
    let steps = ["global_step", "steps", "step", "iter"].iter().find_map(|key| values.integer(key));
    let source = Source { set: &set, discriminator: sets.beside(DISCRIMINATOR), config: &config, values: &values };
    let family = match &hints.family {
        Some(name) => Some(family_named(name)?),
        None => families::recognise(&source),
    };
    let mut reading = family.map_or(Ok(None), |family| family.read(&source));
    if let (Ok(Some(reading)), Some(family), Some(class)) = (&mut reading, family, config.model_class())
        && !family.classes().is_empty()
        && !family.classes().contains(&class)
    {
        let title = family.title();
        reading.inferred.push(format!("{title} from its names, although its configuration names the class {class}"));
    }
    let places = sets.sets.iter().map(|set| (set.place.clone(), set.weights)).collect();
    let steps = steps.and_then(|steps| u64::try_from(steps).ok());
    drop(source);
    let mut others = sets.others;
    let has_discriminator = |reading: &Reading| reading.networks.iter().any(|network| network.discriminator.is_some());
    if matches!(&reading, Ok(Some(reading)) if has_discriminator(reading)) {
        others.remove(DISCRIMINATOR);
    }
    Ok(Examined { sets: places, others, family, reading, config, steps, set })
}

fn family_named(name: &str) -> Result<&'static dyn Family> {
    families::named(name).ok_or_else(|| {
        let known = families::all().iter().map(|family| family.name()).collect();
        ForeignError::UnknownFamily { name: name.to_owned(), known }
    })
}

fn no_set(path: &Path) -> ForeignError {
    ForeignError::file(path, "holds no state dict: no tensor stands where one of a model does")
}

impl Examined<'_> {
    /// The tensors that neither a network nor a known reason accounts for.
    pub fn unexplained(&self) -> Vec<&str> {
        match &self.reading {
            Ok(Some(reading)) => {
                let accounted = reading.accounted();
                self.set.tensors.keys().map(String::as_str).filter(|name| !accounted.contains(name)).collect()
            }
            _ => Vec::new(),
        }
    }
}
