//! Checkpoints that do not fit: everything that is wrong is listed at once, and nothing is written.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use tch::{Kind, Tensor};
use vqkit::torch::weights;
use vqkit_testing::Golden;

use crate::vqkit::{fail, run, stderr, succeed, text};

/// The tokenizer of a golden as a safetensors file, changed by `change`, with its configuration beside it.
fn changed(folder: &Path, change: impl Fn(&mut BTreeMap<String, Tensor>)) -> PathBuf {
    let golden = Golden::open("taming-vqgan-ckpt");
    let mut state = weights::read_any(&golden.path("last.ckpt")).unwrap();
    state.retain(|name, _| !name.starts_with("loss."));
    change(&mut state);
    let path = folder.join("model.safetensors");
    weights::save(&path, &state, &BTreeMap::new()).unwrap();
    fs::copy(golden.path("config.json"), folder.join("model.json")).unwrap();
    path
}

fn floats(shape: &[i64]) -> Tensor {
    Tensor::ones(shape, (Kind::Float, tch::Device::Cpu))
}

#[test]
fn tensors_that_do_not_fit_are_listed_at_once_and_a_partial_import_lists_what_is_untrained() {
    let folder = tempfile::tempdir().unwrap();
    let path = changed(folder.path(), |state| {
        state.remove("decoder.up.0.block.0.conv2.bias");
        state.remove("post_quant_conv.weight");
        state.insert("encoder.extra.weight".into(), floats(&[2, 3]));
        state.insert("decoder.norm_out.bias".into(), floats(&[7]));
    });
    let out = folder.path().join("run");
    let output = run(&["import", text(&path), "-o", text(&out)]);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    for part in [
        "missing: 2",
        "post_quant_conv.weight [16, 8, 1, 1]",
        "not wanted: 1",
        "encoder.extra.weight [2, 3]",
        "of another shape: 1",
        "decoder.norm_out.bias has the shape [7], wanted [32]",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(!out.exists());
    let found = succeed(&["import", text(&path), "-o", text(&out), "--partial", "--json"]);
    let found: serde_json::Value = serde_json::from_str(&found).unwrap();
    let untrained = ["decoder.norm_out.bias", "decoder.up.0.block.0.conv2.bias", "post_quant_conv.weight"];
    assert_eq!(found["untrained"], serde_json::json!(untrained));
    let left_out =
        ["encoder.extra.weight [2, 3], not wanted", "decoder.norm_out.bias, which has the shape [7], wanted [32]"];
    assert_eq!(found["left_out"], serde_json::json!(left_out));
}

#[test]
fn a_configuration_of_another_model_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = changed(folder.path(), |state| {
        state.insert("quantize.embedding.weight".into(), floats(&[64, 8]));
    });
    let out = folder.path().join("run");
    let message = fail(&["import", text(&path), "-o", text(&out)], &[1]);
    assert!(message.contains("the codebook has 64 codes, the configuration says n_embed = 48"), "{message}");
    fs::remove_file(folder.path().join("model.json")).unwrap();
    succeed(&["import", text(&path), "-o", text(&out)]);
    let other = folder.path().join("other");
    let message = fail(&["import", text(&path), "-o", text(&other), "--weights", "ema"], &[2]);
    assert!(message.contains("--weights: there are no weights `ema`") && !other.exists(), "{message}");
}

#[test]
fn values_that_are_not_finite_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = changed(folder.path(), |state| {
        state.insert("decoder.norm_out.bias".into(), floats(&[32]) * f64::NAN);
    });
    let out = folder.path().join("run");
    let message = fail(&["import", text(&path), "-o", text(&out)], &[1]);
    assert!(message.contains("`decoder.norm_out.bias` holds values that are not finite"), "{message}");
    assert!(!out.exists(), "half a run is left");
}

#[test]
fn half_precision_and_prefixes_of_wrappers_are_taken_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let plain = changed(folder.path(), |_| {});
    let first = folder.path().join("first");
    succeed(&["import", text(&plain), "-o", text(&first)]);
    let wrapped = changed(folder.path(), |state| {
        let all = std::mem::take(state).into_iter();
        *state = all.map(|(name, value)| (format!("module._orig_mod.{name}"), value.to_kind(Kind::BFloat16))).collect();
    });
    let second = folder.path().join("second");
    succeed(&["import", text(&wrapped), "-o", text(&second)]);
    let weights = |run: &Path| crate::vqkit::weights(&run.join("tokenizer/last/model.safetensors"));
    let (first, second) = (weights(&first), weights(&second));
    for (name, value) in &second {
        assert!(first[name].to_kind(Kind::BFloat16).to_kind(value.kind()).equal(value), "{name}");
    }
    let found = succeed(&["inspect", text(&wrapped)]);
    assert!(found.contains("DistributedDataParallel, torch.compile") && found.contains("BF16"), "{found}");
}

#[test]
fn a_family_that_is_not_imported_and_one_that_is_unknown_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let out = folder.path().join("run");
    let import = |codes: &[i32], more: &[&str]| {
        let call = [&["import", text(&path), "-o", text(&out)], more].concat();
        let message = fail(&call, codes);
        assert!(!out.exists());
        message
    };
    let save = |names: &[&str]| {
        let state = names.iter().map(|name| ((*name).to_owned(), floats(&[2]))).collect();
        weights::save(&path, &state, &BTreeMap::new()).unwrap();
    };
    save(&["latent_tokens", "encoder.latent_token_positional_embedding"]);
    assert!(import(&[1], &[]).contains("TiTok"));
    save(&["something.weight"]);
    assert!(import(&[1], &[]).contains("no family that is known by its names"));
    assert!(import(&[2], &["--as", "nothing"]).contains("--as: there is no family `nothing`; there are"));
    assert!(import(&[1], &["--as", "taming-vqgan"]).contains("`encoder.conv_in.weight`, which tells a size"));
    let found = succeed(&["inspect", text(&path)]);
    assert!(found.contains("unknown family") && found.contains("something.weight"), "{found}");
}

#[test]
fn autoencoders_of_latent_diffusion_are_taken_alone_and_out_of_the_whole_model() {
    let folder = tempfile::tempdir().unwrap();
    let without_attention = |state: &mut BTreeMap<String, Tensor>| {
        state.retain(|name, _| !name.contains("attn"));
    };
    let alone = changed(folder.path(), without_attention);
    fs::remove_file(folder.path().join("model.json")).unwrap();
    let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
    let found = succeed(&["import", text(&alone), "-o", text(&first)]);
    assert!(found.contains("latent-diffusion"), "{found}");
    let recipe = fs::read_to_string(first.join("recipe.toml")).unwrap();
    assert!(recipe.contains("mid_attention = false") && recipe.contains("attn_resolutions = []"), "{recipe}");
    let whole = changed(folder.path(), |state| {
        without_attention(state);
        let all = std::mem::take(state).into_iter();
        *state = all.map(|(name, value)| (format!("first_stage_model.{name}"), value)).collect();
        state.insert("model.diffusion_model.out.0.weight".into(), floats(&[3]));
    });
    fs::remove_file(folder.path().join("model.json")).unwrap();
    assert!(succeed(&["inspect", text(&whole)]).contains("1: the diffusion model around the autoencoder"));
    succeed(&["import", text(&whole), "-o", text(&second)]);
    let weights = |run: &Path| fs::read(run.join("tokenizer/last/model.safetensors")).unwrap();
    assert_eq!(weights(&first), weights(&second));
}
