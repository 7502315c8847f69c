//! Every wrong recipe gives one clear message, and nothing is written.

use std::process::Output;

use crate::vqkit::{ADVERSARIAL, SMALL, fail, recipe, stderr, text, vqkit};

/// Overrides of the small recipe, and what the message must say beside them: the place, and the reason or what is allowed.
const WRONG: &[(&str, &[&str])] = &[
    ("seed=-1", &["seed: invalid value", "expected u64"]),
    ("name=a/b", &["name: `a/b` cannot name a folder"]),
    ("precision=fp8", &["precision: unknown variant `fp8`", "`bf16`"]),
    ("colour=red", &["unknown key or section `colour`", "tokenizer"]),
    ("data.image_size=0", &["data.image_size: must be 1 to 4096"]),
    ("data.image_size=26", &["26 by 26 pixels", "multiples of 4"]),
    ("data.source.type=folders", &["data.source.type: unknown type `folders`", "shapes"]),
    ("data.source.count=0", &["data.source.count: must be at least 1"]),
    ("data.validation=1.5", &["data.validation: ", "between 0 and 1"]),
    ("tokenizer.type=vqgna", &["tokenizer.type: unknown type `vqgna`", "vqvae2"]),
    ("tokenizer.channels=wide", &["tokenizer.channels: invalid type", "expected i64"]),
    ("tokenizer.downsampling=3", &["tokenizer.downsampling: ", "one of 2, 4, 8, 16, 32, 64"]),
    ("tokenizer.quantizer.codebook_sise=16", &["unknown field `codebook_sise`", "`codebook_size`"]),
    ("tokenizer.quantizer.codebook_size=0", &["tokenizer.quantizer.codebook_size: 0 codes", "at least 2"]),
    ("tokenizer.quantizer.type=magic", &["tokenizer.quantizer.type: unknown type `magic`", "ema"]),
    ("tokenizer.quantizer={ type = \"fsq\", levels = [8, 1] }", &["tokenizer.quantizer.levels: 1 level", "at least 2"]),
    (
        "tokenizer.quantizer={ type = \"lfq\", codebook_size = 1000 }",
        &["tokenizer.quantizer.codebook_size: 1000 codes", "power of two"],
    ),
    (
        "tokenizer.quantizer={ type = \"residual\", num_quantizers = 2, quantizer = { type = \"fsq\", levels = [8] } }",
        &["tokenizer.quantizer.quantizer: ", "ema"],
    ),
    (
        "tokenizer.quantizer={ type = \"product\", groups = 2, quantizer = { codebook_sise = 8, type = \"ema\" } }",
        &["tokenizer.quantizer.quantizer.codebook_sise", "codebook_size"],
    ),
    (
        "tokenizer.quantizer={ type = \"residual\", num_quantizers = 2, quantizer = { type = \"ema\", codebook_size = 8 } }",
        &["pixelcnn", "one codebook"],
    ),
    ("tokenizer.loss.reconstruction=l3", &["tokenizer.loss.reconstruction: unknown variant `l3`", "l2"]),
    ("tokenizer.train.steps=0", &["tokenizer.train.steps: must be at least 1"]),
    ("tokenizer.train.batch_size=many", &["tokenizer.train.batch_size: invalid type", "expected usize"]),
    ("tokenizer.train.learning_rate=-1.0", &["tokenizer.train.learning_rate: must be a positive number"]),
    ("tokenizer.train.ema_decay=1.0", &["tokenizer.train.ema_decay: must be in [0, 1)"]),
    ("prior.0.num_layers=0", &["prior.0.num_layers: must be at least 1"]),
    ("evaluate.batch_size=0", &["evaluate.batch_size: must be at least 1"]),
    ("sample.sampling.cfg_scale=2", &["guidance needs a prior", "class_dropout"]),
    ("prior.0.predicts=[1]", &["prior.0: `predicts`", "not one of the tokenizer's 1 levels"]),
    ("prior.0.predicts=[]", &["prior.0: `predicts`", "needs at least one level"]),
    ("sample.weight_dtype=int8", &["no int8 weights", "fp32"]),
    ("sample.size=[25, 24]", &["multiples of the tokenizer's downsampling, 4"]),
    ("prior.0.type=transformer", &["prior.0.type: unknown type `transformer`", "gpt2", "pixelcnn"]),
    ("prior.1.dim=8", &["`prior` has 1 entries"]),
    ("sample.count=0", &["sample.count: must be at least 1"]),
    ("sample.sampling.temperature=-0.5", &["`temperature`: must be 0 (greedy) or positive"]),
    ("condition.klass=true", &["unknown field `klass`", "`class`"]),
    ("condition.num_classes=0", &["condition.num_classes: must be at least 1"]),
    ("condition={ class = false, num_classes = 4 }", &["condition.num_classes: ", "condition.class = true"]),
    ("prior.0.tokens=file", &["prior.0.tokens: unknown variant `file`", "`encode`"]),
    ("prior.0.train.grad_accumulation=3", &["prior.0.train.grad_accumulation: ", "divide batch_size = 16"]),
    ("prior.0.class_dropout=1.0", &["prior.0.class_dropout: must lie in [0, 1)"]),
    ("tokenizer.from=runs/other", &["tokenizer.type: ", "tokenizer.from = \"runs/other\"", "not both"]),
    ("tokenizer={ from = \"no/such/run\" }", &["tokenizer.from: there is no no/such/run"]),
    ("tokenizer={ from = 3 }", &["tokenizer.from: invalid type", "string"]),
    (
        "features={ widths = [8], train = { steps = 1, batch_size = 4, grad_accumulation = 2, learning_rate = 1e-3 } }",
        &["features.train.grad_accumulation: must be 1 in [features]", "found 2"],
    ),
];

