//! The names and shapes of published checkpoints: each is recognised, and its sizes are read.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};

use crate::vqkit::{succeed, text};

/// The folder of lists of names and shapes; `VQKIT_GOLDEN` names another.
fn manifests() -> PathBuf {
    let root = std::env::var_os("VQKIT_GOLDEN").unwrap_or_else(|| "tests/golden".into());
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(root).join("manifests")
}

fn manifest(name: &str) -> Value {
    let path = manifests().join(format!("{name}.json"));
    serde_json::from_slice(&std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))).unwrap()
}

/// A safetensors file with the names and shapes of a manifest; its values are holes in the file, which read as zeros.
fn hollow(folder: &Path, name: &str) -> PathBuf {
    let manifest = manifest(name);
    let (mut header, mut offset) = (Map::new(), 0u64);
    for (key, described) in manifest["keys"].as_object().unwrap() {
        let shape: Vec<u64> = serde_json::from_value(described[0].clone()).unwrap();
        let (dtype, size) = match described[1].as_str().unwrap() {
            "float32" => ("F32", 4),
            "int64" => ("I64", 8),
            "int32" => ("I32", 4),
            other => panic!("{other}"),
        };
        let end = offset + size * shape.iter().product::<u64>();
        header.insert(key.clone(), json!({ "dtype": dtype, "shape": shape, "data_offsets": [offset, end] }));
        offset = end;
    }
    let mut text = Value::Object(header).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    let path = folder.join(format!("{name}.safetensors"));
    let mut file = File::create(&path).unwrap();
    file.write_all(&(text.len() as u64).to_le_bytes()).unwrap();
    file.write_all(&text).unwrap();
    file.set_len(8 + text.len() as u64 + offset).unwrap();
    std::fs::write(folder.join(format!("{name}.json")), manifest["config"].to_string()).unwrap();
    path
}

/// What `inspect` says of a manifest.
fn inspect(name: &str) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let path = hollow(folder.path(), name);
    serde_json::from_str(&succeed(&["inspect", text(&path), "--json"])).unwrap()
}

/// The family of a manifest, by the project and the keys of the configuration that it was built from.
fn family(manifest: &Value) -> &'static str {
    let config = &manifest["config"];
    let class = config["target"].as_str().or(config["class_path"].as_str()).unwrap_or_default();
    let class = class.rsplit('.').next().unwrap_or_default();
    let has = |key: &str| !config[key].is_null();
    match (manifest["upstream"]["name"].as_str().unwrap(), class) {
        ("taming-transformers", "VQModel") => "taming-vqgan",
        ("taming-transformers", "GumbelVQ") => "taming-gumbel",
        ("taming-transformers", "Net2NetTransformer") => "taming-net2net",
        ("SEED-Voken", "IBQ") => "seed-ibq",
        ("SEED-Voken", "VQModel") => "open-magvit2",
        ("LlamaGen", _) if has("gpt_model") => "llamagen-gpt",
        ("LlamaGen", _) => "llamagen-vq",
        ("VAR", _) if has("depth") => "var",
        ("VAR", _) => "var-vae",
        ("vq-vae-2-pytorch", _) if has("n_class") => "rosinality-pixelsnail",
        ("vq-vae-2-pytorch", _) => "rosinality-vqvae2",
        ("1d-tokenizer", _) if has("generator") => "rar",
        ("1d-tokenizer", _) if has("hidden_channels") => "maskgit-vqgan",
        ("1d-tokenizer", _) if manifest["what"].as_str().unwrap().contains("generator") => "maskgit",
        ("1d-tokenizer", _) => "titok",
        (upstream, class) => panic!("{upstream}: {class}"),
    }
}

#[test]
fn golden_manifests() {
    let names = std::fs::read_dir(manifests()).unwrap().map(|entry| entry.unwrap().path());
    let is_manifest = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "json");
    let stems = names.filter(is_manifest).map(|path| path.file_stem().unwrap().to_string_lossy().into_owned());
    let names: Vec<String> = stems.filter(|name| name != "config").collect();
    assert!(!names.is_empty());
    for name in &names {
        let (family, found) = (family(&manifest(name)), inspect(name));
        assert_eq!(found["family"], family, "{name}");
        assert_eq!(found["unexplained"], json!([]), "{name}");
        let is_imported = !["var-vae", "var", "rar", "maskgit", "titok"].contains(&family);
        assert_eq!(found["networks"].as_array().unwrap().is_empty(), !is_imported, "{name}");
    }
}

#[test]
fn the_sizes_of_published_checkpoints_are_read() {
    let section = |name: &str, network: usize| inspect(name)["networks"][network]["section"].clone();
    let vqgan = section("vqgan_imagenet_f16_1024", 0);
    let config = &manifest("vqgan_imagenet_f16_1024")["config"]["params"];
    for key in ["ch", "ch_mult", "num_res_blocks", "attn_resolutions", "z_channels"] {
        assert_eq!(vqgan[key], config["ddconfig"][key], "{key}");
    }
    assert_eq!(vqgan["quantizer"]["codebook_size"], config["n_embed"]);
    let cin = section("cin_transformer", 1);
    let config = &manifest("cin_transformer")["config"]["params"]["transformer_config"]["params"];
    for key in ["n_layer", "n_head", "n_embd", "block_size"] {
        assert_eq!(cin[key], config[key], "{key}");
    }
    let gpt = section("c2i_B_256", 0);
    assert_eq!((&gpt["n_layer"], &gpt["n_head"], &gpt["dim"]), (&json!(12), &json!(12), &json!(768)));
    let pixelsnail = section("pixelsnail_top", 0);
    let config = &manifest("pixelsnail_top")["config"];
    for key in ["channel", "kernel_size", "n_block", "n_res_block", "n_out_res_block"] {
        assert_eq!(pixelsnail[key], config[key], "{key}");
    }
}

#[test]
fn a_checkpoint_of_published_size_becomes_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let (path, run) = (hollow(folder.path(), "vqvae_560"), folder.path().join("run"));
    succeed(&["import", text(&path), "-o", text(&run)]);
    let found: Value = serde_json::from_str(&succeed(&["inspect", text(&run), "--json"])).unwrap();
    assert_eq!(found["tokenizers"][0]["sizes"], json!([[512], [512]]), "{found}");
}
