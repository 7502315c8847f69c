//! A run that holds only what its use needs: to pass on.

use std::{fs, path::Path, sync::Arc};

use tch::{Kind, Tensor};
use vqkit_recipe::{Modality, Recipe, stage_names};
use vqkit_run::{Checkpoints, Invocation, MODEL, Output, RECIPE, Run, STATE, State, checkpoint_weights, files};
use vqkit_tokens::{TEXT_TOKENIZER, TokenHeader, run_tokens};
use vqkit_torch::weights;

use super::networks;
use crate::error::{InteropError, Result};

/// The key of a recipe whose values are never paths.
const CLASS_NAMES: &str = "class_names";

/// Makes the run `out`, with the recipe, and without what of it belongs to this machine.
///
/// # Errors
/// When there is something at `out`.
pub fn begin(run: &Run, out: &Path) -> Result<Run> {
    let call = Invocation { command: Vec::new(), git: None, ..run.record().call.clone() };
    Ok(Run::create(out, &of_anywhere(run.recipe())?, None, call)?)
}

/// Writes into a run that was begun: the weights that later stages use of every network, and what the tokens say of classes and
/// captions. Matrices and kernels are rounded to bf16, if `is_rounded`; codebooks, biases and statistics stay as they are.
///
/// Gives the line that uses it. Optimizers, discriminators, averages, token grids, logs and samples stay behind, so training cannot go on in it; fine-tuning can
/// start from it.
pub fn write(run: &Run, is_rounded: bool, mut packed: Run) -> Result<String> {
    let recipe = &Arc::clone(packed.recipe());
    for modality in recipe.modalities() {
        write_network(run, modality.stage(), is_rounded, &mut packed)?;
    }
    if !recipe.priors.is_empty() && !recipe.data.source.is_none() {
        write_vocabulary(run, &mut packed)?;
    }
    for stage in stage_names::stages(recipe) {
        write_network(run, &stage, is_rounded, &mut packed)?;
    }
    let verb =
        if recipe.priors.is_empty() { "reconstruct FOLDER images/ -o reconstructions" } else { "sample FOLDER -n 16" };
    Ok(format!("```sh\nvqkit {verb}\n```\n"))
}

/// The recipe without the places of files on this machine: of absolute paths, the last part stays.
fn of_anywhere(recipe: &Recipe) -> Result<Recipe> {
    let mut recipe = recipe.clone();
    recipe.data.root = None;
    for tokenizer in recipe.tokenizer.iter_mut().chain(&mut recipe.template) {
        tokenizer.inherited = None;
        tokenizer.finetune = None;
    }
    recipe.priors.iter_mut().for_each(|prior| prior.finetune = None);
    let text = recipe.to_toml()?;
    let refuse = |reason: String| InteropError::file(Path::new(RECIPE), reason);
    let mut table: toml::Table = text.parse().map_err(|error: toml::de::Error| refuse(error.to_string()))?;
    table.iter_mut().for_each(|(key, value)| shorten(key, value));
    let text = toml::to_string(&table).map_err(|error| refuse(error.to_string()))?;
    Ok(Recipe::parse(RECIPE, &text, &[])?)
}

/// Leaves the last part of every absolute path in a value.
fn shorten(key: &str, value: &mut toml::Value) {
    match value {
        toml::Value::String(text) if key != CLASS_NAMES && Path::new(text.as_str()).is_absolute() => {
            // A pattern such as `/data/{train,val}/0.tar` may have alternatives behind its first brace.
            let fixed = text.find('{').unwrap_or(text.trim_end_matches('/').len());
            *text = text[text[..fixed].rfind('/').map_or(0, |slash| slash + 1)..].to_owned();
        }
        toml::Value::Array(values) => values.iter_mut().for_each(|value| shorten(key, value)),
        toml::Value::Table(table) => table.iter_mut().for_each(|(key, value)| shorten(key, value)),
        _ => {}
    }
}

