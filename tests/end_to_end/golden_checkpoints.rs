//! Checkpoints as other projects write them, through the binary: imported, and then as good as where they come from.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::Value;
use tch::{Kind, Tensor};
use tempfile::TempDir;
use vqkit::{
    foreign::Weights,
    models::{ConditionVocabulary, TrainedTokenizer, load},
    priors::{AutoregressiveSampling, Condition, Embedding, Prior, SampleOptions, Sampling},
    run::{Context, Run},
    tokens::TokenSet,
    torch::{TokenGrid, weights},
    vqvae::{VqganConfig, llamagen_name},
};
use vqkit_testing::Golden;

use crate::vqkit::{fail, succeed, text};

/// A checkpoint that the binary imported.
struct Imported {
    _folder: TempDir,
    run: PathBuf,
    context: Context,
}

impl Imported {
    /// Imports files of a golden with further arguments.
    fn of(golden: &Golden, files: &[&str], more: &[&str]) -> Self {
        let paths: Vec<PathBuf> = files.iter().map(|file| golden.path(file)).collect();
        Self::of_paths(&paths.iter().map(PathBuf::as_path).collect::<Vec<_>>(), more)
    }

    fn of_paths(paths: &[&Path], more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        let mut arguments = vec!["import", "-o", text(&run)];
        arguments.extend(paths.iter().map(|path| text(path)));
        arguments.extend(more);
        succeed(&arguments);
        Self { run, _folder: folder, context: Context::silent("cpu").unwrap() }
    }

    fn tokenizer(&self) -> TrainedTokenizer {
        TrainedTokenizer::open(&self.run, &self.context).unwrap()
    }

    fn priors(&self) -> Vec<Box<dyn Prior>> {
        let run = Run::open(&self.run).unwrap();
        let (facts, _) = ConditionVocabulary::of_recipe(run.recipe());
        load::priors(&run, facts, &self.context).unwrap()
    }

    /// The tokens of images, one level of one codebook, `[B, h, w]`.
    fn indices(&self, images: &Tensor) -> Tensor {
        self.tokenizer().encode_batch(images).unwrap()[0].indices.squeeze_dim(1)
    }

    /// Images of tokens `[B, h, w]`, not clamped.
    fn decode(&self, indices: &Tensor) -> Tensor {
        let tokenizer = self.tokenizer();
        let grid = grid(indices, tokenizer.network().codebook_sizes()[0][0]);
        tch::no_grad(|| tokenizer.network().decode(&[grid])).unwrap()
    }

    /// Whether indices and reconstruction are those of the golden.
    fn check(&self, golden: &Golden, images: &str, indices: &str, reconstruction: &str) {
        let found = self.indices(&golden.input(images));
        golden.equal(indices, &found.view_as(&golden.input(indices)));
        golden.close(reconstruction, &self.decode(&found));
        self.check_commands(&golden.input(images));
    }

    /// Whether the commands that a user calls work on pictures: the tokens they write are the library's.
    fn check_commands(&self, images: &Tensor) {
        let size = images.size()[3];
        let folder = tempfile::tempdir().unwrap();
        let pictures = folder.path().join("pictures");
        std::fs::create_dir(&pictures).unwrap();
        let picture = &vqkit::run::RgbImage::from_batch(&images.narrow(0, 0, 1))[0];
        picture.write(&pictures.join("0.png")).unwrap();
        let (tokens, pairs) = (folder.path().join("tokens"), folder.path().join("pairs"));
        succeed(&["tokenize", text(&self.run), text(&pictures), "-o", text(&tokens)]);
        succeed(&["reconstruct", text(&self.run), text(&pictures), "-o", text(&pairs)]);
        let files: Vec<PathBuf> = std::fs::read_dir(&tokens).unwrap().map(|entry| entry.unwrap().path()).collect();
        let written = TokenSet::open(&files).unwrap();
        let own = self.tokenizer().encode(picture).unwrap();
        let level = written.grid(0, &Tensor::from_slice(&[0i64]), tch::Device::Cpu).unwrap();
        assert_eq!(level.indices, own[0].indices, "tokens of a picture of {size} pixels");
        let pair = std::fs::read_dir(&pairs).unwrap().next().unwrap().unwrap().path();
        let expected = folder.path().join("expected.png");
        let decoded = self.tokenizer().decode(&own).unwrap().remove(0);
        vqkit::run::RgbImage::grid(&[picture.clone(), decoded], 2).write(&expected).unwrap();
        let [written, expected] = [pair, expected].map(|path| image::open(path).unwrap().to_rgb8());
        let far = |(one, other): (&u8, &u8)| one.abs_diff(*other) > 1;
        assert!(
            written.len() == expected.len() && !written.iter().zip(expected.iter()).any(far),
            "more than 1/255 apart"
        );
    }
}

