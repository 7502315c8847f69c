//! Runs in the files of other projects, and back.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use tch::Tensor;
use vqkit::{tokens::TokenSet, torch::weights};
use vqkit_testing::{Golden, optional};

use crate::vqkit::{fail, shared_run, succeed, text};

/// Imports a checkpoint of a golden into `run` of a folder.
fn import(folder: &Path, checkpoint: &Path, name: &str) -> PathBuf {
    let run = folder.join(name);
    succeed(&["import", text(checkpoint), "-o", text(&run)]);
    run
}

fn export(run: &Path, format: &str, to: &Path) -> PathBuf {
    succeed(&["export", text(run), "--to", format, "-o", text(to)]);
    to.to_owned()
}

/// The tensors of a file, below a prefix.
fn state(path: &Path, prefix: &str) -> BTreeMap<String, Tensor> {
    let all = weights::read_any(path).unwrap();
    all.into_iter().filter_map(|(name, value)| Some((name.strip_prefix(prefix)?.to_owned(), value))).collect()
}

/// Whether two sets of tensors have the same names and the same values.
fn assert_equal(left: &BTreeMap<String, Tensor>, right: &BTreeMap<String, Tensor>) {
    assert_eq!(left.keys().collect::<Vec<_>>(), right.keys().collect::<Vec<_>>());
    for (name, value) in left {
        assert!(value.equal(&right[name]), "{name}");
    }
}

/// The weights of a run's stage without the state that vqkit alone keeps.
fn own(run: &Path, stage: &str) -> BTreeMap<String, Tensor> {
    let mut all = state(&run.join(stage).join("last/model.safetensors"), "");
    all.retain(|name, _| !name.ends_with(".age") && !name.ends_with(".initted"));
    all
}

#[test]
fn tamings_state_comes_back_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    for (golden, stages) in [
        ("taming-vqgan-ckpt", &["tokenizer"][..]),
        ("taming-gumbel-ckpt", &["tokenizer"]),
        ("taming-net2net-ckpt-cond", &["tokenizer", "template", "prior/0"]),
    ] {
        let checkpoint = Golden::open(golden).path("last.ckpt");
        let first = import(folder.path(), &checkpoint, golden);
        let written = export(&first, "taming", &folder.path().join(format!("{golden}-taming")));
        let mut theirs = state(&checkpoint, "");
        theirs.retain(|name, _| !name.contains("loss."));
        assert_equal(&theirs, &state(&written.join("model.safetensors"), ""));
        let second = import(folder.path(), &written, &format!("{golden}-again"));
        stages.iter().for_each(|stage| assert_equal(&own(&first, stage), &own(&second, stage)));
    }
}

#[test]
fn llamagens_states_come_back_bit_for_bit() {
    let golden = Golden::open("llamagen-vq-ckpt");
    let checkpoint = golden.path(golden.config()["file"].as_str().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let run = import(folder.path(), &checkpoint, "run");
    let written = export(&run, "llamagen", &folder.path().join("written"));
    let mut theirs = state(&checkpoint, "model.");
    theirs.remove("quantize.codebook_used");
    assert_equal(&theirs, &state(&written.join("vq_model.safetensors"), ""));
}

#[test]
fn diffusers_folder_comes_back_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let run = import(folder.path(), &Golden::open("taming-vqgan-ckpt").path("last.ckpt"), "run");
    let written = export(&run, "diffusers", &folder.path().join("written"));
    let again = import(folder.path(), &written, "again");
    assert_equal(&own(&run, "tokenizer"), &own(&again, "tokenizer"));
    let card = fs::read_to_string(written.join("README.md")).unwrap();
    assert!(card.starts_with("---\nlibrary_name: diffusers\n") && card.contains("from_pretrained"), "{card}");
    check_with_diffusers(&written);
}