fn write_network(run: &Run, stage: &str, is_rounded: bool, packed: &mut Run) -> Result<()> {
    packed.begin(stage)?;
    let round = |(name, value): (String, Tensor)| {
        let value = if is_rounded && is_matrix(&name, &value) { value.to_kind(Kind::BFloat16) } else { value };
        (name, value)
    };
    let tensors = networks::all_weights(run, stage)?.into_iter().map(round).collect();
    let from = run.path().join(&run.require(stage)?.path);
    let state: State = files::read_json(&from.join(STATE))?;
    let checkpoints = Checkpoints::open(&packed.make_folder(stage)?, 1)?;
    checkpoints.write::<InteropError>(state.step, false, |folder| {
        weights::save(&folder.join(MODEL), &tensors, &Default::default())?;
        Ok(files::write_json(&folder.join(STATE), &State { step: state.step, ..State::default() })?)
    })?;
    let written = checkpoints.last()?.ok_or_else(|| InteropError::file(packed.path(), "no checkpoint was written"))?;
    let output = Output { path: packed.relative(&written), fingerprint: checkpoint_weights::fingerprint(&written)? };
    Ok(packed.finish(stage, output)?)
}

/// Whether a tensor is a kernel or a matrix of a layer. Rounded codes would be other codes.
fn is_matrix(name: &str, value: &Tensor) -> bool {
    let is_of_codebook = ["quantize", "codebook"].iter().any(|part| name.contains(part));
    value.dim() >= 2 && value.kind() == Kind::Float && !is_of_codebook
}

/// Names of classes, and the text tokenizer.
fn write_vocabulary(run: &Run, packed: &mut Run) -> Result<()> {
    packed.begin(stage_names::TOKENS)?;
    let folder = packed.make_folder(stage_names::TOKENS)?;
    let fingerprint = |stage: &str| packed.output(stage).map(|output| output.fingerprint.clone());
    let header = run_tokens::header(run)?;
    let header = TokenHeader {
        tokenizer: fingerprint(Modality::Image.stage()).unwrap_or_default(),
        template: header.template.as_ref().and_then(|_| fingerprint(Modality::Template.stage())),
        ..header
    };
    run_tokens::write_header(&folder, &header)?;
    let text = run.folder(stage_names::TOKENS).join(TEXT_TOKENIZER);
    if text.is_file() {
        let to = folder.join(TEXT_TOKENIZER);
        fs::copy(&text, &to).map_err(|source| InteropError::Io { action: "copy", path: text, source })?;
    }
    let output = Output { path: packed.relative(&folder), fingerprint: header.data };
    Ok(packed.finish(stage_names::TOKENS, output)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_to_pass_on_names_no_folder_of_this_machine() {
        let text = r#"
            name = "photographs"
            [data]
            root = "/somebody/data"
            image_size = 32
            class_names = ["/", "/s"]
            [data.source]
            type = "folder"
            train = "/somebody/private pictures"
            validation = "/somebody/{a/b,c/d}"
            [tokenizer]
            type = "vqvae"
            channels = 32
            downsampling = 8
            residual_blocks = 1
            residual_channels = 16
            embed_dim = 8
            [tokenizer.quantizer]
            type = "ema"
            codebook_size = 16
            commitment_weight = 0.25
            [tokenizer.loss.perceptual]
            type = "vgg"
            weight = 1.0
            weights = "/somebody/weights.safetensors"
            [tokenizer.train]
            steps = 1
            batch_size = 4
            learning_rate = 1e-3
        "#;
        let passed_on = of_anywhere(&Recipe::parse("test", text, &[]).unwrap()).unwrap().to_toml().unwrap();
        assert!(!passed_on.contains("somebody"), "{passed_on}");
        for kept in ["\"private pictures\"", "\"{a/b,c/d}\"", "\"weights.safetensors\"", "[\"/\", \"/s\"]"] {
            assert!(passed_on.contains(kept), "{kept}: {passed_on}");
        }
    }
}
