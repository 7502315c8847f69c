//! The files of low-rank updates: the weights under them, once a stage, and what names these in every checkpoint.

use std::{collections::BTreeMap, fs, path::Path};

use vqkit_run::{BASE, LORA, RunError};
use vqkit_torch::weights;

use crate::{error::Result, train_state::TrainState};

/// The entry of the metadata of [`LORA`] with the fingerprint of [`BASE`].
const FINGERPRINT: &str = "base";

/// The weights under the low-rank updates of a stage, on disk.
#[derive(Debug)]
pub struct AdapterFiles {
    /// BLAKE3 of the file.
    fingerprint: String,
}

impl AdapterFiles {
    /// Writes the weights under a network's low-rank updates into the stage's `folder`; `None` without such updates.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn begin(folder: &Path, network: &TrainState) -> Result<Option<Self>> {
        let Some(base) = network.base() else { return Ok(None) };
        let path = folder.join(BASE);
        weights::save(&path, &base, &BTreeMap::new())?;
        Ok(Some(Self { fingerprint: fingerprint(&path)? }))
    }

    /// Restores a network's low-rank updates from a checkpoint and the stage's `folder`; `None` without such updates.
    ///
    /// # Errors
    /// When the files are missing, do not belong together, or do not fit the network.
    pub fn restore(folder: &Path, checkpoint: &Path, network: &mut TrainState) -> Result<Option<Self>> {
        if network.base().is_none() {
            return Ok(None);
        }
        let (path, updates) = (folder.join(BASE), checkpoint.join(LORA));
        let fingerprint = fingerprint(&path)?;
        if weights::metadata(&updates)?.get(FINGERPRINT) != Some(&fingerprint) {
            let reason = "holds other weights than the updates of the last checkpoint were trained for: restore it, or remove the \
                          folder around it to start the stage again";
            return Err(RunError::artifact(&path, reason).into());
        }
        network.load_adapter(weights::read(&updates)?, &weights::read(&path)?)?;
        Ok(Some(Self { fingerprint }))
    }

    /// The metadata of [`LORA`].
    pub fn metadata(&self) -> BTreeMap<String, String> {
        BTreeMap::from([(FINGERPRINT.to_owned(), self.fingerprint.clone())])
    }
}

fn fingerprint(path: &Path) -> Result<String> {
    let bytes = fs::read(path).map_err(|source| RunError::io("read", path, source))?;
    Ok(blake3::hash(&bytes).to_hex().to_string())
}