/// Whether diffusers itself decodes what taming-transformers did; where there is a Python with it.
fn check_with_diffusers(model: &Path) {
    const SCRIPT: &str = "
import sys, torch
from diffusers import VQModel
from safetensors.torch import load_file
model, io = VQModel.from_pretrained(sys.argv[1]).eval(), load_file(sys.argv[2])
with torch.no_grad():
    latents = model.encode(io['x']).latents
    indices = model.quantize(latents)[2][2]
    images = model.decode(latents).sample
assert torch.equal(indices.view(-1), io['indices'].view(-1))
assert (images - io['reconstruction']).abs().max() < 1e-4
";
    let python = std::env::var("VQKIT_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    let has = |module: &str| {
        let import = format!("import {module}");
        Command::new(&python).args(["-c", &import]).output().is_ok_and(|output| output.status.success())
    };
    let what = "Python with diffusers and torch (VQKIT_TEST_PYTHON names one)";
    if optional((has("torch") && has("diffusers")).then_some(()), what).is_none() {
        return;
    }
    let io = Golden::open("taming-vqgan").path("io.safetensors");
    let output = Command::new(&python).args(["-c", SCRIPT, text(model), text(&io)]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn graphs_run_without_vqkit() {
    let folder = tempfile::tempdir().unwrap();
    let run = import(folder.path(), &Golden::open("taming-vqgan-ckpt").path("last.ckpt"), "run");
    let script = export(&run, "torchscript", &folder.path().join("script"));
    let module = tch::CModule::load(script.join("tokenizer.pt")).unwrap();
    let forward = Golden::open("taming-vqgan");
    let images = forward.input("x");
    let indices = module.method_ts("encode", &[&images]).unwrap();
    forward.equal("indices", &indices.view_as(&forward.input("indices")));
    forward.close("reconstruction", &module.method_ts("decode", &[&indices]).unwrap());
    let onnx = export(&run, "onnx", &folder.path().join("onnx"));
    for file in ["encode.onnx", "decode.onnx", "README.md"] {
        assert!(fs::metadata(onnx.join(file)).unwrap().len() > 500, "{file}");
    }
}

#[test]
fn tokens_are_written_for_other_programs() {
    let folder = tempfile::tempdir().unwrap();
    let run = shared_run();
    let set = TokenSet::open(&[run.join("tokens/train-00000.safetensors")]).unwrap();
    let tokens = set.grid(0, &Tensor::arange(set.len() as i64, (tch::Kind::Int64, tch::Device::Cpu)), tch::Device::Cpu);
    let tokens = tokens.unwrap().indices;
    let npy = export(run, "npy", &folder.path().join("npy"));
    let first = fs::read(npy.join("small24_codes/0.npy")).unwrap();
    assert!(String::from_utf8_lossy(&first).contains("(1, 1, 36"));
    let values: Vec<i64> =
        first[first.len() - 36 * 8..].chunks(8).map(|bytes| i64::from_le_bytes(bytes.try_into().unwrap())).collect();
    assert_eq!(values, Vec::<i64>::try_from(tokens.get(0).contiguous().view(-1)).unwrap());
    assert_eq!(fs::read_dir(npy.join("small24_labels")).unwrap().count(), set.len());
    let shards = export(run, "webdataset", &folder.path().join("tar"));
    let mut archive = tar::Archive::new(fs::File::open(shards.join("tokens-00000.tar")).unwrap());
    let names: Vec<String> =
        archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect();
    assert_eq!(names.len(), 2 * set.len());
    assert_eq!(names[..2], ["000000000.level0.npy", "000000000.cls"]);
}

#[test]
fn what_a_format_lacks_is_said_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    for format in ["diffusers", "taming", "llamagen"] {
        let message = fail(&["export", text(shared_run()), "--to", format, "-o", text(&out)], &[1]);
        assert!(message.contains("no network of type `vqvae`") && !out.exists(), "{message}");
    }
    let golden = Golden::open("diffusers-movq");
    let run = import(folder.path(), &golden.path("diffusion_pytorch_model.safetensors"), "movq");
    for format in ["taming", "llamagen"] {
        let message = fail(&["export", text(&run), "--to", format, "-o", text(&out)], &[1]);
        assert!(message.contains("has no network with ") && message.contains("movq/recipe.toml"), "{message}");
        assert!(!out.exists());
    }
    assert!(fail(&["export", text(shared_run()), "--to", "caffe", "-o", text(&out)], &[2]).contains("webdataset"));
    let recipe = export(shared_run(), "safetensors", &out).join("recipe.json");
    let recipe: Value = serde_json::from_slice(&fs::read(recipe).unwrap()).unwrap();
    assert_eq!(recipe["tokenizer"]["quantizer"]["codebook_size"], 16);
}
