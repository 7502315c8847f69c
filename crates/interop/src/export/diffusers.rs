//! A folder that diffusers' `VQModel.from_pretrained` loads.

use std::path::Path;

use serde_json::json;
use tch::Tensor;
use vqkit_foreign::diffusers_name;
use vqkit_recipe::Modality;
use vqkit_run::Run;

use super::{
    names::{renamed, save, write_json},
    networks::{self, Trained},
};
use crate::error::Result;

/// The version whose `config.json` this is.
const VERSION: &str = "0.42.1";

/// Projections of attention, which are matrices there.
const MATRICES: [&str; 4] = ["q.weight", "k.weight", "v.weight", "proj_out.weight"];

/// Writes `config.json` and `diffusion_pytorch_model.safetensors`; gives the lines of Python that load them.
pub fn write(run: &Run, folder: &Path) -> Result<String> {
    let mut tokenizer = networks::tokenizer(run, Modality::Image)?;
    tokenizer.must_be("diffusers' VQModel", &["vqgan"], &["vq", "ema"])?;
    check(&tokenizer)?;
    let levels = tokenizer.integers("ch_mult").len();
    let is_spatial = tokenizer.is_spatial();
    let theirs = |name: &str, value: &Tensor| {
        let is_matrix = name.contains(".attn") && MATRICES.iter().any(|matrix| name.ends_with(matrix));
        let value = if is_matrix { value.flatten(1, -1) } else { value.shallow_clone() };
        Some((diffusers_name(name, levels, is_spatial)?, value))
    };
    // Statistics of averaged codebooks are of use in training alone.
    tokenizer.weights.retain(|name, _| !matches!(name.as_str(), "quantize.cluster_size" | "quantize.embed_avg"));
    save(&folder.join("diffusion_pytorch_model.safetensors"), &renamed(&tokenizer, theirs)?)?;
    write_json(&folder.join("config.json"), &config(&tokenizer, run, is_spatial))?;
    Ok("```python\nimport torch\nfrom diffusers import VQModel\n\nmodel = VQModel.from_pretrained(\".\")\nimages = torch.rand(1, 3, 256, 256) * 2 - 1\nlatents = model.encode(images).latents\nreconstruction = model.decode(latents).sample\n```\n".replace("256", &run.recipe().data.image_size.to_string()))
}

/// What diffusers' network cannot do.
fn check(tokenizer: &Trained) -> Result<()> {
    if tokenizer.text("quantizer", "metric").unwrap_or("euclidean") != "euclidean" {
        let reason = "diffusers' VQModel compares latents and codes by their distance alone, not on the unit sphere";
        return Err(tokenizer.refused(reason));
    }
    let said = ["norm_groups", "mid_attention", "decoder_norm", "decoder_attn_resolutions"];
    tokenizer.must_be_plain("diffusers' VQModel", &said)
}

fn config(tokenizer: &Trained, run: &Run, is_spatial: bool) -> serde_json::Value {
    let ch = tokenizer.integer("ch").unwrap_or_default();
    let widths: Vec<i64> = tokenizer.integers("ch_mult").iter().map(|factor| ch * factor).collect();
    let resolution = tokenizer.integer("resolution").unwrap_or_default();
    let of_encoder = tokenizer.integers("attn_resolutions");
    let has_own = tokenizer.has("decoder_attn_resolutions");
    let of_decoder = if has_own { tokenizer.integers("decoder_attn_resolutions") } else { of_encoder.clone() };
    let attends = |sides: &[i64], level: usize| sides.contains(&(resolution >> level));
    let down = |level| if attends(&of_encoder, level) { "AttnDownEncoderBlock2D" } else { "DownEncoderBlock2D" };
    let up = |level| if attends(&of_decoder, level) { "AttnUpDecoderBlock2D" } else { "UpDecoderBlock2D" };
    let (down, up): (Vec<_>, Vec<_>) =
        ((0..widths.len()).map(down).collect(), (0..widths.len()).rev().map(up).collect());
    let codes = tokenizer.shape("quantize.embedding.weight");
    json!({
        "_class_name": "VQModel",
        "_diffusers_version": VERSION,
        "act_fn": "silu",
        "block_out_channels": widths,
        "down_block_types": down,
        "force_upcast": false,
        "in_channels": tokenizer.shape("encoder.conv_in.weight").get(1),
        "latent_channels": tokenizer.integer("z_channels"),
        "layers_per_block": tokenizer.integer("num_res_blocks"),
        "lookup_from_codebook": false,
        "mid_block_add_attention": tokenizer.is_on("mid_attention"),
        "norm_num_groups": tokenizer.integer("norm_groups").unwrap_or(32),
        "norm_type": if is_spatial { "spatial" } else { "group" },
        "num_vq_embeddings": codes.first(),
        "out_channels": tokenizer.shape("decoder.conv_out.weight").first(),
        "sample_size": run.recipe().data.image_size,
        "scaling_factor": 0.18215,
        "up_block_types": up,
        "vq_embed_dim": codes.get(1),
    })
}
