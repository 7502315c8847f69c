//! The state dict and the configuration of taming-transformers.

use std::{collections::BTreeMap, fmt::Display, path::Path};

use serde_json::{Value, json};
use tch::{Kind, Tensor};
use vqkit_recipe::Modality;
use vqkit_run::{RECIPE, Run};

use super::{
    names::{save, write_yaml},
    networks::{self, Trained},
};
use crate::error::{InteropError, Result};

/// Writes `model.safetensors` and `model.yaml`: of the tokenizer, or of the whole Net2Net where the run has such a prior.
pub fn write(run: &Run, folder: &Path) -> Result<String> {
    let tokenizer = networks::tokenizer(run, Modality::Image)?;
    check(run, &tokenizer)?;
    let (state, model) = match run.recipe().priors.len() {
        0 => (copied("", &tokenizer.weights), first_stage(&tokenizer)),
        1 => net2net(run, &tokenizer)?,
        count => return Err(refused(run, format!("has one transformer, this run {count} priors"))),
    };
    save(&folder.join("model.safetensors"), &state)?;
    write_yaml(&folder.join("model.yaml"), &json!({ "model": model }))?;
    Ok("```python\nfrom omegaconf import OmegaConf\nfrom safetensors.torch import load_file\nfrom taming.util import instantiate_from_config\n\nmodel = instantiate_from_config(OmegaConf.load(\"model.yaml\").model)\nmodel.load_state_dict(load_file(\"model.safetensors\"))\n```\n".into())
}

fn refused(run: &Run, reason: impl Display) -> InteropError {
    InteropError::file(run.path().join(RECIPE), format!("taming-transformers {reason}"))
}

/// What taming's network cannot do.
fn check(run: &Run, tokenizer: &Trained) -> Result<()> {
    tokenizer.must_be("taming-transformers", &["vqgan"], &["vq", "gumbel"])?;
    if tokenizer.text("quantizer", "metric").unwrap_or("euclidean") != "euclidean" {
        return Err(refused(run, "compares latents and codes by their distance alone, not on the unit sphere"));
    }
    tokenizer.must_be_plain("taming-transformers", &["resamp_with_conv"])
}

/// The tensors with a prefix in front of their names.
fn copied(prefix: &str, weights: &BTreeMap<String, Tensor>) -> BTreeMap<String, Tensor> {
    weights.iter().map(|(name, value)| (format!("{prefix}{name}"), value.shallow_clone())).collect()
}

/// `target` and `params` of a tokenizer.
fn first_stage(tokenizer: &Trained) -> Value {
    let quantizer = tokenizer.section.get("quantizer");
    let number = |key: &str| quantizer.and_then(|section| section.get(key)).cloned();
    let ddconfig = json!({
        "double_z": false,
        "z_channels": tokenizer.integer("z_channels"),
        "resolution": tokenizer.integer("resolution"),
        "in_channels": tokenizer.shape("encoder.conv_in.weight").get(1),
        "out_ch": tokenizer.shape("decoder.conv_out.weight").first(),
        "ch": tokenizer.integer("ch"),
        "ch_mult": tokenizer.integers("ch_mult"),
        "num_res_blocks": tokenizer.integer("num_res_blocks"),
        "attn_resolutions": tokenizer.integers("attn_resolutions"),
        "dropout": tokenizer.number("dropout"),
        "resamp_with_conv": tokenizer.is_on("resamp_with_conv"),
    });
    let mut params = json!({
        "embed_dim": tokenizer.integer("embed_dim"),
        "n_embed": number("codebook_size"),
        "ddconfig": ddconfig,
        "lossconfig": { "target": "taming.modules.losses.DummyLoss" },
    });
    if tokenizer.quantizer() != "gumbel" {
        return json!({ "target": "taming.models.vqgan.VQModel", "params": params });
    }
    let start = number("temp_init").unwrap_or(1.0.into());
    let anneal = |key: &str| quantizer.and_then(|section| section.get("anneal")?.get(key)).cloned();
    params["kl_weight"] = json!(number("kl_weight"));
    params["temperature_scheduler_config"] = json!({
        "target": "taming.lr_scheduler.LambdaWarmUpCosineScheduler",
        "params": {
            "warm_up_steps": 0,
            "max_decay_steps": anneal("steps").unwrap_or(1.into()),
            "lr_start": start,
            "lr_max": start,
            "lr_min": anneal("end").unwrap_or(start.clone()),
        },
    });
    json!({ "target": "taming.models.vqgan.GumbelVQ", "params": params })
}

