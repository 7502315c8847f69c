//! VQ-VAE-2 and PixelSNAIL of rosinality/vq-vae-2-pytorch.
//!
//! Source: `vqvae.py` (`VQVAE`), `pixelsnail.py` (`PixelSNAIL`). The layers of VQ-VAE-2 are numbered there by their place in a
//! sequence, and have names here; codes are the columns of `embed` there and the rows of `embedding.weight` here.

use super::vqgan::{check, check_codes};
use crate::family::Family;
use crate::reading::{Change, Conditions, Divided, Needs, Network, Part, Reading, Shapes, Source};
use crate::section::table;

/// Pixels on a side of a picture in upstream's scripts.
const USUAL_SIZE: i64 = 256;

/// `VQVAE`.
pub struct VqVae2;

/// `PixelSNAIL`.
pub struct PixelSnail;

impl Family for VqVae2 {
    fn name(&self) -> &'static str {
        "rosinality-vqvae2"
    }

    fn title(&self) -> &'static str {
        "VQ-VAE-2 of rosinality/vq-vae-2-pytorch"
    }

    fn matches(&self, source: &Source) -> bool {
        let set = source.set;
        set.has("quantize_t.embed") && set.has("quantize_b.embed") && set.has_below("enc_b.blocks.")
    }

    fn read<'f>(&self, source: &Source<'_, 'f>) -> Result<Option<Reading<'f>>, String> {
        let set = source.set;
        let blocks =
            set.tensors.keys().filter(|name| name.starts_with("enc_b.") && name.ends_with("conv.1.weight")).count();
        let shape = |name: &str, axis: usize| {
            let shape = set.shape(name).ok_or_else(|| format!("there is no `{name}`, which tells a size"))?;
            shape.get(axis).copied().ok_or_else(|| format!("`{name}` has the shape {shape:?}"))
        };
        let inner = set.tensors.keys().find(|name| name.starts_with("enc_b.") && name.ends_with("conv.1.weight"));
        let inner = inner.map_or(Ok(0), |name| shape(name, 0))?;
        let codes = shape("quantize_t.embed", 1)?;
        let (channels, width) = (shape("enc_b.blocks.2.weight", 0)?, shape("quantize_conv_t.weight", 0)?);
        check_codes(source.config, "n_embed", codes)?;
        check(source.config, "embed_dim", width)?;
        let Divided { uses, left_over } = Divided::of(set, |name| vqvae2_name(name, blocks), |_| None);
        let quantizer = table([
            ("type", "ema".into()),
            ("codebook_size", codes.into()),
            ("decay", 0.99.into()),
            ("commitment_weight", 0.25.into()),
            ("kmeans_init", false.into()),
            ("revive_after", 0.into()),
        ]);
        let section = table([
            ("type", "vqvae2".into()),
            ("channels", channels.into()),
            ("residual_blocks", (blocks as i64).into()),
            ("residual_channels", inner.into()),
            ("embed_dim", width.into()),
            ("quantizer", quantizer.into()),
        ]);
        let needs = Needs {
            image_size: Some(USUAL_SIZE),
            channels: Some(shape("enc_b.blocks.0.weight", 1)?),
            downsampling: Some(8),
            ..Needs::default()
        };
        let network = Network { part: Part::Tokenizer, section, needs, uses, discriminator: None };
        let inferred = vec![format!(
            "images of {USUAL_SIZE} x {USUAL_SIZE} pixels, as in upstream's scripts; the weights fit any size"
        )];
        Ok(Some(Reading { networks: vec![network], left_over, inferred, quirks: Vec::new() }))
    }
}

/// Our name of a tensor of VQ-VAE-2 with this many residual blocks in every part.
fn vqvae2_name(theirs: &str, blocks: usize) -> Option<(String, Change)> {
    let (module, rest) = theirs.split_once('.')?;
    let Some(rest) = rest.strip_prefix("blocks.") else {
        return Some(match rest {
            "embed" => (format!("{module}.embedding.weight"), Change::Transposed),
            "embed_avg" => (theirs.to_owned(), Change::Transposed),
            _ => (theirs.to_owned(), Change::None),
        });
    };
    let (position, weight) = rest.split_once('.')?;
    let position: usize = position.parse().ok()?;
    let layer = match module {
        "enc_b" => of_encoder(position, 2),
        "enc_t" => of_encoder(position, 1),
        "dec" | "dec_t" => of_decoder(position, blocks)?,
        _ => return None,
    };
    let weight = weight.replace("conv.1.", "narrow.").replace("conv.3.", "widen.");
    Some((format!("{module}.{layer}.{weight}"), Change::None))
}

/// Halvings with a ReLU each, a convolution, residual blocks.
fn of_encoder(position: usize, halvings: usize) -> String {
    match position {
        _ if position < 2 * halvings => format!("down.{}", position / 2),
        _ if position == 2 * halvings => "mix".into(),
        _ => format!("residual.{}", position - 2 * halvings - 1),
    }
}

/// A convolution, residual blocks, ReLU, doublings with a ReLU between.
fn of_decoder(position: usize, blocks: usize) -> Option<String> {
    Some(match position {
        0 => "mix".into(),
        _ if position <= blocks => format!("residual.{}", position - 1),
        _ => format!("up.{}", position.checked_sub(blocks + 2)? / 2),
    })
}

impl Family for PixelSnail {
    fn name(&self) -> &'static str {
        "rosinality-pixelsnail"
    }

    fn title(&self) -> &'static str {
        "PixelSNAIL of rosinality/vq-vae-2-pytorch"
    }

    fn matches(&self, source: &Source) -> bool {
        let set = source.set;
        set.has("background") && set.has("horizontal.conv.conv.weight_v")
    }

    fn read<'f>(&self, source: &Source<'_, 'f>) -> Result<Option<Reading<'f>>, String> {
        let Divided { uses, left_over } =
            Divided::of(source.set, |name| Some((name.to_owned(), Change::None)), |_| None);
        let shapes = Shapes::of(&uses);
        let count = |pattern: &str| shapes.count(pattern) as i64;
        let has_condition = shapes.has_below("cond_resnet.");
        let mut section = table([
            ("type", "pixelsnail".into()),
            ("channel", shapes.length("horizontal.conv.conv.weight_v", 0)?.into()),
            ("kernel_size", shapes.length("horizontal.conv.conv.weight_v", 3)?.into()),
            ("n_block", count("blocks.#.").into()),
            ("n_res_block", count("blocks.0.resblocks.#.").into()),
            ("res_channel", shapes.length("blocks.0.resblocks.0.conv1.conv.conv.weight_v", 0)?.into()),
            ("attention", shapes.has_below("blocks.0.causal_attention.").into()),
            ("dropout", source.values.number("dropout").unwrap_or(0.1).into()),
            ("n_out_res_block", count("out.#.conv1.").into()),
        ]);
        if has_condition {
            section.insert("n_cond_res_block".into(), (count("cond_resnet.blocks.#.") - 1).into());
            for (key, axis) in [("cond_res_channel", 0), ("cond_res_kernel", 3)] {
                section.insert(key.into(), shapes.length("cond_resnet.blocks.0.conv.weight_v", axis)?.into());
            }
        }
        let [height, width] = [2, 3].map(|axis| shapes.length("background", axis));
        let needs = Needs {
            tokens: Some(height? * width?),
            condition: Conditions { coarser: has_condition, ..Conditions::default() },
            ..Needs::default()
        };
        let network = Network { part: Part::Prior, section, needs, uses, discriminator: None };
        Ok(Some(Reading { networks: vec![network], left_over, ..Reading::default() }))
    }
}