fn grid(indices: &Tensor, codes: i64) -> TokenGrid {
    TokenGrid::new(indices.unsqueeze(1), vec![codes]).unwrap()
}

/// The checkpoint of a golden.
fn file(golden: &Golden) -> String {
    golden.config()["file"].as_str().unwrap().to_owned()
}

/// The images of a golden are square; their side as an argument.
fn side(golden: &Golden, images: &str) -> String {
    golden.input(images).size()[3].to_string()
}

#[test]
fn golden_taming_vqgan_ckpt() {
    check_taming("taming-vqgan-ckpt");
}

#[test]
fn golden_taming_vqgan_ckpt_legacy() {
    check_taming("taming-vqgan-ckpt-legacy");
}

/// The checkpoint has the weights of `taming-vqgan`, whose images and tokens are recorded there.
fn check_taming(component: &str) {
    let (golden, forward) = (Golden::open(component), Golden::open("taming-vqgan"));
    let imported = Imported::of(&golden, &[&file(&golden)], &[]);
    let images = forward.input("x");
    let indices = imported.indices(&images);
    forward.equal("indices", &indices.view_as(&forward.input("indices")));
    forward.close("reconstruction", &imported.decode(&indices));
    imported.check_commands(&images);
    let discriminator = crate::vqkit::weights(&imported.run.join("tokenizer/last/discriminator.safetensors"));
    assert!(!discriminator.is_empty());
    for key in golden.keys().filter_map(|key| key.strip_prefix("state_dict/loss.discriminator.")) {
        golden.equal(&format!("state_dict/loss.discriminator.{key}"), &discriminator[key]);
    }
}

#[test]
fn golden_taming_gumbel_ckpt() {
    let golden = Golden::open("taming-gumbel-ckpt");
    Imported::of(&golden, &[&file(&golden)], &[]).check(&golden, "x", "indices", "reconstruction");
}

#[test]
fn golden_llamagen_vq_ckpt() {
    let golden = Golden::open("llamagen-vq-ckpt");
    let file = file(&golden);
    let imported = Imported::of(&golden, &[&file], &["--image-size", &side(&golden, "x")]);
    imported.check(&golden, "x", "model/indices", "model/reconstruction");
}

#[test]
fn golden_llamagen_vq_ckpt_train() {
    let golden = Golden::open("llamagen-vq-ckpt-train");
    let file = file(&golden);
    for weights in [Weights::Ema, Weights::Model] {
        let more = ["--image-size", &side(&golden, "x"), "--weights", &weights.to_string()];
        let imported = Imported::of(&golden, &[&file], &more);
        imported.check(&golden, "x", &format!("{weights}/indices"), &format!("{weights}/reconstruction"));
    }
    let averaged = Imported::of(&golden, &[&file], &["--image-size", &side(&golden, "x")]);
    golden.close("ema/reconstruction", &averaged.decode(&golden.input("ema/indices")));
}

/// A transformer over the tokens of its own VQGAN: tokens, logits and greedy images.
fn check_net2net(component: &str, condition: impl Fn(&Golden) -> Condition) {
    let golden = Golden::open(component);
    let imported = Imported::of(&golden, &[&file(&golden)], &[]);
    let images = golden.input("x");
    let indices = imported.indices(&images);
    golden.equal("z_indices", &indices.flatten(1, 2));
    golden.close("reconstruction", &imported.decode(&indices));
    imported.check_commands(&images);
    let priors = imported.priors();
    let prior = priors[0].as_autoregressive().unwrap();
    let codes = prior.spec().target.sizes[0];
    let target = grid(&indices, codes);
    let logits = prior.logits(&target, &condition(&golden)).unwrap();
    golden.close("logits", &logits.flatten(2, 3).transpose(1, 2));
    let loss = prior.loss(std::slice::from_ref(&target), &condition(&golden), false).unwrap().image;
    golden.close("loss", &loss);
    let greedy = greedy(&*priors[0], &condition(&golden), images.size()[0], 1.0);
    golden.equal("sample_det", &greedy.flatten(1, 2));
    golden.close("img_det", &imported.decode(&greedy));
}

/// The likeliest tokens `[B, h, w]`, one after the other.
fn greedy(prior: &dyn Prior, condition: &Condition, batch: i64, cfg_scale: f64) -> Tensor {
    let sampling = AutoregressiveSampling { temperature: 0.0, cfg_scale, ..AutoregressiveSampling::default() };
    let options = SampleOptions { sampling: Sampling::Autoregressive(sampling), ..SampleOptions::new(batch) };
    prior.generate(condition, &options).unwrap().tokens[0].indices.squeeze_dim(1)
}

