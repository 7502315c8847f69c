//! The weights of one network of a checkpoint under our names: what training starts from.

use std::path::Path;

use vqkit_foreign::{ForeignFile, Hints, Part, Use, checkpoints, examine};
use vqkit_run::Tensors;

use crate::{
    error::{InteropError, Result},
    fill,
};

/// Weights of a network of another project under our names.
#[derive(Debug)]
pub struct NetworkWeights {
    /// Those of the network.
    pub network: Tensors,
    /// Those of its discriminator; empty where there is none.
    pub discriminator: Tensors,
    /// What was read, in words: the family, and which weights.
    pub description: String,
}

/// The weights of the network of this part in a checkpoint, or in the one checkpoint of a folder.
///
/// `None` where the family is not known, or has no such network: the file may still hold our own names.
///
/// # Errors
/// When the file is no checkpoint, is broken, or is of a family whose sizes it does not tell.
pub fn network_weights(path: &Path, part: Part) -> Result<Option<NetworkWeights>> {
    let paths = checkpoints(path)?;
    let [path] = paths.as_slice() else { return Ok(None) };
    let file = ForeignFile::open(path)?;
    let found = examine(&file, &Hints::default())?;
    let Some(family) = found.family else { return Ok(None) };
    let Some(reading) = found.reading.as_ref().map_err(|reason| InteropError::of_family(path, family, reason))? else {
        return Ok(None);
    };
    let Some(network) = reading.networks.iter().find(|network| network.part == part) else { return Ok(None) };
    let discriminator = network.discriminator.as_ref().map_or(&[][..], |found| &found.uses);
    Ok(Some(NetworkWeights {
        network: read(&network.uses, &file)?,
        discriminator: read(discriminator, &file)?,
        description: format!("{}, {} weights of {}", family.title(), found.set.weights, found.set.describe()),
    }))
}

fn read(uses: &[Use], file: &ForeignFile) -> Result<Tensors> {
    uses.iter().map(|one| Ok((one.ours.clone(), fill::read(one, file)?))).collect()
}
