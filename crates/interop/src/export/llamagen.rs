//! The state dicts of LlamaGen.

use std::path::Path;

use vqkit_recipe::Modality;
use vqkit_run::Run;
use vqkit_vqvae::llamagen_name;

use super::{
    names::{renamed, save},
    networks,
};
use crate::error::Result;

/// Writes `vq_model.safetensors` and, where the run has a transformer of LlamaGen's kind, `gpt_model.safetensors`.
pub fn write(run: &Run, folder: &Path) -> Result<String> {
    let tokenizer = networks::tokenizer(run, Modality::Image)?;
    tokenizer.must_be("LlamaGen", &["vqgan"], &["vq"])?;
    tokenizer.must_be_plain("LlamaGen", &["decoder_ch_mult"])?;
    let levels = tokenizer.integers("ch_mult").len();
    let attention = tokenizer.integers("attn_resolutions");
    let coarsest = tokenizer.integer("resolution").unwrap_or_default() >> (levels.max(1) - 1);
    if attention != [coarsest] {
        return Err(tokenizer.refused(format!(
            "LlamaGen attends on the coarsest level alone, at {coarsest}; this tokenizer at {attention:?}"
        )));
    }
    let state = renamed(&tokenizer, |name, value| Some((llamagen_name(name, levels)?, value.shallow_clone())))?;
    save(&folder.join("vq_model.safetensors"), &state)?;
    let mut usage = "```python\nfrom safetensors.torch import load_file\n\nvq_model.load_state_dict(load_file(\"vq_model.safetensors\"))\n".to_owned();
    if let [prior] = run.recipe().priors.as_slice() {
        let prior_kind = toml::Table::try_from(&prior.network).ok();
        let is_llama =
            prior_kind.is_some_and(|section| section.get("type").and_then(toml::Value::as_str) == Some("llama"));
        if is_llama {
            save(&folder.join("gpt_model.safetensors"), &networks::prior(run, 0)?.weights)?;
            usage += "gpt_model.load_state_dict(load_file(\"gpt_model.safetensors\"))\n";
        }
    }
    if tokenizer.text("quantizer", "metric").unwrap_or("euclidean") != "cosine" {
        usage += "# The codes are compared by distance: build the tokenizer with codebook_l2_norm=False.\n";
    }
    Ok(usage + "```\n")
}