#[test]
fn golden_taming_net2net_ckpt() {
    check_net2net("taming-net2net-ckpt", |golden| {
        Condition::none().with_class(golden.input("c_indices").squeeze_dim(1))
    });
}

#[test]
fn golden_taming_net2net_ckpt_sos() {
    check_net2net("taming-net2net-ckpt-sos", |_| Condition::none());
}

#[test]
fn golden_taming_net2net_ckpt_coord() {
    check_net2net("taming-net2net-ckpt-coord", |golden| condition_grid(golden, "n_embed"));
}

#[test]
fn golden_taming_net2net_ckpt_cond() {
    check_net2net("taming-net2net-ckpt-cond", |golden| condition_grid(golden, "n_embed"));
    let golden = Golden::open("taming-net2net-ckpt-cond");
    let imported = Imported::of(&golden, &[&file(&golden)], &[]);
    let run = Run::open(&imported.run).unwrap();
    let template = load::tokenizer(&run, vqkit::recipe::Modality::Template, &imported.context).unwrap();
    let tokens = template.tokens(&golden.input("c")).unwrap();
    golden.equal("c_indices", &tokens[0].indices.flatten(1, 3));
    golden.close("cond_rec", &tch::no_grad(|| template.decode(&tokens)).unwrap());
}

/// The recorded tokens of a condition, as a square grid.
fn condition_grid(golden: &Golden, codes: &str) -> Condition {
    let tokens = golden.input("c_indices");
    let side = (tokens.size()[1] as f64).sqrt() as i64;
    let codes = golden.config()["config"]["cond_stage_config"]["params"][codes].as_i64().unwrap();
    Condition::none().with_grid(grid(&tokens.view([-1, side, side]), codes))
}

/// A tokenizer with LlamaGen's names whose grids the transformers of a golden write: small, with random weights.
fn llamagen_tokenizer(folder: &Path, codes: i64) -> PathBuf {
    let vs = tch::nn::VarStore::new(tch::Device::Cpu);
    let config = VqganConfig {
        ch: 32,
        ch_mult: vec![1, 1],
        num_res_blocks: 1,
        attn_resolutions: vec![4],
        resolution: 8,
        z_channels: 8,
        embed_dim: 4,
        ..VqganConfig::imagenet_f16()
    };
    let quantizer = serde_json::json!({ "type": "vq", "metric": "cosine", "codebook_size": codes });
    config.build(&vs.root(), 3, &serde_json::from_value(quantizer).unwrap()).unwrap();
    let named =
        weights::tensors(&vs).into_iter().filter(|(name, _)| !name.ends_with("age") && !name.ends_with("initted"));
    let tensors: BTreeMap<String, Tensor> =
        named.map(|(name, value)| (llamagen_name(&name, 2).unwrap(), value)).collect();
    let path = folder.join("vq.safetensors");
    weights::save(&path, &tensors, &BTreeMap::new()).unwrap();
    path
}

#[test]
fn golden_llamagen_gpt_ckpt() {
    let golden = Golden::open("llamagen-gpt-ckpt");
    let config = &golden.config()["config"];
    let integer = |key: &str| config[key].as_i64().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let tokenizer = llamagen_tokenizer(folder.path(), integer("vocab_size"));
    let side = (integer("block_size") as f64).sqrt() as i64;
    let training = golden.config()["files"].as_object().unwrap();
    let named = |part: &str| training.keys().find(|file| file.contains(part)).unwrap().clone();
    let (training, fsdp) = (named(".pt"), named("consolidated"));
    for (file, weights, key) in
        [(&training, "model", "model"), (&training, "ema", "ema"), (&fsdp, "model", "consolidated")]
    {
        let paths = [tokenizer.as_path(), &golden.path(file)];
        let imported = Imported::of_paths(&paths, &["--weights", weights]);
        let priors = imported.priors();
        let prior = priors[0].as_autoregressive().unwrap();
        assert_eq!(prior.spec().target.grid, [side, side]);
        let target = grid(&golden.input("idx").view([-1, side, side]), integer("vocab_size"));
        let condition = Condition::none().with_class(golden.input("cond"));
        // The last row predicts what would follow the picture.
        let logits = prior.logits(&target, &condition).unwrap().flatten(2, 3).transpose(1, 2);
        let recorded = golden.input(&format!("{key}/logits")).narrow(1, 0, side * side);
        let difference = (logits - recorded).abs().max().double_value(&[]);
        assert!(difference <= golden.tolerance(&format!("{key}/logits")), "{key}: {difference:e}");
        let batch = golden.input("cond").size()[0];
        let scale = config["cfg_scale"].as_f64().unwrap();
        for (name, scale) in [("greedy_nocfg", 1.0), ("greedy_cfg", scale)] {
            let tokens = greedy(&*priors[0], &condition, batch, scale);
            golden.equal(&format!("{key}/{name}"), &tokens.flatten(1, 2));
        }
        let drawn = folder.path().join(format!("drawn-{key}"));
        succeed(&["sample", text(&imported.run), "--class-index", "1", "-n", "2", "-o", text(&drawn)]);
        assert!(drawn.join("000001.png").is_file());
    }
    let alone = folder.path().join("alone");
    let message = fail(&["import", text(&golden.path(&training)), "-o", text(&alone)], &[1]);
    assert!(message.contains("holds a prior alone") && !alone.exists(), "{message}");
}

