//! `VQModel` of diffusers: the network of taming's VQGAN under the names of diffusers' autoencoders, and MoVQ, whose decoder
//! is normalised by the codes.
//!
//! Source: huggingface/diffusers, `src/diffusers/models/autoencoders/vq_model.py`.
//!
//! | diffusers | taming, and ours |
//! |---|---|
//! | `encoder.down_blocks.I.resnets.J` | `encoder.down.I.block.J` |
//! | `encoder.down_blocks.I.downsamplers.0.conv` | `encoder.down.I.downsample.conv` |
//! | `decoder.up_blocks.I`, coarse first, `.upsamplers.0.conv` | `decoder.up.(levels - 1 - I)`, `.upsample.conv` |
//! | `.attentions.J.to_q`, `to_k`, `to_v`, `to_out.0`; `query`, `key`, `value`, `proj_attn` in old files | `.attn.J.q`, `k`, `v`, `proj_out` |
//! | `.attentions.J.group_norm`, `spatial_norm` | `.attn.J.norm` |
//! | `mid_block.resnets.0`, `.attentions.0`, `.resnets.1` | `mid.block_1`, `.attn_1`, `.block_2` |
//! | `conv_shortcut`, `conv_norm_out` | `nin_shortcut`, `norm_out` |
//!
//! Projections of attention are matrices there, and kernels of 1×1 convolutions here.

use super::vqgan;
use crate::config_file::ForeignConfig;
use crate::family::Family;
use crate::reading::{Change, Divided, Network, Part, Reading, Shapes, Source};
use crate::section::vector_quantizer;

/// `VQModel` with group normalisation.
pub struct VqModel;

/// `VQModel` with `norm_type = "spatial"`.
pub struct Movq;

impl Family for VqModel {
    fn classes(&self) -> &'static [&'static str] {
        &["VQModel"]
    }

    fn name(&self) -> &'static str {
        "diffusers-vqmodel"
    }

    fn title(&self) -> &'static str {
        "VQModel of diffusers"
    }

    fn matches(&self, source: &Source) -> bool {
        let set = source.set;
        set.has_below("encoder.down_blocks.0.") && set.has("quantize.embedding.weight")
    }

    fn read<'f>(&self, source: &Source<'_, 'f>) -> Result<Option<Reading<'f>>, String> {
        read(source).map(Some)
    }
}

impl Family for Movq {
    fn classes(&self) -> &'static [&'static str] {
        &["VQModel"]
    }

    fn name(&self) -> &'static str {
        "diffusers-movq"
    }

    fn title(&self) -> &'static str {
        "MoVQ model of diffusers"
    }

    fn matches(&self, source: &Source) -> bool {
        let set = source.set;
        VqModel.matches(source) && set.has_below("decoder.conv_norm_out.conv_y.")
    }

    fn read<'f>(&self, source: &Source<'_, 'f>) -> Result<Option<Reading<'f>>, String> {
        read(source).map(Some)
    }
}

fn read<'f>(source: &Source<'_, 'f>) -> Result<Reading<'f>, String> {
    let levels = source.set.count("decoder.up_blocks.#.");
    let ours = |name: &str| {
        let ours = taming_name(name, levels)?;
        let is_matrix = source.set.shape(name).is_some_and(|shape| shape.len() == 2);
        let change = if is_matrix && ours.contains(".attn") { Change::Kernel } else { Change::None };
        Some((ours, change))
    };
    let Divided { uses, left_over } = Divided::of(source.set, ours, |_| None);
    let shapes = Shapes::of(&uses);
    let mut sizes = vqgan::sizes(&shapes, source.config)?;
    let is_spatial = shapes.has_below("decoder.norm_out.conv_y.");
    check(&shapes, source.config, is_spatial)?;
    if is_spatial {
        sizes.section.insert("decoder_norm".into(), "spatial".into());
    }
    let groups = source.config.integer("norm_num_groups").unwrap_or_else(|| {
        sizes.inferred.push("32 groups of every normalisation, the usual number".into());
        32
    });
    if groups != 32 {
        sizes.section.insert("norm_groups".into(), groups.into());
    }
    let codes = shapes.length("quantize.embedding.weight", 0)?;
    sizes.section.insert("quantizer".into(), vector_quantizer(codes, 0.25, 1.0).into());
    let mut quirks = vec!["legacy beta, as in taming-transformers: the commitment has weight 1".to_owned()];
    if source.config.flag("lookup_from_codebook") == Some(true) {
        quirks.push(
            "upstream's decode takes indices here (lookup_from_codebook), as vqkit's does for every tokenizer".into(),
        );
    }
    let (part, section, needs) = (Part::Tokenizer, sizes.section, sizes.needs);
    let network = Network { part, section, needs, uses, discriminator: None };
    Ok(Reading { networks: vec![network], left_over, inferred: sizes.inferred, quirks })
}

