//! The VQGANs of taming-transformers, and those of latent-diffusion, which have the same names.
//!
//! Source: CompVis/taming-transformers, `taming/models/vqgan.py` (`VQModel`, `GumbelVQ`); CompVis/latent-diffusion,
//! `ldm/models/autoencoder.py` (`VQModel`).

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::{discriminator, vqgan};
use crate::family::Family;
use crate::section::{self, table};
use crate::{
    file::ForeignTensor,
    reading::{Change, Discriminator, Divided, Network, Part, Reading, Shapes, Source},
    weight_set::WeightSet,
};

/// Prefix of the discriminator among the losses.
const DISCRIMINATOR: &str = "loss.discriminator.";

/// Why tensors of the losses are not needed.
const PERCEPTUAL: &str = "the network of the perceptual loss, which vqkit has of its own";
const LOSS: &str = "a part of the training loss";
const DIFFUSION: &str = "the diffusion model around the autoencoder, which vqkit does not have";

/// Prefix of the network that a latent-diffusion model is named for.
const UNET: &str = "model.diffusion_model.";

/// What a latent-diffusion model has around its autoencoder; names without dots are constants of its schedule.
const AROUND: [&str; 3] = [UNET, "model_ema.", "cond_stage_model."];

/// Prefix of the autoencoder inside a latent-diffusion model.
const FIRST_STAGE: &str = "first_stage_model.";

/// `VQModel`.
pub struct Vqgan;

/// `GumbelVQ`.
pub struct Gumbel;

/// `VQModel` of latent-diffusion, where it differs from taming's: no attention, averaged weights, or a diffusion model around it.
pub struct Ldm;

impl Family for Vqgan {
    fn classes(&self) -> &'static [&'static str] {
        &["VQModel", "VQSegmentationModel", "VQModelInterface"]
    }

    fn name(&self) -> &'static str {
        "taming-vqgan"
    }

    fn title(&self) -> &'static str {
        "VQGAN of taming-transformers"
    }

    fn matches(&self, source: &Source) -> bool {
        let set = source.set;
        has_network(set) && set.has("quantize.embedding.weight")
    }

    fn read<'f>(&self, source: &Source<'_, 'f>) -> Result<Option<Reading<'f>>, String> {
        read_tokenizer(source).map(Some)
    }
}

impl Family for Ldm {
    fn classes(&self) -> &'static [&'static str] {
        &["VQModel", "VQModelInterface", "LatentDiffusion"]
    }

    fn name(&self) -> &'static str {
        "ldm-vq"
    }

    fn title(&self) -> &'static str {
        "VQ autoencoder of latent-diffusion"
    }

    fn matches(&self, source: &Source) -> bool {
        let set = source.set;
        let differs = set.averaged > 0 || !set.has_below("encoder.mid.attn_1.");
        let inside = set.below(FIRST_STAGE);
        let is_inside = set.has_below(UNET) && has_network(&inside) && inside.has("quantize.embedding.weight");
        is_inside || (Vqgan.matches(source) && differs)
    }

    /// The autoencoder alone, or that of a whole latent-diffusion model.
    fn read<'f>(&self, source: &Source<'_, 'f>) -> Result<Option<Reading<'f>>, String> {
        let inside = source.set.below(FIRST_STAGE);
        if inside.tensors.is_empty() {
            return read_tokenizer(source).map(Some);
        }
        let config = source.config.section("first_stage_config");
        let within = Source { set: &inside, discriminator: BTreeMap::new(), config: &config, values: source.values };
        let mut reading = Reading::default();
        let network = network(&within, Part::Tokenizer, &mut reading)?;
        let left_over = std::mem::take(&mut reading.left_over).into_iter();
        reading.left_over = left_over.map(|(name, reason)| (format!("{FIRST_STAGE}{name}"), reason)).collect();
        let is_known = |name: &str| !name.contains('.') || AROUND.iter().any(|part| name.starts_with(part));
        let others = source.set.tensors.keys().filter(|name| !name.starts_with(FIRST_STAGE) && is_known(name));
        reading.left_over.extend(others.map(|name| (name.clone(), DIFFUSION)));
        reading.networks.push(network.under(FIRST_STAGE));
        Ok(Some(reading))
    }
}

impl Family for Gumbel {
    fn classes(&self) -> &'static [&'static str] {
        &["GumbelVQ"]
    }

    fn name(&self) -> &'static str {
        "taming-gumbel"
    }

    fn title(&self) -> &'static str {
        "Gumbel VQGAN of taming-transformers"
    }

    fn matches(&self, source: &Source) -> bool {
        let set = source.set;
        has_network(set) && set.has("quantize.proj.weight") && set.has("quantize.embed.weight")
    }

    fn read<'f>(&self, source: &Source<'_, 'f>) -> Result<Option<Reading<'f>>, String> {
        read_tokenizer(source).map(Some)
    }
}

