//! The IBQ tokenizers of SEED-Voken (Shi et al. 2024, "Scalable Image Tokenization with Index Backpropagation Quantization"):
//! the network of taming's VQGAN with another quantizer.
//!
//! Source: TencentARC/SEED-Voken, `src/IBQ/models/ibqgan.py` (`IBQ`), `src/IBQ/modules/vqvae/quantize.py`
//! (`IndexPropagationQuantize`).

use super::{taming, vqgan};
use crate::family::Family;
use crate::reading::{Part, Reading, Shapes, Source};
use crate::section::table;

/// Residual blocks of a level in the published models; taming's have 2.
const BLOCKS: &str = "encoder.down.0.block.3.";

/// `IBQ`.
pub struct Ibq;

impl Family for Ibq {
    fn classes(&self) -> &'static [&'static str] {
        &["IBQ"]
    }

    fn name(&self) -> &'static str {
        "seed-ibq"
    }

    fn title(&self) -> &'static str {
        "IBQ tokenizer of SEED-Voken"
    }

    /// The names are taming's. Without a configuration, Lightning's version and the published depth tell the two apart.
    fn matches(&self, source: &Source) -> bool {
        let class = source.config.model_class();
        if !taming::Vqgan.matches(source) {
            return false;
        }
        match class {
            Some(class) => class == "IBQ",
            None if source.config.find("ddconfig").is_some() => source.config.find("use_entropy_loss").is_some(),
            None => is_lightning_2(source) || source.set.has_below(BLOCKS),
        }
    }

    fn read<'f>(&self, source: &Source<'_, 'f>) -> Result<Option<Reading<'f>>, String> {
        if source.config.flag("l2_normalize") == Some(true) {
            return Err("its configuration says l2_normalize, which vqkit's ibq quantizer does not have".into());
        }
        let mut reading = Reading::default();
        let mut network = taming::network(source, Part::Tokenizer, &mut reading)?;
        reading.quirks.clear();
        if source.config.find("ddconfig").is_none() {
            reading.inferred.push(
                "index backpropagation, not the nearest code, from the file's age and depth: name the family if it is a VQGAN of \
                 taming-transformers"
                    .into(),
            );
        }
        let codes = Shapes::of(&network.uses).length("quantize.embedding.weight", 0)?;
        vqgan::check_codes(source.config, "n_embed", codes)?;
        let number = |key: &str, default: f64| source.config.number(key).unwrap_or(default);
        let entropy = match source.config.flag("use_entropy_loss") {
            Some(false) => 0.0,
            _ => number("entropy_loss_weight", 0.05),
        };
        let quantizer = table([
            ("type", "ibq".into()),
            ("codebook_size", codes.into()),
            ("commitment_weight", 1.0.into()),
            ("codebook_weight", number("beta", 0.25).into()),
            ("entropy_weight", entropy.into()),
            ("entropy_temperature", number("entropy_temperature", 0.01).into()),
        ]);
        network.section.insert("quantizer".into(), quantizer.into());
        reading.networks.push(network);
        Ok(Some(reading))
    }
}

/// Whether Lightning 2 wrote the file; taming's are of version 1.
fn is_lightning_2(source: &Source) -> bool {
    source.values.text("pytorch-lightning_version").is_some_and(|version| version.starts_with("2."))
}