/// Overrides of the adversarial recipe, and what the message must say beside them.
const WRONG_GAMES: &[(&str, &[&str])] = &[
    ("tokenizer.loss.perceptual.wieght=1.0", &["unknown field `wieght`", "`weight`"]),
    ("tokenizer.loss.perceptual.weight=-1.0", &["tokenizer.loss.perceptual.weight: must be 0 or more"]),
    ("tokenizer.loss.perceptual.type=vgg19", &["tokenizer.loss.perceptual.type: unknown type `vgg19`", "lpips"]),
    ("tokenizer.loss.perceptual.weights=run", &["tokenizer.loss.perceptual.weights: ", "[features]"]),
    ("tokenizer.loss.adversarial.start=3", &["unknown field `start`", "`start_step`"]),
    (
        "tokenizer.loss.adversarial.loss=wasserstein",
        &["tokenizer.loss.adversarial.loss: unknown variant `wasserstein`", "hinge"],
    ),
    (
        "tokenizer.loss.adversarial.lecam_decay=1.0",
        &["tokenizer.loss.adversarial.lecam_decay: ", "at least 0 and below 1"],
    ),
    ("tokenizer.loss.adversarial.discriminator.nlayers=3", &["unknown field `nlayers`", "`n_layers`"]),
    ("tokenizer.loss.adversarial.discriminator.ndf=0", &["adversarial.discriminator.ndf: ", "at least 1"]),
    (
        "tokenizer.loss.adversarial.discriminator.n_layers=4",
        &["adversarial.discriminator.n_layers: ", "at least 48 pixels", "data.image_size is 24"],
    ),
    (
        "tokenizer.loss.adversarial.discriminator.norm=group",
        &["adversarial.discriminator.norm: unknown variant `group`", "actnorm"],
    ),
    ("tokenizer.loss.adversarial.train.steps=3", &["unknown field `steps`", "learning_rate"]),
    (
        "tokenizer.loss.adversarial.train.learning_rate=0.0",
        &["adversarial.train.learning_rate: must be a positive number"],
    ),
    ("tokenizer.loss.adversarial.train.betas=[0.5, 1.0]", &["adversarial.train.betas: must be in [0, 1)"]),
    ("tokenizer.finetune={ from = \"x\", part = \"all\" }", &["tokenizer.finetune.part", "train"]),
    ("tokenizer.finetune={ train = \"all\" }", &["tokenizer.finetune: missing field `from`"]),
    (
        "tokenizer.finetune={ from = \"x\", train = \"encoder\" }",
        &["tokenizer.finetune.train: unknown variant `encoder`", "decoder"],
    ),
    ("tokenizer.train.grad_accumulation=3", &["tokenizer.train.grad_accumulation: ", "divide batch_size = 8"]),
    ("tokenizer.train.grad_accumulation=0", &["tokenizer.train.grad_accumulation: must be at least 1"]),
    ("data.color=gray", &["tokenizer.loss.perceptual.type: ", "3 channels", "data.color gives 1"]),
    (
        "tokenizer.loss.perceptual.weights=no-such.safetensors",
        &["tokenizer.loss.perceptual.weights: there is no no-such.safetensors"],
    ),
    (
        "features={ widths = [8], shift = 24, train = { steps = 1, batch_size = 4, learning_rate = 1e-3 } }",
        &["features.shift", "below data.image_size = 24"],
    ),
];

#[test]
fn a_wrong_key_or_value_is_named() {
    check(SMALL, WRONG);
}

#[test]
fn a_wrong_key_or_value_of_a_game_is_named() {
    check(ADVERSARIAL, WRONG_GAMES);
}

