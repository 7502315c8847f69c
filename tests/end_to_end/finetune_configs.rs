//! The recipes in `configs/finetune`, with networks so small that they are trained in seconds.

use std::path::Path;

use crate::{
    finetune_priors::{last, old_llama, until_priors, write_pictures},
    vqkit::{shared_adversarial, shared_run, succeed, text, weights},
};

fn config(name: &str) -> String {
    text(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/finetune").join(name)).to_owned()
}

const UPDATES: &str = "rank = 2, targets = [\"convolutions\", \"attention\"]";

#[test]
fn a_tokenizer_is_trained_on_own_images() {
    let folder = tempfile::tempdir().unwrap();
    let root = format!("data.root={}", text(&write_pictures(folder.path(), &["ant", "bee"], 24)));
    let from = shared_adversarial().join("tokenizer/last/ema.safetensors");
    let theirs = weights(&from);
    let from = format!("tokenizer.finetune.from={}", text(&from));
    let small = [
        &root,
        &from,
        "precision=fp32",
        "data.image_size=24",
        "data.validation=0.25",
        "tokenizer.ch=32",
        "tokenizer.ch_mult=[1, 1]",
        "tokenizer.num_res_blocks=1",
        "tokenizer.attn_resolutions=[]",
        "tokenizer.resolution=24",
        "tokenizer.z_channels=8",
        "tokenizer.quantizer.codebook_size=16",
        "tokenizer.loss.perceptual={ type = \"vgg\" }",
        "tokenizer.loss.adversarial.discriminator={ ndf = 8, n_layers = 2 }",
        "tokenizer.finetune.discriminator_warmup_steps=2",
        "tokenizer.train.steps=4",
        "tokenizer.train.batch_size=4",
    ];
    let updates = format!("tokenizer.finetune.lora={{ {UPDATES} }}");
    for (name, more) in [("whole", &[][..]), ("updates", &[updates.as_str()])] {
        let (run, recipe) = (folder.path().join(name), config("tokenizer-own-images.toml"));
        let set = small.iter().chain(more).flat_map(|setting| ["--set", *setting]);
        let call = ["train", &recipe, "--run", text(&run), "--stage", "tokenizer"];
        succeed(&call.into_iter().chain(set).collect::<Vec<_>>());
        let ours = weights(&run.join("tokenizer/last/model.safetensors"));
        assert_ne!(ours["decoder.conv_out.weight"], theirs["decoder.conv_out.weight"], "{name}");
        assert_eq!(ours["encoder.conv_out.weight"], theirs["encoder.conv_out.weight"], "{name}");
        assert_eq!(run.join("tokenizer/last/lora.safetensors").is_file(), name == "updates");
    }
}

#[test]
fn a_prior_is_trained_on_classes_of_ones_own() {
    let folder = tempfile::tempdir().unwrap();
    let root = format!("data.root={}", text(&write_pictures(folder.path(), &["ant", "bee", "yak"], 24)));
    let (tokenizer, prior) =
        (format!("tokenizer.from={}", text(shared_run())), format!("prior.0.finetune.from={}", text(old_llama())));
    let small = [
        &root,
        &tokenizer,
        &prior,
        "precision=fp32",
        "data.image_size=24",
        "data.validation=0.25",
        "prior.0.n_layer=2",
        "prior.0.n_head=2",
        "prior.0.dim=16",
        "prior.0.multiple_of=16",
        "prior.0.train.steps=3",
        "prior.0.train.batch_size=4",
    ];
    for (name, more) in [
        ("whole", &[][..]),
        ("updates", &["prior.0.finetune.lora={ rank = 2, targets = [\"attention\", \"mlp\"] }"]),
        ("conditions", &["prior.0.finetune.train=conditions"]),
    ] {
        let run = folder.path().join(name);
        until_priors(&run, &config("classes-own-folders.toml"), &[&small[..], more].concat());
        assert_eq!(last(&run, "model")["cls_embedding.embedding_table.weight"].size(), [4, 16], "{name}");
        let drawn = folder.path().join(format!("{name}-drawn"));
        succeed(&["sample", text(&run), "-n", "1", "--class", "yak", "-o", text(&drawn)]);
        assert!(drawn.join("000000.png").is_file());
    }
}