/// Compares the weights with `config.json`.
fn check(shapes: &Shapes, config: &ForeignConfig, is_spatial: bool) -> Result<(), String> {
    vqgan::check_codes(config, "num_vq_embeddings", shapes.length("quantize.embedding.weight", 0)?)?;
    vqgan::check(config, "vq_embed_dim", shapes.length("quantize.embedding.weight", 1)?)?;
    vqgan::check(config, "latent_channels", shapes.length("encoder.conv_out.weight", 0)?)?;
    vqgan::check(config, "layers_per_block", shapes.count("encoder.down.0.block.#.") as i64)?;
    let width = |level: usize| shapes.length(&format!("encoder.down.{level}.block.0.conv1.weight"), 0);
    let widths = (0..shapes.count("encoder.down.#.")).map(width).collect::<Result<Vec<_>, _>>()?;
    if let Some(said) = config.integers("block_out_channels").filter(|said| *said != widths) {
        return Err(format!("the weights have block_out_channels = {widths:?}, the configuration says {said:?}"));
    }
    if let Some(said) = config.text("norm_type").filter(|said| (*said == "spatial") != is_spatial) {
        return Err(format!("the configuration says norm_type = {said}, the weights are of the other kind"));
    }
    match config.text("act_fn").filter(|said| !["silu", "swish"].contains(said)) {
        None => Ok(()),
        Some(said) => Err(format!("its activation is {said}; vqkit's network has silu")),
    }
}

/// Names of projections in attention: new, old, ours.
const PROJECTIONS: [(&str, &str, &str); 4] =
    [("to_q", "query", "q"), ("to_k", "key", "k"), ("to_v", "value", "v"), ("to_out.0", "proj_attn", "proj_out")];

/// Our name of what diffusers calls `name`, in a decoder of `levels` resolutions; `None` where it has no such name.
pub fn taming_name(name: &str, levels: usize) -> Option<String> {
    let Some((side, rest)) = name.split_once('.').filter(|(side, _)| matches!(*side, "encoder" | "decoder")) else {
        return Some(name.into());
    };
    let (place, inside) = rest.split_once('.')?;
    match place {
        "down_blocks" | "up_blocks" => {
            let (level, rest) = inside.split_once('.')?;
            let level: usize = level.parse().ok()?;
            let (list, level) = match place {
                "down_blocks" => ("down", level),
                _ => ("up", levels.checked_sub(level.checked_add(1)?)?),
            };
            Some(format!("{side}.{list}.{level}.{}", inside_level(rest)?))
        }
        "mid_block" => {
            let (list, rest) = inside.split_once('.')?;
            let (number, rest) = rest.split_once('.')?;
            let part = match (list, number) {
                ("resnets", "0") => "block_1",
                ("resnets", "1") => "block_2",
                ("attentions", "0") => return Some(format!("{side}.mid.attn_1.{}", in_attention(rest)?)),
                _ => return None,
            };
            Some(format!("{side}.mid.{part}.{}", in_resnet(rest)))
        }
        "conv_norm_out" => Some(format!("{side}.norm_out.{inside}")),
        "conv_in" | "conv_out" => Some(name.into()),
        _ => None,
    }
}

/// Diffusers' name of what we call `name`; the inverse of `taming_name`. `spatial`: whether the decoder's attention is
/// normalised by codes.
pub fn diffusers_name(name: &str, levels: usize, spatial: bool) -> Option<String> {
    let Some((side, rest)) = name.split_once('.').filter(|(side, _)| matches!(*side, "encoder" | "decoder")) else {
        return Some(name.into());
    };
    let is_spatial = spatial && side == "decoder";
    let (place, inside) = rest.split_once('.')?;
    match place {
        "down" | "up" => {
            let (level, rest) = inside.split_once('.')?;
            let level: usize = level.parse().ok()?;
            let (list, level) = if place == "down" {
                ("down_blocks", level)
            } else {
                ("up_blocks", levels.checked_sub(level.checked_add(1)?)?)
            };
            Some(format!("{side}.{list}.{level}.{}", outside_level(rest, is_spatial)?))
        }
        "mid" => {
            let (part, rest) = inside.split_once('.')?;
            match part {
                "block_1" => Some(format!("{side}.mid_block.resnets.0.{}", of_resnet(rest))),
                "block_2" => Some(format!("{side}.mid_block.resnets.1.{}", of_resnet(rest))),
                "attn_1" => Some(format!("{side}.mid_block.attentions.0.{}", of_attention(rest, is_spatial)?)),
                _ => None,
            }
        }
        "norm_out" => Some(format!("{side}.conv_norm_out.{inside}")),
        "conv_in" | "conv_out" => Some(name.into()),
        _ => None,
    }
}

