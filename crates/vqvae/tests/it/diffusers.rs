//! The names that diffusers' `VQModel` gives to the weights of a VQGAN.

/// The name of what we call `name`, in a network of `levels` resolutions; `spatial` where codes modulate the decoder.
pub fn diffusers_name(name: &str, levels: usize, spatial: bool) -> String {
    let parts: Vec<&str> = name.split('.').collect();
    match parts[..] {
        [side @ ("encoder" | "decoder"), "mid", part, ref rest @ ..] => {
            let (kind, index) = part.split_once('_').unwrap();
            let index = if kind == "attn" { 0 } else { index.parse::<usize>().unwrap() - 1 };
            format!("{side}.mid_block.{}", inside(kind, index, rest, side == "decoder" && spatial))
        }
        ["encoder", "down", level, "downsample", ref rest @ ..] => {
            format!("encoder.down_blocks.{level}.downsamplers.0.{}", rest.join("."))
        }
        ["decoder", "up", level, "upsample", ref rest @ ..] => {
            format!("decoder.up_blocks.{}.upsamplers.0.{}", turned(level, levels), rest.join("."))
        }
        ["encoder", "down", level, kind, index, ref rest @ ..] => {
            let inside = inside(kind, index.parse().unwrap(), rest, false);
            format!("encoder.down_blocks.{level}.{inside}")
        }
        ["decoder", "up", level, kind, index, ref rest @ ..] => {
            let inside = inside(kind, index.parse().unwrap(), rest, spatial);
            format!("decoder.up_blocks.{}.{inside}", turned(level, levels))
        }
        [side @ ("encoder" | "decoder"), "norm_out", ref rest @ ..] => {
            format!("{side}.conv_norm_out.{}", rest.join("."))
        }
        _ => name.to_owned(),
    }
}

/// A part of a residual block or of attention; `spatial` where codes modulate its normalisation.
fn inside(kind: &str, index: usize, rest: &[&str], spatial: bool) -> String {
    let (first, rest) = (rest[0], rest[1..].join("."));
    match (kind, first) {
        ("block", "nin_shortcut") => format!("resnets.{index}.conv_shortcut.{rest}"),
        ("block", part) => format!("resnets.{index}.{part}.{rest}"),
        ("attn", "norm") if spatial => format!("attentions.{index}.spatial_norm.{rest}"),
        ("attn", "norm") => format!("attentions.{index}.group_norm.{rest}"),
        ("attn", "proj_out") => format!("attentions.{index}.to_out.0.{rest}"),
        ("attn", projection) => format!("attentions.{index}.to_{projection}.{rest}"),
        (other, _) => panic!("no part is called {other}"),
    }
}

/// Upstream counts the decoder's levels coarse first.
fn turned(level: &str, levels: usize) -> usize {
    levels - 1 - level.parse::<usize>().unwrap()
}