/// A tokenizer by itself; beside it may lie the configuration of a model that it is a part of.
fn read_tokenizer<'f>(source: &Source<'_, 'f>) -> Result<Reading<'f>, String> {
    let first = source.config.section("first_stage_config");
    let config = if first.is_empty() { source.config } else { &first };
    let source = &Source { config, discriminator: source.discriminator.clone(), ..*source };
    let mut reading = Reading::default();
    let network = network(source, Part::Tokenizer, &mut reading)?;
    if source.config.find("ddconfig").is_none() && source.set.has("quantize.embedding.weight") {
        reading.inferred.push(
            "the nearest code is taken; IBQ's tokenizers have the same names and take another: name the family if it is one".into(),
        );
    }
    reading.networks.push(network);
    Ok(reading)
}

/// Whether a state has encoder and decoder under taming's names.
fn has_network(set: &WeightSet) -> bool {
    set.has_below("encoder.down.0.block.0.") && set.has_below("decoder.up.0.block.0.") && set.has("quant_conv.weight")
}

/// The tokenizer of a state under taming's names, with either quantizer; notes and what is left over go into `reading`.
pub fn network<'f>(source: &Source<'_, 'f>, part: Part, reading: &mut Reading<'f>) -> Result<Network<'f>, String> {
    let divided = Divided::of(source.set, |name| is_weight(name).then(|| (name.to_owned(), Change::None)), expected);
    reading.left_over.extend(divided.left_over);
    let shapes = Shapes::of(&divided.uses);
    let sizes = vqgan::sizes(&shapes, &source.config.section("ddconfig"))?;
    reading.inferred.extend(sizes.inferred);
    let mut section = sizes.section;
    let quantizer = if shapes.has("quantize.proj.weight") {
        gumbel(&shapes, source, reading)?
    } else {
        vector_quantizer(&shapes, source, reading)?
    };
    section.insert("quantizer".into(), quantizer.into());
    let discriminator = discriminator_of(source, reading);
    Ok(Network { part, section, needs: sizes.needs, uses: divided.uses, discriminator })
}

fn vector_quantizer(shapes: &Shapes, source: &Source, reading: &mut Reading) -> Result<Table, String> {
    let codes = shapes.length("quantize.embedding.weight", 0)?;
    vqgan::check_codes(source.config, "n_embed", codes)?;
    reading.quirks.push(
        "legacy beta: upstream's beta of 0.25 stands on the codebook's term and the commitment has weight 1; the quantizer's weights say \
         so, which matters for further training only"
            .into(),
    );
    Ok(section::vector_quantizer(codes, 0.25, 1.0))
}

fn gumbel(shapes: &Shapes, source: &Source, reading: &mut Reading) -> Result<Table, String> {
    let codes = shapes.length("quantize.embed.weight", 0)?;
    vqgan::check_codes(source.config, "n_embed", codes)?;
    reading
        .quirks
        .push("indices are the largest logits, without the noise that upstream draws in evaluation too".into());
    let mut quantizer = table([("type", "gumbel".into()), ("codebook_size", codes.into())]);
    if let Some(weight) = source.config.number("kl_weight") {
        quantizer.insert("kl_weight".into(), weight.into());
    }
    let schedule = source.config.section("temperature_scheduler_config");
    if let Some(start) = schedule.number("lr_start") {
        quantizer.insert("temp_init".into(), start.into());
    }
    if let (Some(end), Some(steps)) = (schedule.number("lr_min"), schedule.integer("max_decay_steps")) {
        let anneal = table([("end", end.into()), ("steps", steps.into()), ("curve", "cosine".into())]);
        quantizer.insert("anneal".into(), Value::Table(anneal));
    }
    Ok(quantizer)
}

/// The discriminator among the losses of a checkpoint.
pub fn discriminator_of<'f>(source: &Source<'_, 'f>, reading: &mut Reading<'f>) -> Option<Discriminator<'f>> {
    let tensors: BTreeMap<String, &'f ForeignTensor> = source.set.below(DISCRIMINATOR).tensors;
    let found = discriminator::patchgan(&tensors, source.config, |name| format!("{DISCRIMINATOR}{name}"));
    for one in found.iter().flat_map(|found| &found.uses) {
        reading.left_over.remove(&one.theirs);
    }
    found
}

/// Whether a name belongs to encoder, decoder, projections or quantizer.
fn is_weight(name: &str) -> bool {
    ["encoder.", "decoder.", "quant_conv.", "post_quant_conv.", "quantize."].iter().any(|part| name.starts_with(part))
}

/// Why a tensor of such a checkpoint is not needed.
pub fn expected(name: &str) -> Option<&'static str> {
    if discriminator::is_counter(name) {
        Some(discriminator::COUNTS)
    } else if name.starts_with("loss.perceptual_loss.") {
        Some(PERCEPTUAL)
    } else if name.starts_with("loss.") {
        Some(LOSS)
    } else if name == "colorize" {
        Some("colours for showing label maps")
    } else {
        None
    }
}