fn inside_level(rest: &str) -> Option<String> {
    let (list, rest) = rest.split_once('.')?;
    let (number, rest) = rest.split_once('.')?;
    match (list, number) {
        ("resnets", number) => Some(format!("block.{number}.{}", in_resnet(rest))),
        ("attentions", number) => Some(format!("attn.{number}.{}", in_attention(rest)?)),
        ("downsamplers", "0") => Some(format!("downsample.{rest}")),
        ("upsamplers", "0") => Some(format!("upsample.{rest}")),
        _ => None,
    }
}

fn outside_level(rest: &str, is_spatial: bool) -> Option<String> {
    if let Some(rest) = rest.strip_prefix("downsample.") {
        return Some(format!("downsamplers.0.{rest}"));
    }
    if let Some(rest) = rest.strip_prefix("upsample.") {
        return Some(format!("upsamplers.0.{rest}"));
    }
    let (list, rest) = rest.split_once('.')?;
    let (number, rest) = rest.split_once('.')?;
    match list {
        "block" => Some(format!("resnets.{number}.{}", of_resnet(rest))),
        "attn" => Some(format!("attentions.{number}.{}", of_attention(rest, is_spatial)?)),
        _ => None,
    }
}

fn in_resnet(rest: &str) -> String {
    rest.replace("conv_shortcut", "nin_shortcut")
}

fn of_resnet(rest: &str) -> String {
    rest.replace("nin_shortcut", "conv_shortcut")
}

fn in_attention(rest: &str) -> Option<String> {
    for norm in ["group_norm.", "spatial_norm."] {
        if let Some(rest) = rest.strip_prefix(norm) {
            return Some(format!("norm.{rest}"));
        }
    }
    PROJECTIONS.iter().find_map(|(new, old, ours)| {
        let rest = rest.strip_prefix(&format!("{new}.")).or_else(|| rest.strip_prefix(&format!("{old}.")))?;
        Some(format!("{ours}.{rest}"))
    })
}

fn of_attention(rest: &str, is_spatial: bool) -> Option<String> {
    let (part, rest) = rest.split_once('.')?;
    if part == "norm" {
        let norm = if is_spatial { "spatial_norm" } else { "group_norm" };
        return Some(format!("{norm}.{rest}"));
    }
    let (new, ..) = PROJECTIONS.iter().find(|(_, _, ours)| *ours == part)?;
    Some(format!("{new}.{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_translated_both_ways() {
        for (theirs, ours) in [
            ("encoder.conv_in.weight", "encoder.conv_in.weight"),
            ("encoder.down_blocks.1.resnets.0.conv_shortcut.bias", "encoder.down.1.block.0.nin_shortcut.bias"),
            ("encoder.down_blocks.0.downsamplers.0.conv.weight", "encoder.down.0.downsample.conv.weight"),
            ("encoder.down_blocks.1.attentions.0.to_q.weight", "encoder.down.1.attn.0.q.weight"),
            ("encoder.mid_block.attentions.0.group_norm.bias", "encoder.mid.attn_1.norm.bias"),
            ("encoder.mid_block.resnets.1.norm2.weight", "encoder.mid.block_2.norm2.weight"),
            ("decoder.up_blocks.0.resnets.1.norm1.conv_y.weight", "decoder.up.1.block.1.norm1.conv_y.weight"),
            ("decoder.up_blocks.0.upsamplers.0.conv.bias", "decoder.up.1.upsample.conv.bias"),
            ("decoder.mid_block.attentions.0.to_out.0.weight", "decoder.mid.attn_1.proj_out.weight"),
            ("decoder.conv_norm_out.conv_b.bias", "decoder.norm_out.conv_b.bias"),
            ("quantize.embedding.weight", "quantize.embedding.weight"),
        ] {
            assert_eq!(taming_name(theirs, 2).as_deref(), Some(ours));
            assert_eq!(diffusers_name(ours, 2, false).as_deref(), Some(theirs));
        }
        let (theirs, ours) =
            ("decoder.mid_block.attentions.0.spatial_norm.conv_y.weight", "decoder.mid.attn_1.norm.conv_y.weight");
        assert_eq!(taming_name(theirs, 2).as_deref(), Some(ours));
        assert_eq!(diffusers_name(ours, 2, true).as_deref(), Some(theirs));
        let old = taming_name("encoder.mid_block.attentions.0.proj_attn.weight", 2);
        assert_eq!(old.as_deref(), Some("encoder.mid.attn_1.proj_out.weight"));
    }
}
