//! LlamaGen's names of weights (Sun et al. 2024, "Autoregressive Model Beats Diffusion: Llama for Scalable Image
//! Generation", section 2.1) and ours, which are taming-transformers', of the same network.
//!
//! | LlamaGen | taming |
//! |---|---|
//! | `encoder.conv_blocks.I` | `encoder.down.I` |
//! | `decoder.conv_blocks.I`, coarse first | `decoder.up.(levels - 1 - I)`, fine first |
//! | `.res.J` of these | `.block.J` |
//! | `.attn.J`, `.downsample.conv`, `.upsample.conv` of these | the same |
//! | `encoder.mid.0`, `.1`, `.2`, and the decoder's | `encoder.mid.block_1`, `.attn_1`, `.block_2` |
//! | everything else | the same |
//!
//! LlamaGen attends on the coarsest level alone: `attn_resolutions` holds that level's side.

/// The codes that LlamaGen's training chose last, in its checkpoints; no weight, and nothing here stands for it.
pub const LLAMAGEN_USAGE: &str = "quantize.codebook_used";

/// LlamaGen's names of the middle's three parts and taming's.
const MIDDLE: [(&str, &str); 3] = [("0", "block_1"), ("1", "attn_1"), ("2", "block_2")];

/// What both call the same inside a level.
const SHARED: [&str; 3] = ["attn", "downsample", "upsample"];

/// Taming's name of what LlamaGen calls `name`, in a network of `levels` resolutions; `None` where LlamaGen has no such name.
///
/// ```
/// let name = vqkit_vqvae::taming_name("decoder.conv_blocks.0.res.1.conv1.weight", 5);
/// assert_eq!(name.as_deref(), Some("decoder.up.4.block.1.conv1.weight"));
/// ```
pub fn taming_name(name: &str, levels: usize) -> Option<String> {
    let Some((side, place, rest)) = of_network(name) else { return Some(name.into()) };
    match place {
        "conv_blocks" => {
            let (level, part, rest) = of_level(rest)?;
            let part = if part == "res" { "block" } else { shared(part)? };
            Some(format!("{side}.{}.{}.{part}.{rest}", resampled(side), turned(side, level, levels)?))
        }
        "mid" => {
            let (part, rest) = rest.split_once('.')?;
            let (_, taming) = MIDDLE.iter().find(|(llamagen, _)| *llamagen == part)?;
            Some(format!("{side}.mid.{taming}.{rest}"))
        }
        "down" | "up" => None,
        _ => Some(name.into()),
    }
}

/// LlamaGen's name of what taming calls `name`, in a network of `levels` resolutions; `None` where taming has no such name.
///
/// ```
/// let name = vqkit_vqvae::llamagen_name("encoder.mid.attn_1.q.bias", 5);
/// assert_eq!(name.as_deref(), Some("encoder.mid.1.q.bias"));
/// ```
pub fn llamagen_name(name: &str, levels: usize) -> Option<String> {
    let Some((side, place, rest)) = of_network(name) else { return Some(name.into()) };
    match place {
        "down" | "up" if place == resampled(side) => {
            let (level, part, rest) = of_level(rest)?;
            let part = if part == "block" { "res" } else { shared(part)? };
            Some(format!("{side}.conv_blocks.{}.{part}.{rest}", turned(side, level, levels)?))
        }
        "mid" => {
            let (part, rest) = rest.split_once('.')?;
            let (llamagen, _) = MIDDLE.iter().find(|(_, taming)| *taming == part)?;
            Some(format!("{side}.mid.{llamagen}.{rest}"))
        }
        "down" | "up" | "conv_blocks" => None,
        _ => Some(name.into()),
    }
}

/// `("encoder", "mid", "0.norm1.bias")` of `encoder.mid.0.norm1.bias`; nothing of what lies outside of encoder and decoder.
fn of_network(name: &str) -> Option<(&str, &str, &str)> {
    let (side, rest) = name.split_once('.')?;
    let (place, rest) = rest.split_once('.')?;
    matches!(side, "encoder" | "decoder").then_some((side, place, rest))
}

/// `(1, "res", "0.norm1.bias")` of `1.res.0.norm1.bias`.
fn of_level(rest: &str) -> Option<(usize, &str, &str)> {
    let (level, rest) = rest.split_once('.')?;
    let (part, rest) = rest.split_once('.')?;
    Some((level.parse().ok()?, part, rest))
}

fn shared(part: &str) -> Option<&str> {
    SHARED.contains(&part).then_some(part)
}

/// Taming's name for the levels of a side.
fn resampled(side: &str) -> &'static str {
    if side == "encoder" { "down" } else { "up" }
}

/// A level counted from the other end in the decoder; it is its own inverse.
fn turned(side: &str, level: usize, levels: usize) -> Option<usize> {
    let last = levels.checked_sub(1)?;
    let from_the_end = last.checked_sub(level)?;
    Some(if side == "encoder" { level } else { from_the_end })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_translated_both_ways() {
        for (llamagen, taming) in [
            ("encoder.conv_in.weight", "encoder.conv_in.weight"),
            ("encoder.conv_blocks.0.res.1.nin_shortcut.bias", "encoder.down.0.block.1.nin_shortcut.bias"),
            ("encoder.conv_blocks.2.attn.0.proj_out.weight", "encoder.down.2.attn.0.proj_out.weight"),
            ("encoder.conv_blocks.1.downsample.conv.weight", "encoder.down.1.downsample.conv.weight"),
            ("encoder.mid.0.norm1.bias", "encoder.mid.block_1.norm1.bias"),
            ("decoder.mid.2.conv2.weight", "decoder.mid.block_2.conv2.weight"),
            ("decoder.conv_blocks.0.attn.2.q.weight", "decoder.up.2.attn.2.q.weight"),
            ("decoder.conv_blocks.0.upsample.conv.bias", "decoder.up.2.upsample.conv.bias"),
            ("decoder.conv_blocks.2.res.0.conv1.weight", "decoder.up.0.block.0.conv1.weight"),
            ("decoder.norm_out.bias", "decoder.norm_out.bias"),
            ("quant_conv.weight", "quant_conv.weight"),
            ("quantize.embedding.weight", "quantize.embedding.weight"),
        ] {
            assert_eq!(taming_name(llamagen, 3).as_deref(), Some(taming));
            assert_eq!(llamagen_name(taming, 3).as_deref(), Some(llamagen));
        }
    }

    #[test]
    fn names_of_the_other_kind_and_levels_there_are_not_have_no_translation() {
        for name in [
            "encoder.down.0.block.0.conv1.weight",
            "encoder.mid.block_1.conv1.weight",
            "encoder.conv_blocks.3.res.0.conv1.weight",
            "decoder.conv_blocks.3.res.0.conv1.weight",
            "encoder.conv_blocks.0.block.0.conv1.weight",
            "encoder.conv_blocks.res",
        ] {
            assert_eq!(taming_name(name, 3), None, "{name}");
        }
        for name in [
            "encoder.conv_blocks.0.res.0.conv1.weight",
            "encoder.mid.0.conv1.weight",
            "encoder.up.0.block.0.conv1.weight",
            "decoder.up.3.block.0.conv1.weight",
            "decoder.up.0.res.0.conv1.weight",
        ] {
            assert_eq!(llamagen_name(name, 3), None, "{name}");
        }
    }
}
