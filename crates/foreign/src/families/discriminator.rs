//! The PatchGAN of taming-transformers and LlamaGen.

use std::collections::BTreeMap;

use toml::Table;

use crate::{
    config_file::ForeignConfig,
    file::ForeignTensor,
    reading::{Change, Discriminator, Use},
    section::table,
};

/// A counter of PyTorch's batch normalisation.
const COUNTER: &str = "num_batches_tracked";

/// Why the counter is left over.
pub const COUNTS: &str = "counts the batches of a normalisation, which only a cumulative average reads";

/// The discriminator in tensors under `main.`; `None` where there is none, or one of another design. `name`: the tensor's
/// name in its file.
pub fn patchgan<'f>(
    tensors: &BTreeMap<String, &'f ForeignTensor>,
    config: &ForeignConfig,
    name: impl Fn(&str) -> String,
) -> Option<Discriminator<'f>> {
    let kernels: Vec<&&ForeignTensor> = tensors
        .iter()
        .filter(|(name, _)| name.ends_with("weight"))
        .map(|(_, tensor)| tensor)
        .filter(|tensor| tensor.shape.len() == 4)
        .collect();
    let first = tensors.get("main.0.weight").filter(|first| first.shape.len() == 4)?;
    let n_layers = kernels.len().checked_sub(2).filter(|layers| *layers > 0)?;
    let norm = if tensors.keys().any(|name| name.ends_with("running_mean")) {
        "batch"
    } else if tensors.keys().any(|name| name.ends_with(".loc")) {
        "actnorm"
    } else {
        "none"
    };
    let mut section: Table =
        table([("ndf", first.shape[0].into()), ("n_layers", (n_layers as i64).into()), ("norm", norm.into())]);
    if let Some(weight) = config.number("disc_weight") {
        section.insert("weight".into(), weight.into());
    }
    let uses = tensors.iter().map(|(ours, tensor)| Use {
        ours: ours.clone(),
        theirs: name(ours),
        tensor,
        change: Change::None,
    });
    Some(Discriminator { section, uses: uses.collect() })
}

/// Whether a name is such a counter.
pub fn is_counter(name: &str) -> bool {
    name.ends_with(COUNTER)
}