/// The weights of the transformer that is conditioned on the embeddings of a text, in a file as it is published.
#[test]
fn a_prior_by_text_is_as_good_as_where_it_comes_from() {
    let golden = Golden::open("llamagen-gpt-t2i");
    let integer = |key: &str| golden.config()["config"][key].as_i64().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let tokenizer = llamagen_tokenizer(folder.path(), integer("vocab_size"));
    let path = folder.path().join("t2i.safetensors");
    weights::save(&path, &golden.weights(), &BTreeMap::new()).unwrap();
    std::fs::write(folder.path().join("t2i.json"), golden.config()["config"].to_string()).unwrap();
    let imported = Imported::of_paths(&[tokenizer.as_path(), &path], &[]);
    let priors = imported.priors();
    let side = (integer("block_size") as f64).sqrt() as i64;
    let prior = priors[0].as_autoregressive().unwrap();
    assert_eq!(prior.spec().target.grid, [side, side]);
    let by_text = |mask| Condition::none().with_embedding(Embedding { values: golden.input("cond"), mask });
    let target = grid(&golden.input("idx").view([-1, side, side]), integer("vocab_size"));
    let logits = prior.logits(&target, &by_text(None)).unwrap();
    golden.close("train_logits", &logits.flatten(2, 3).transpose(1, 2));
    let condition = by_text(Some(golden.input("emb_masks").to_kind(Kind::Bool)));
    let scale = golden.config()["config"]["cfg_scale"].as_f64().unwrap();
    for (name, scale) in [("greedy_nocfg", 1.0), ("greedy_cfg", scale)] {
        let tokens = greedy(&*priors[0], &condition, golden.input("cond").size()[0], scale);
        golden.equal(name, &tokens.flatten(1, 2));
    }
    let (prompts, drawn) = (folder.path().join("prompts.safetensors"), folder.path().join("drawn"));
    let prompt = golden.input("cond").get(0).contiguous();
    weights::save(&prompts, &BTreeMap::from([("prompt".to_owned(), prompt)]), &BTreeMap::new()).unwrap();
    succeed(&["sample", text(&imported.run), "--embedding", text(&prompts), "-n", "1", "-o", text(&drawn)]);
    assert!(drawn.join("000000.png").is_file());
}

#[test]
fn golden_rosinality_ckpt() {
    let golden = Golden::open("rosinality-ckpt");
    let size = side(&golden, "x");
    // Each name ends in the number of an epoch.
    let names = || std::fs::read_dir(golden.path("")).unwrap().map(|entry| entry.unwrap().file_name());
    let is_of = |name: &str, part: &str| {
        let epoch = name.strip_prefix(part).and_then(|rest| rest.strip_suffix(".pt"));
        epoch.is_some_and(|epoch| epoch.bytes().all(|digit| digit.is_ascii_digit()))
    };
    let file_of = |part: &str| {
        let mut named = names().map(|name| name.into_string().unwrap()).filter(|name| is_of(name, part));
        named.next().unwrap_or_else(|| panic!("no file {part}….pt"))
    };
    let vqvae = ["vqvae_", "vqvae_ddp_"].map(file_of);
    for file in &vqvae {
        let imported = Imported::of(&golden, &[file], &["--image-size", &size]);
        let tokenizer = imported.tokenizer();
        let tokens = tokenizer.encode_batch(&golden.input("x")).unwrap();
        golden.equal("id_t", &tokens[0].indices.squeeze_dim(1));
        golden.equal("id_b", &tokens[1].indices.squeeze_dim(1));
        golden.close("reconstruction", &tch::no_grad(|| tokenizer.network().decode(&tokens)).unwrap());
    }
    let [bottom, top] = ["pixelsnail_bottom_", "pixelsnail_top_"].map(file_of);
    let imported = Imported::of(&golden, &[&vqvae[0], &bottom, &top], &[]);
    let priors = imported.priors();
    let codes = golden.config()["config"]["vqvae"]["n_embed"].as_i64().unwrap();
    let (top, bottom) = (grid(&golden.input("top"), codes), grid(&golden.input("bottom"), codes));
    let [first, second] = [0, 1].map(|level| priors[level].as_autoregressive().unwrap());
    golden.close("top_logits", &first.logits(&top, &Condition::none()).unwrap());
    golden.close("bottom_logits", &second.logits(&bottom, &Condition::none().with_grid(top)).unwrap());
    let batch = golden.input("top").size()[0];
    let top = greedy(&*priors[0], &Condition::none(), batch, 1.0);
    golden.equal("top_greedy", &top);
    let bottom = greedy(&*priors[1], &Condition::none().with_grid(grid(&top, codes)), batch, 1.0);
    golden.equal("bottom_greedy", &bottom);
    let tokens = [grid(&top, codes), grid(&bottom, codes)];
    let images = tch::no_grad(|| imported.tokenizer().network().decode(&tokens)).unwrap();
    golden.close("sample", &images.clamp(-1.0, 1.0));
}