fn check(of: &str, wrong: &[(&str, &[&str])]) {
    let folder = tempfile::tempdir().unwrap();
    let (recipe, run) = (recipe(folder.path(), of), folder.path().join("run"));
    for (assignment, wanted) in wrong {
        // The message repeats the override: what stands in it already shows nothing.
        let echoed: Vec<_> = wanted.iter().filter(|part| assignment.contains(**part)).collect();
        assert!(echoed.is_empty(), "`{assignment}` itself contains {echoed:?}: look for what only the message says");
        let message = fail(&["train", &recipe, "--run", text(&run), "--set", assignment], &[1, 2]);
        for part in *wanted {
            assert!(message.contains(part), "`{assignment}` should say `{part}`: {message}");
        }
        assert!(!run.exists(), "`{assignment}` left a run behind");
    }
}

#[test]
fn a_mistake_in_the_file_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let check = |from: &str, to: &str, named: &str| {
        assert!(SMALL.contains(from));
        let recipe = recipe(folder.path(), &SMALL.replacen(from, to, 1));
        let message = fail(&["train", &recipe, "--run", text(&run)], &[2]);
        assert!(message.contains(named), "{message}");
    };
    check("channels = 8", "chanels = 8", "recipe.toml:15: tokenizer.chanels");
    check("decay = 0.9\n", "decay = 0.9\nema = 1\n", "tokenizer.train.ema");
    check("[data.source]", "[data.sauce]", "data.sauce");
    check("[tokenizer]", "[tokeniser]", "recipe.toml:13: tokeniser: unknown key or section");
    check("seed = 7", "seed = = 7", "recipe.toml:3");
    check("weight_decay = 0.01", "grad_accumulation = 5", "prior.0.train.grad_accumulation");
    check("type = \"vqvae\"", "from = \"runs/other\"", "recipe.toml:15: tokenizer.channels: tokenizer.from");
}

#[test]
fn a_mistake_in_a_game_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let check = |from: &str, to: &str, key: &str| {
        assert!(ADVERSARIAL.contains(from));
        let wrong = ADVERSARIAL.replacen(from, to, 1);
        let last = to.lines().last().unwrap();
        let line = 1 + wrong.lines().collect::<Vec<_>>().iter().rposition(|line| *line == last).unwrap();
        let recipe = recipe(folder.path(), &wrong);
        let message = fail(&["train", &recipe, "--run", text(&run)], &[2]);
        assert!(message.contains(&format!("recipe.toml:{line}: {key}")), "line {line}, {key}: {message}");
        assert!(!run.exists(), "{key}");
    };
    let adversarial = "tokenizer.loss.adversarial";
    check("weights = \"cifar10\"", "wieghts = 3", "tokenizer.loss.perceptual.wieghts");
    check("weights = \"cifar10\"", "weights = \"run\"", "tokenizer.loss.perceptual.weights");
    check("ramp_steps = 4", "ramp = 4", &format!("{adversarial}.ramp"));
    check("r1_every = 4", "r1_every = 0", &format!("{adversarial}.r1_every"));
    check("ndf = 8", "ndff = 8", &format!("{adversarial}.discriminator.ndff"));
    check("n_layers = 2", "n_layers = 4", &format!("{adversarial}.discriminator.n_layers"));
    check("learning_rate = 1e-3\n", "learning_rate = -2e-3\n", &format!("{adversarial}.train.learning_rate"));
    check("learning_rate = 1e-3\n", "clip = 1\n", &format!("{adversarial}.train.clip"));
    check("grad_accumulation = 2", "grad_accumulation = 3", "tokenizer.train.grad_accumulation");
    let features = "[features]\nwidths = [8]\n[features.train]\nsteps = 1\nbatch_size = 4\nlearning_rate = 1e-3\n";
    let with = |more: &str| format!("keep = 9\n{features}{more}");
    check("checkpoint_every = 4", &with("grad_accumulation = 2"), "features.train.grad_accumulation");
    check("checkpoint_every = 4", &with("epochs = 2"), "features.train.epochs");
    let features_alone = |keys: &str| format!("keep = 9\n{}", features.replace("widths = [8]", keys) + "# end");
    for (keys, key) in [("shifts = 1", "shifts"), ("widths = [8, 8, 8, 8, 8, 8]", "widths"), ("widths = []", "widths")]
    {
        let recipe = recipe(folder.path(), &ADVERSARIAL.replacen("checkpoint_every = 4", &features_alone(keys), 1));
        let line = 1 + std::fs::read_to_string(&recipe).unwrap().lines().position(|line| line == keys).unwrap();
        let message = fail(&["train", &recipe, "--run", text(&run)], &[2]);
        assert!(message.contains(&format!("recipe.toml:{line}: features.{key}")), "{message}");
    }
    let restored = "keep = 9\n[tokenizer.finetune]\nfrom = \"x\"\ndiscriminator = \"restored\"";
    let plain = SMALL.replacen("checkpoint_every = 5\n", &format!("{restored}\n"), 1);
    let line = 1 + plain.lines().position(|line| line == "discriminator = \"restored\"").unwrap();
    let message = fail(&["train", &recipe(folder.path(), &plain), "--run", text(&run)], &[2]);
    assert!(message.contains(&format!("recipe.toml:{line}: tokenizer.finetune.discriminator")), "{message}");
    assert!(message.contains("[tokenizer.loss.adversarial]"), "{message}");
}

