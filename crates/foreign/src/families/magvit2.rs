//! The tokenizers of Open-MAGVIT2 (Luo et al. 2024, "Open-MAGVIT2: An Open-Source Project Toward Democratizing Auto-regressive
//! Visual Generation"); their names are ours.
//!
//! Source: TencentARC/SEED-Voken, `src/Open_MAGVIT2/models/lfqgan.py` (`VQModel`),
//! `src/Open_MAGVIT2/modules/diffusionmodules/improved_model.py`.

use super::{
    taming,
    vqgan::{check, check_codes, factors},
};
use crate::family::Family;
use crate::section::table;
use crate::{
    config_file::ForeignConfig,
    reading::{Change, Divided, Needs, Network, Part, Reading, Shapes, Source},
};

/// Pixels on a side of a picture in the published configurations.
const USUAL_SIZE: i64 = 256;

/// `VQModel` of `lfqgan.py`.
pub struct OpenMagvit2;

impl Family for OpenMagvit2 {
    fn classes(&self) -> &'static [&'static str] {
        &["VQModel"]
    }

    fn name(&self) -> &'static str {
        "open-magvit2"
    }

    fn title(&self) -> &'static str {
        "Open-MAGVIT2 tokenizer of SEED-Voken"
    }

    fn matches(&self, source: &Source) -> bool {
        source.set.has_below("decoder.adaptive.0.gamma.") && source.set.has_below("encoder.mid_block.0.")
    }

    fn read<'f>(&self, source: &Source<'_, 'f>) -> Result<Option<Reading<'f>>, String> {
        let is_weight = |name: &str| {
            ["encoder.", "decoder."].iter().any(|part| name.starts_with(part)).then(|| (name.to_owned(), Change::None))
        };
        let Divided { uses, left_over } = Divided::of(source.set, is_weight, taming::expected);
        let shapes = Shapes::of(&uses);
        let ch = shapes.length("encoder.conv_in.weight", 0)?;
        let factors = factors(&shapes, "encoder.down", ch)?;
        let (levels, blocks) = (factors.len(), shapes.count("encoder.down.0.block.#.") as i64);
        let channels = shapes.length("encoder.conv_out.weight", 0)?;
        let downsampling = 1i64 << (levels - 1);
        let ddconfig = source.config.section("ddconfig");
        check(&ddconfig, "ch", ch)?;
        check(&ddconfig, "z_channels", channels)?;
        check(&ddconfig, "num_res_blocks", blocks)?;
        let mut inferred = Vec::new();
        let image_size = ddconfig.integer("resolution").unwrap_or_else(|| {
            inferred.push(format!("images of {USUAL_SIZE} x {USUAL_SIZE} pixels; the weights fit any size"));
            USUAL_SIZE
        });
        let section = table([
            ("type", "magvit2".into()),
            ("ch", ch.into()),
            ("ch_mult", factors.into()),
            ("num_res_blocks", blocks.into()),
            ("z_channels", channels.into()),
            ("quantizer", quantizer(channels, source.config)?.into()),
        ]);
        let mut reading = Reading { left_over, inferred, ..Reading::default() };
        let discriminator = taming::discriminator_of(source, &mut reading);
        let needs = Needs {
            image_size: Some(image_size),
            channels: Some(shapes.length("encoder.conv_in.weight", 1)?),
            downsampling: Some(downsampling),
            ..Needs::default()
        };
        reading.quirks.push("the first channel is the lowest bit of an index".into());
        reading.networks.push(Network { part: Part::Tokenizer, section, needs, uses, discriminator });
        Ok(Some(reading))
    }
}

fn quantizer(channels: i64, config: &ForeignConfig) -> Result<toml::Table, String> {
    let codes = 1i64.checked_shl(u32::try_from(channels).unwrap_or(u32::MAX)).filter(|codes| *codes > 1);
    let codes = codes.ok_or_else(|| format!("{channels} channels are no number of bits"))?;
    check_codes(config, "n_embed", codes)?;
    let mut quantizer = table([
        ("type", "lfq".into()),
        ("codebook_size", codes.into()),
        ("bit_order", "lsb-first".into()),
        ("entropy_eps", 1e-5.into()),
    ]);
    if config.flag("token_factorization") == Some(true)
        && let Some(bits) = config.integers("factorized_bits")
    {
        quantizer.insert("factorized_bits".into(), bits.into());
    }
    if let Some(weight) = config.number("commit_weight") {
        quantizer.insert("commitment_weight".into(), weight.into());
    }
    Ok(quantizer)
}