/// A folder of diffusers: `config.json` and the weights.
fn check_diffusers(component: &str) {
    let golden = Golden::open(component);
    let imported =
        Imported::of(&golden, &["diffusion_pytorch_model.safetensors"], &["--image-size", &side(&golden, "x")]);
    imported.check(&golden, "x", "indices", "sample");
}

#[test]
fn golden_diffusers_vqmodel() {
    check_diffusers("diffusers-vqmodel");
}

#[test]
fn golden_diffusers_movq() {
    check_diffusers("diffusers-movq");
}

#[test]
fn golden_diffusers_vqmodel_lookup() {
    check_diffusers("diffusers-vqmodel-lookup");
}

/// A tokenizer of SEED-Voken, with its averaged weights where it has them, and with those of the optimizer.
fn check_seed(component: &str) {
    let golden = Golden::open(component);
    let file = file(&golden);
    let has_average = golden.has("ema/indices");
    for (weights, key) in
        [("ema", "ema"), ("model", "raw")].into_iter().filter(|(weights, _)| has_average || *weights == "model")
    {
        let imported = Imported::of(&golden, &[&file], &["--weights", weights]);
        imported.check(&golden, "x", &format!("{key}/indices"), &format!("{key}/reconstruction"));
    }
    if has_average {
        let preferred = Imported::of(&golden, &[&file], &[]);
        golden.equal("ema/indices", &preferred.indices(&golden.input("x")));
    }
}

#[test]
fn golden_seed_voken_ibq_ckpt() {
    check_seed("seed-voken-ibq-ckpt");
}

#[test]
fn golden_seed_voken_ibq_ckpt_noema() {
    check_seed("seed-voken-ibq-ckpt-noema");
}

#[test]
fn golden_seed_voken_lfq_ckpt() {
    check_seed("seed-voken-lfq-ckpt");
}

/// Pixels are 0 to 1 in the recording; its weights follow from a formula.
#[test]
fn golden_maskgit_vqgan() {
    let golden = Golden::open("maskgit-vqgan");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("maskgit-vqgan-imagenet-f16-256.safetensors");
    weights::save(&path, &golden.weights(), &BTreeMap::new()).unwrap();
    let imported = Imported::of_paths(&[&path], &["--image-size", &side(&golden, "x")]);
    let images = golden.input("x") * 2.0 - 1.0;
    let indices = imported.indices(&images);
    golden.equal("indices", &indices.flatten(1, 2));
    golden.close("decoded", &((imported.decode(&indices) + 1.0) / 2.0));
    imported.check_commands(&images);
}

#[test]
fn a_training_file_says_what_it_holds() {
    let golden = Golden::open("llamagen-vq-ckpt-train");
    let file = golden.path(&file(&golden));
    let found: Value = serde_json::from_str(&succeed(&["inspect", text(&file), "--json"])).unwrap();
    assert_eq!(found["family"], "llamagen-vq");
    assert_eq!(found["sets"], serde_json::json!([["ema", "ema"], ["model", "model"]]));
    assert!(found["preferred"].as_str().unwrap().contains("averaged"), "{found}");
    assert_eq!(found["networks"][0]["section"]["ch"], golden.config()["config"]["ch"]);
    assert_eq!(found["absent"], serde_json::json!([]));
}