#[test]
fn features_need_classes() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let images = crate::vqkit::shared_run().join("samples");
    let source = format!("type = \"folder\"\ntrain = \"{}\"", text(&images));
    let shapes = "type = \"shapes\"\ncount = 96\nvalidation_count = 16\nmax_objects = 1";
    assert!(ADVERSARIAL.contains(shapes));
    let features = "\n[features]\nwidths = [8]\n[features.train]\nsteps = 1\nbatch_size = 4\nlearning_rate = 1e-3\n";
    let recipe = recipe(folder.path(), &(ADVERSARIAL.replace(shapes, &source) + features));
    let message = fail(&["train", &recipe, "--run", text(&run)], &[1, 2]);
    assert!(message.contains("class"), "{message}");
}

/// The adversarial recipe with LPIPS, whose weights are not there and must not be fetched.
fn train_with_lpips(folder: &std::path::Path, optional: bool) -> Output {
    let lpips = format!("type = \"lpips\"\noptional = {optional}");
    let recipe = recipe(folder, &ADVERSARIAL.replace("type = \"vgg\"\nweights = \"cifar10\"", &lpips));
    let run = folder.join("run");
    let few = ["--stage", "tokenizer", "--set", "tokenizer.train.steps=2", "--set", "tokenizer.train.log_every=1"];
    let mut command = vqkit(&[&["train", &recipe, "--run", text(&run)], &few[..]].concat());
    command.env("VQKIT_OFFLINE", "1").env("XDG_CACHE_HOME", folder);
    command.output().expect("the binary starts")
}

#[test]
fn lpips_without_its_weights_says_what_to_put_where() {
    let folder = tempfile::tempdir().unwrap();
    let output = train_with_lpips(folder.path(), false);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let at = text(folder.path());
    for named in ["VQKIT_OFFLINE", "https://download.pytorch.org/models/vgg16-397923af.pth", "397923af8e79", at] {
        assert!(said.contains(named), "{named}: {said}");
    }
    let folder = tempfile::tempdir().unwrap();
    let output = train_with_lpips(folder.path(), true);
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("warning: training continues without the perceptual loss") && said.contains("vgg16"),
        "{said}"
    );
    let log = std::fs::read_to_string(folder.path().join("run/log.jsonl")).unwrap();
    assert!(log.contains("reconstruction") && !log.contains("perceptual"), "{log}");
}

#[test]
fn images_too_small_for_the_perceptual_network_are_refused_before_training() {
    let folder = tempfile::tempdir().unwrap();
    let (recipe, run) = (recipe(folder.path(), ADVERSARIAL), folder.path().join("run"));
    let lpips = "tokenizer.loss.perceptual={ type = \"lpips\" }";
    let folder_of_images = "data.source={ type = \"folder\", train = \"nowhere\" }";
    let set = ["--set", folder_of_images, "--set", "data.image_size=12", "--set", lpips];
    let message = fail(&[&["train", &recipe, "--run", text(&run)], &set[..]].concat(), &[2]);
    assert!(message.contains("at least 16 pixels") && message.contains("data.image_size is 12"), "{message}");
    assert!(!run.exists());
}

#[test]
fn a_number_of_classes_that_the_data_does_not_have_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (recipe, run) = (recipe(folder.path(), SMALL), folder.path().join("run"));
    let message = fail(&["train", &recipe, "--run", text(&run), "--set", "condition.num_classes=7"], &[2]);
    assert!(message.contains("condition.num_classes: is 7") && message.contains("the data has"), "{message}");
}

#[test]
fn what_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let small = recipe(folder.path(), SMALL);
    let at = |arguments: &[&str]| fail(&[arguments, &["--run", text(&run)]].concat(), &[1, 2]);
    assert!(at(&["train", "no-such.toml"]).contains("no-such.toml"));
    assert!(at(&["train", &small, "--device", "cuda:97"]).contains("cuda:97"));
    assert!(at(&["train", &small, "--device", "abacus"]).contains("abacus"));
    assert!(at(&["train", &small, "--threads", "0"]).contains("threads"));
    assert!(at(&["train", &small, "--stage", "magic"]).contains("magic"));
    let elsewhere = SMALL.replace(
        "type = \"shapes\"\ncount = 96\nvalidation_count = 32\nmax_objects = 1",
        "type = \"folder\"\ntrain = \"nowhere\"",
    );
    let message = at(&["train", &recipe(folder.path(), &elsewhere)]);
    assert!(message.contains("nowhere"), "{message}");
}