/// The state and the configuration of a Net2Net.
fn net2net(run: &Run, tokenizer: &Trained) -> Result<(BTreeMap<String, Tensor>, Value)> {
    let prior = networks::prior(run, 0)?;
    prior.must_be("taming-transformers", &["gpt2"], &[])?;
    let is_shared = prior.section.get("vocabulary").and_then(toml::Value::as_str) == Some("shared");
    if !is_shared {
        return Err(refused(run, "has one vocabulary for conditions and images; this prior has tables of its own"));
    }
    let mut state = copied("first_stage_model.", &tokenizer.weights);
    state.extend(copied("transformer.", &prior.weights));
    state.extend(masks(&prior));
    let (key, stage) = condition_stage(run, tokenizer, &mut state)?;
    let order = prior.section.get("order").and_then(toml::Value::as_str).unwrap_or("raster");
    if order != "raster" {
        return Err(refused(
            run,
            format!("keeps its permuter for the order `{order}` in code; only raster is written"),
        ));
    }
    let number = |name: &str| prior.section.get(name).cloned();
    let model = json!({
        "target": "taming.models.cond_transformer.Net2NetTransformer",
        "params": {
            "cond_stage_key": key,
            "transformer_config": {
                "target": "taming.modules.transformer.mingpt.GPT",
                "params": {
                    "vocab_size": prior.shape("tok_emb.weight").first(),
                    "block_size": prior.shape("pos_emb").get(1),
                    "n_layer": prior.integer("n_layer"),
                    "n_head": prior.integer("n_head"),
                    "n_embd": prior.integer("n_embd"),
                    "n_unmasked": prior.integer("n_unmasked").unwrap_or(0),
                    "embd_pdrop": number("embd_pdrop"),
                    "resid_pdrop": number("resid_pdrop"),
                    "attn_pdrop": number("attn_pdrop"),
                },
            },
            "first_stage_config": first_stage(tokenizer),
            "cond_stage_config": stage,
        },
    });
    Ok((state, model))
}

/// The causal masks, which are buffers there.
fn masks(prior: &Trained) -> BTreeMap<String, Tensor> {
    let length = prior.shape("pos_emb").get(1).copied().unwrap_or(0);
    let mask = Tensor::ones([length, length], (Kind::Float, tch::Device::Cpu)).tril(0);
    let first = prior.integer("n_unmasked").unwrap_or(0).min(length);
    let _ = mask.narrow(0, 0, first).narrow(1, 0, first).fill_(1.0);
    let mask = mask.view([1, 1, length, length]);
    let layers = prior.integer("n_layer").unwrap_or(0);
    (0..layers).map(|layer| (format!("transformer.blocks.{layer}.attn.mask"), mask.copy())).collect()
}

/// The key and the configuration of what the transformer is conditioned on; adds the weights of a second tokenizer.
fn condition_stage(
    run: &Run,
    tokenizer: &Trained,
    state: &mut BTreeMap<String, Tensor>,
) -> Result<(&'static str, Value)> {
    let condition = &run.recipe().condition;
    if condition.text.is_some() || condition.embedding.is_some() {
        return Err(refused(run, "has no condition on text or embeddings"));
    }
    let target = |name: &str, params: Value| json!({ "target": name, "params": params });
    match (condition.class, condition.coordinates, &condition.template) {
        (false, None, None) => Ok(("image", "__is_unconditional__".into())),
        (true, None, None) => {
            let classes = json!({ "n_classes": condition.num_classes });
            Ok(("class_label", target("taming.modules.util.Labelator", classes)))
        }
        (false, Some(levels), None) => {
            let factor = 1i64 << (tokenizer.integers("ch_mult").len().max(1) - 1);
            let params = json!({ "n_embed": levels, "down_factor": factor });
            Ok(("coord", target("taming.modules.misc.coord.CoordStage", params)))
        }
        (false, None, Some(_)) => {
            let template = networks::tokenizer(run, Modality::Template)?;
            check(run, &template)?;
            state.extend(copied("cond_stage_model.", &template.weights));
            Ok(("segmentation", first_stage(&template)))
        }
        _ => Err(refused(run, "has one condition at a time")),
    }
}
