//! Conditions by text, by template and by what is there already: from training to the picture, and what is refused.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use serde_json::Value;
use tempfile::TempDir;
use vqkit_data::{Picture, Pixels, shapes::Scene};
use vqkit_testing::Draws;

use crate::vqkit::{
    SMALL, assert_same, fail, log_likelihoods, recipe, run as call, shared_run, stderr, succeed, text, train, vqkit,
};

/// A small transformer with a null condition.
const GPT: &str = "type = \"gpt2\"\nn_layer = 1\nn_head = 2\nn_embd = 16\ncondition_dropout = 0.2\n";

/// The tokenizer of templates.
const TEMPLATE: &str = r#"
[template]
type = "vqvae"
channels = 8
residual_blocks = 1
residual_channels = 8
downsampling = 4
norm = "batch"
[template.quantizer]
type = "ema"
codebook_size = 12
[template.train]
steps = 30
batch_size = 16
optimizer = "muon"
learning_rate = 1e-3
log_every = 5
validate_every = 15
checkpoint_every = 5
"#;

/// The small recipe with a transformer and another `[condition]`.
fn conditioned(condition: &str) -> String {
    let changes = [
        ("type = \"pixelcnn\"\ndim = 8\nnum_layers = 3\n", GPT),
        ("[condition]\nclass = true\n", condition),
        ("max_objects = 1", "max_objects = 2"),
    ];
    changes.into_iter().fold(SMALL.to_owned(), |recipe, (from, to)| {
        assert_eq!(recipe.matches(from).count(), 1, "{from}");
        recipe.replace(from, to)
    })
}

/// A run that tests share; they only read it.
fn shared(cell: &'static OnceLock<(TempDir, PathBuf)>, recipe: &str) -> &'static Path {
    let (_, path) = cell.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let run = train(folder.path(), recipe, &[]);
        (folder, run)
    });
    path
}

fn text_run() -> &'static Path {
    static RUN: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    shared(&RUN, &conditioned("[condition.text]\nlength = 20\nvocabulary = 64\n"))
}

fn template_run() -> &'static Path {
    static RUN: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    shared(&RUN, &conditioned(&format!("[condition.template]\ntype = \"given\"\n{TEMPLATE}")))
}

fn record(folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(folder.join("samples.json")).unwrap()).unwrap()
}

fn pictures(folder: &Path) -> Vec<Vec<u8>> {
    let count = record(folder)["samples"].as_array().unwrap().len();
    (0..count).map(|index| fs::read(folder.join(format!("{index:06}.png"))).unwrap()).collect()
}

/// Draws into a new folder.
fn sample(folder: &TempDir, run: &Path, arguments: &[&str]) -> PathBuf {
    let count = fs::read_dir(folder.path()).unwrap().count();
    let out = folder.path().join(format!("out-{count}"));
    succeed(&[&["sample", text(run), "-o", text(&out)], arguments].concat());
    out
}

/// A PNG file of grey values or colours.
fn png(folder: &TempDir, name: &str, picture: &Picture) -> String {
    let path = folder.path().join(name);
    let (width, height) = (picture.width(), picture.height());
    let (bytes, colour) = match picture.pixels() {
        Pixels::Gray8(values) => (values.clone(), image::ExtendedColorType::L8),
        _ => (picture.to_rgb8(), image::ExtendedColorType::Rgb8),
    };
    image::save_buffer(&path, &bytes, width, height, colour).unwrap();
    text(&path).to_owned()
}

fn gray(width: u32, height: u32, value: impl Fn(u32, u32) -> u8) -> Picture {
    let values = (0..width * height).map(|place| value(place % width, place / width)).collect();
    Picture::new(width, height, Pixels::Gray8(values)).unwrap()
}

#[test]
fn a_text_steers_the_pictures_and_leaving_it_out_is_unconditional() {
    let folder = tempfile::tempdir().unwrap();
    let run = text_run();
    let drawn = |arguments: &[&str]| sample(&folder, run, &[&["-n", "3"], arguments].concat());
    let circle = drawn(&["--text", "a small red circle"]);
    let differ = |other: &[&str]| assert_ne!(log_likelihoods(&circle), log_likelihoods(&drawn(other)), "{other:?}");
    let same = |one: &Path, other: &[&str], why: &str| assert_eq!(pictures(one), pictures(&drawn(other)), "{why}");
    same(&circle, &["--text", "a small RED circle"], "the case does not matter");
    differ(&["--text", "a large blue cross"]);
    differ(&["--text", "a small red circle", "--cfg", "5"]);
    differ(&["--unconditional"]);
    let free = drawn(&["--unconditional"]);
    same(&free, &["--text", "a small red circle", "--cfg", "0"], "a scale of 0 is the null condition");
    same(&free, &["--unconditional", "--cfg", "3"], "guidance of nothing is the unconditional draw");
}

#[test]
fn captions_are_used_in_turn_and_may_come_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let (red, blue) = ("a small red circle", "a large blue cross");
    let drawn = |arguments: &[&str]| {
        sample(&folder, text_run(), &[&["-n", "6", "--samples-per-condition", "2"], arguments].concat())
    };
    let written = drawn(&["--text", red, "--text", blue]);
    let record = record(&written);
    let captions: Vec<_> = record["samples"].as_array().unwrap().iter().map(|sample| sample["text"].clone()).collect();
    assert_eq!(captions, [red, red, blue, blue, red, red]);
    let file = folder.path().join("captions.txt");
    fs::write(&file, format!("{red}\n\n{blue}\n")).unwrap();
    assert_eq!(pictures(&written), pictures(&drawn(&["--text-file", text(&file)])));
    fs::write(&file, "\n").unwrap();
    let out = folder.path().join("out");
    let message = fail(&["sample", text(text_run()), "--text-file", text(&file), "-o", text(&out)], &[2]);
    assert!(message.contains("captions.txt"), "{message}");
}

#[test]
fn validation_captions_are_the_default_and_every_picture_can_be_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let out = sample(&folder, text_run(), &["-n", "6", "--samples-per-condition", "2", "--cfg", "2", "--seed", "3"]);
    let record = record(&out);
    let samples = record["samples"].as_array().unwrap();
    assert_eq!(samples[0]["text"], samples[1]["text"]);
    assert_ne!(samples[0]["text"], samples[2]["text"]);
    assert!(samples[0]["text"].as_str().unwrap().starts_with("a "), "{}", samples[0]);
    assert!(record["shape_accuracy"]["shape_and_colour"]["of"] == 6, "{}", record["shape_accuracy"]);
    assert!(out.join("overview/sheet.png").is_file());
    let seen = fs::read(text_run().join("tokens/text.json")).unwrap();
    assert!(String::from_utf8(seen).unwrap().contains("circle"));
    let again = folder.path().join("again");
    let of = out.join("samples.json");
    succeed(&["sample", text(text_run()), "--replay", text(&of), "-o", text(&again)]);
    assert_eq!(pictures(&out), pictures(&again));
    let message =
        fail(&["sample", text(template_run()), "--replay", text(&of), "-o", text(&folder.path().join("x"))], &[2]);
    assert!(message.contains("weights other than"), "{message}");
}

#[test]
fn what_a_run_does_not_take_is_explained_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let long = "a small red circle above a large blue cross ".repeat(4);
    let cases: &[(&Path, &[&str], &[&str])] = &[
        (shared_run(), &["--text", "a circle"], &["--text", "takes class"]),
        (shared_run(), &["--template", "x.png"], &["--template", "takes class"]),
        (shared_run(), &["--unconditional"], &["dropout", "class"]),
        (text_run(), &["--class", "circle"], &["--class", "takes text"]),
        (text_run(), &["--text", "§§"], &["--text", "§§", "out of vocabulary"]),
        (text_run(), &["--text", ""], &["--text", "out of vocabulary"]),
        (text_run(), &["--text", &long], &["--text", "tokens", "reads 18"]),
        (text_run(), &["--text", "a circle", "--unconditional"], &["--text", "excludes", "unconditional"]),
        (template_run(), &["--text", "a circle"], &["--text", "takes template"]),
        (template_run(), &["--template", "nowhere.png"], &["--template", "nowhere.png"]),
        (template_run(), &["--keep", "top=0.5"], &["--keep", "--image"]),
        (template_run(), &["--size", "24x48"], &["--size", "larger template"]),
        (text_run(), &["--replay", "nowhere.json"], &["--replay", "nowhere.json"]),
        (text_run(), &["--replay", "nowhere.json", "--seed", "1"], &["--replay", "--seed"]),
    ];
    for (run, arguments, words) in cases {
        let message = fail(&[&["sample", text(run), "-o", text(&out)], *arguments].concat(), &[2]);
        assert!(words.iter().all(|word| message.contains(word)), "{arguments:?}: {message}");
        assert!(fs::read_dir(folder.path()).unwrap().next().is_none(), "{arguments:?} left something");
    }
}

#[test]
fn a_template_steers_the_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let run = template_run();
    let maps = [0, 1]
        .map(|index| png(&folder, &format!("{index}.png"), &Scene::new(9, index, 2).render(24).unwrap().template));
    let drawn = |arguments: &[&str]| sample(&folder, run, &[&["-n", "2"], arguments].concat());
    let first = drawn(&["--template", &maps[0]]);
    assert_eq!(pictures(&first), pictures(&drawn(&["--template", &maps[0]])));
    let differ = |other: &[&str]| assert_ne!(log_likelihoods(&first), log_likelihoods(&drawn(other)), "{other:?}");
    differ(&["--template", &maps[1]]);
    differ(&["--template", &maps[0], "--cfg", "4"]);
    differ(&["--unconditional"]);
    let own = sample(&folder, run, &["-n", "4", "--samples-per-condition", "2"]);
    let record = record(&own);
    assert!(record["shape_accuracy"]["template_mean_iou"].as_f64().unwrap() > 0.0, "{}", record["shape_accuracy"]);
    assert_eq!(record["samples"][0]["template"], record["samples"][1]["template"]);
    let again = folder.path().join("again");
    let of = own.join("samples.json");
    succeed(&["sample", text(run), "--replay", text(&of), "-o", text(&again)]);
    assert_eq!(pictures(&own), pictures(&again));
    let metrics: Value = serde_json::from_slice(&fs::read(run.join("report/metrics.json")).unwrap()).unwrap();
    assert!(metrics["template"]["validation_label_accuracy"].as_f64().unwrap() > 0.0, "{metrics}");
    assert!(metrics["samples_shape_accuracy"]["template_mean_iou"].is_number());
}

#[test]
fn a_template_that_is_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let colour = Picture::new(24, 24, Pixels::Rgb8(vec![3; 3 * 24 * 24])).unwrap();
    let broken = folder.path().join("broken.png");
    fs::write(&broken, b"nothing").unwrap();
    for (file, words) in [
        (png(&folder, "size.png", &gray(24, 25, |_, _| 0)), &["24 x 25", "24 x 24"][..]),
        (png(&folder, "label.png", &gray(24, 24, |x, _| x as u8)), &["6 labels", "label 6"]),
        (png(&folder, "colour.png", &colour), &["label map is in colour"]),
        (text(&broken).to_owned(), &["broken.png", "not an image"]),
    ] {
        let message = fail(&["sample", text(template_run()), "--template", &file, "-o", text(&out)], &[2]);
        assert!(message.contains("--template") && words.iter().all(|word| message.contains(word)), "{message}");
        assert!(!out.exists());
    }
    let file = png(&folder, "fine.png", &gray(24, 24, |_, _| 0));
    let message = fail(&["sample", text(template_run()), "--template-of", &file, "-o", text(&out)], &[2]);
    assert!(message.contains("give the template itself"), "{message}");
}

#[test]
fn a_picture_is_completed_from_what_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let picture = png(&folder, "picture.png", &Scene::new(9, 0, 2).render(24).unwrap().image);
    let complete = |seed: &str, how: &[&str]| {
        let out = folder.path().join(format!("{seed}-{}", how.join("-").replace(['/', '='], "_")));
        succeed(
            &[&["complete", text(text_run()), &picture, "-n", "2", "--seed", seed, "-o", text(&out)], how].concat(),
        );
        out
    };
    let rows = |folder: &Path| {
        let picture = image::open(folder.join("000000.png")).unwrap().to_rgb8();
        let row = |y: u32| (0..24).flat_map(|x| picture.get_pixel(x, y).0).collect::<Vec<u8>>();
        (row(0), row(23))
    };
    let (one, other) = (complete("1", &["--keep", "top=0.5"]), complete("2", &["--keep", "top=0.5"]));
    assert_eq!(rows(&one).0, rows(&other).0, "the top is kept");
    assert_ne!(rows(&one).1, rows(&other).1, "the bottom is drawn");
    assert_eq!(record(&one)["kept"]["mask"][0][0][0], "1 1 1 1 1 1");
    assert_eq!(record(&one)["kept"]["mask"][0][0][3], "0 0 0 0 0 0");
    let mask = png(&folder, "mask.png", &gray(24, 24, |x, y| if x >= 12 && y >= 12 { 255 } else { 0 }));
    let masked = complete("1", &["--mask", &mask, "--text", "a small red circle", "--cfg", "2"]);
    assert_eq!(record(&masked)["kept"]["mask"][0][0][3], "0 0 0 1 1 1");
    let again = folder.path().join("again");
    let of = masked.join("samples.json");
    succeed(&["sample", text(text_run()), "--replay", text(&of), "-o", text(&again)]);
    assert_eq!(pictures(&masked), pictures(&again));

    let out = folder.path().join("refused");
    let small = png(&folder, "small.png", &gray(12, 24, |_, _| 255));
    let dark = png(&folder, "dark.png", &gray(24, 24, |_, _| 0));
    for (how, words) in [
        (&["--mask", small.as_str()][..], &["--mask", "12 x 24", "24 x 24"][..]),
        (&["--mask", &dark], &["keeps no whole token"]),
        (&["--keep", "top=1.5"], &["--keep", "top=S"]),
        (&[], &["--keep", "--mask"]),
    ] {
        let message = fail(&[&["complete", text(text_run()), &picture, "-o", text(&out)], how].concat(), &[2]);
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
        assert!(!out.exists());
    }
}

/// A prior of convolutions takes a class as a bias and a template as aligned maps, and says what is missing.
#[test]
fn a_pixelcnn_takes_a_class_and_a_template() {
    let folder = tempfile::tempdir().unwrap();
    let pixelcnn = "type = \"pixelcnn\"\ndim = 8\nnum_layers = 3\n";
    let condition = format!("[condition]\nclass = true\n[condition.template]\ntype = \"given\"\n{TEMPLATE}");
    let run = train(folder.path(), &conditioned(&condition).replace(GPT, pixelcnn), &[]);
    let maps = [0, 1]
        .map(|index| png(&folder, &format!("{index}.png"), &Scene::new(9, index, 2).render(24).unwrap().template));
    let drawn = |arguments: &[&str]| log_likelihoods(&sample(&folder, &run, &[&["-n", "2"], arguments].concat()));
    let first = drawn(&["--template", &maps[0], "--class", "circle"]);
    assert_ne!(first, drawn(&["--template", &maps[1], "--class", "circle"]));
    assert_ne!(first, drawn(&["--template", &maps[0], "--class", "cross"]));
    let out = folder.path().join("refused");
    let message = fail(&["sample", text(&run), "--template", &maps[0], "-o", text(&out)], &[2]);
    assert!(message.contains("without dropout") && message.contains("class and template"), "{message}");
}

/// Every kind at once, in a transformer of the other kind, on derived templates; larger pictures follow a larger template.
#[test]
fn kinds_combine_and_larger_pictures_follow_a_larger_template() {
    let folder = tempfile::tempdir().unwrap();
    let condition = format!(
        "[condition]\nclass = true\ncoordinates = 16\n[condition.text]\nlength = 20\n[condition.template]\ntype = \"edges\"\n{TEMPLATE}"
    );
    let llama = "type = \"llama\"\nn_layer = 1\nn_head = 2\ndim = 16\nmultiple_of = 8\ncondition_dropout = 0.2\n\
                 text_loss_weight = 0.1\ntokens = \"encode\"\n";
    let of = conditioned(&condition)
        .replace(GPT, llama)
        .replace("image_size = 24", "image_size = 24\nshort_side = 28\ncrop = \"random\"");
    let run = train(folder.path(), &of, &[]);
    let out = sample(&folder, &run, &["-n", "2"]);
    let first = &record(&out)["samples"][0];
    assert!(first["class"].is_string() && first["text"].is_string() && first["template"].is_array(), "{first}");
    let image = png(&folder, "image.png", &Scene::new(9, 3, 2).render(24).unwrap().image);
    let all = ["--template-of", &image, "--class", "circle", "--text", "a small red circle"];
    sample(&folder, &run, &[&["-n", "2"], &all[..]].concat());
    // A kind that is left out has its null value, with guidance as without.
    for guided in [&[][..], &["--cfg", "2"]] {
        sample(&folder, &run, &[&["-n", "1", "--template-of", &image, "--class", "circle"], guided].concat());
        sample(&folder, &run, &[&["-n", "1", "--template-of", &image, "--text", "a circle"], guided].concat());
    }
    let edges = png(&folder, "edges.png", &gray(48, 24, |x, y| u8::from(x % 16 == 3 || y == 12)));
    let wide =
        |seed: &str| sample(&folder, &run, &["-n", "1", "--template", &edges, "--size", "24x48", "--seed", seed]);
    let one = wide("1");
    assert_eq!(image::open(one.join("000000.png")).unwrap().to_rgb8().dimensions(), (48, 24));
    assert_ne!(log_likelihoods(&one), log_likelihoods(&wide("2")));
    let message = fail(&["sample", text(&run), "--template", &edges, "--size", "48x48", "-o", "nowhere"], &[2]);
    assert!(message.contains("48 and 48"), "{message}");
}

#[test]
fn a_template_run_that_was_killed_goes_on_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let of = conditioned(&format!(
        "[condition.template]\ntype = \"downsampled\"\nfactor = 2\n{}",
        TEMPLATE.replace("downsampling = 4", "downsampling = 2")
    ));
    let (path, whole, stopped) =
        (recipe(folder.path(), &of), folder.path().join("whole"), folder.path().join("stopped"));
    succeed(&["train", &path, "--run", text(&whole)]);
    for stage in ["template", "tokenizer", "tokens"] {
        let resume = if stage == "template" { None } else { Some("--resume") };
        let arguments = ["train", &path, "--run", text(&stopped), "--stage", stage];
        succeed(&arguments.into_iter().chain(resume).collect::<Vec<_>>());
    }
    succeed(&["train", &path, "--run", text(&stopped), "--resume"]);
    assert_same(&whole, &stopped);
    // Another run takes both tokenizers.
    let (head, rest) = of.split_once("[tokenizer]").unwrap();
    let (_, rest) = rest.split_once("[condition.template]").unwrap();
    let (condition, _) = rest.split_once("[template]").unwrap();
    let (_, prior) = rest.split_once("[[prior]]").unwrap();
    let from = text(&whole);
    let taken = format!(
        "{head}[tokenizer]\nfrom = \"{from}\"\n[condition.template]{condition}[template]\nfrom = \"{from}\"\n[[prior]]{prior}"
    );
    let other = folder.path().join("other");
    fs::create_dir(&other).unwrap();
    let taker = train(&other, &taken, &[]);
    let tokens = |run: &Path| fs::read(run.join("tokens/train-00000.safetensors")).unwrap();
    assert_eq!(tokens(&taker), tokens(&whole));
}

/// Labels 0, 7 and 9: the classes between have no sample.
#[test]
fn classes_without_samples_are_not_drawn_and_numbers_are_names() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    succeed(&["sample", text(shared_run()), "-n", "30", "-o", text(&images)]);
    let row = |index: usize| format!("images/{index:06}.png,{}\n", [0, 7, 9][index % 3]);
    let manifest = format!("image,class\n{}", (0..30).map(row).collect::<String>());
    fs::write(folder.path().join("labels.csv"), manifest).unwrap();
    let source = format!("type = \"manifest\"\ntrain = \"{}/labels.csv\"", text(folder.path()));
    let of = SMALL
        .replace("type = \"shapes\"\ncount = 96\nvalidation_count = 32\nmax_objects = 1", &source)
        .replace("image_size = 24", "image_size = 24\nvalidation = 0.2");
    assert!(of.contains("manifest"));
    let run = train(folder.path(), &of, &[]);
    let classes = |out: &Path| -> Vec<String> {
        let samples = record(out)["samples"].as_array().unwrap().clone();
        samples.iter().map(|sample| sample["class"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(classes(&sample(&folder, &run, &["-n", "4"])), ["0", "7", "9", "0"]);
    assert_eq!(classes(&sample(&folder, &run, &["-n", "1", "--class-index", "7"])), ["7"]);
    let asked = call(&["sample", text(&run), "-n", "1", "--class", "5"]);
    assert!(
        asked.status.success() && stderr(&asked).contains("class `5` has no training sample"),
        "{}",
        stderr(&asked)
    );
    let message = fail(&["sample", text(&run), "--class", "12"], &[2]);
    assert!(message.contains("no class `12`") && message.contains("class_index"), "{message}");
}

/// Embeddings made elsewhere, one sequence for each image of a folder.
#[test]
fn vectors_beside_the_images_are_a_condition() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    succeed(&["sample", text(shared_run()), "-n", "40", "-o", text(&images)]);
    let names = fs::read_dir(&images).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".png")).collect();
    names.sort();
    let draws = Draws::new(1);
    let vectors_of = |(index, name): (usize, String)| (name, draws.randn(&[1 + index as i64 % 3, 5]));
    let tensors: Vec<_> = names.into_iter().enumerate().map(vectors_of).collect();
    let vectors = folder.path().join("vectors.safetensors");
    tch::Tensor::write_safetensors(&tensors, &vectors).unwrap();
    let source = format!("type = \"folder\"\ntrain = \"{}\"", text(&images));
    let condition = format!("[condition.embedding]\ntrain = [\"{}\"]\nlength = 2\ndim = 5\n", text(&vectors));
    let of = conditioned(&condition)
        .replace("type = \"shapes\"\ncount = 96\nvalidation_count = 32\nmax_objects = 2", &source)
        .replace("image_size = 24", "image_size = 24\nvalidation = 0.2");
    let run = train(folder.path(), &of, &[]);
    let out = sample(&folder, &run, &["-n", "3"]);
    let again = folder.path().join("again");
    let of_record = out.join("samples.json");
    succeed(&["sample", text(&run), "--replay", text(&of_record), "-o", text(&again)]);
    assert_eq!(pictures(&out), pictures(&again));
    assert_ne!(log_likelihoods(&out), log_likelihoods(&sample(&folder, &run, &["-n", "3", "--unconditional"])));
    fs::remove_file(&vectors).unwrap();
    vectors_of_ones_own_are_a_prompt(&folder, &run);
    tch::Tensor::write_safetensors(&tensors, &vectors).unwrap();
    let wide = of.replace("dim = 5", "dim = 6");
    let path = recipe(folder.path(), &wide);
    let output = vqkit(&["train", &path, "--run", text(&folder.path().join("wide"))]).output().unwrap();
    assert!(stderr(&output).contains("condition.embedding.dim: is 6"), "{}", stderr(&output));
}

/// Draws by `--embedding` of a run that was told vectors `[2, 5]`, whose own are gone.
fn vectors_of_ones_own_are_a_prompt(folder: &TempDir, run: &Path) {
    let file = folder.path().join("own.safetensors");
    let write = |tensors: &[(&'static str, [i64; 2])]| {
        let ones = |size: &[i64; 2]| tch::Tensor::ones(size, (tch::Kind::Float, tch::Device::Cpu));
        let tensors: Vec<_> = tensors.iter().map(|(name, size)| (*name, ones(size))).collect();
        tch::Tensor::write_safetensors(&tensors, &file).unwrap();
    };
    write(&[("two", [1, 5]), ("one", [2, 5])]);
    let out = sample(folder, run, &["-n", "3", "--embedding", text(&file)]);
    let record: Value = serde_json::from_slice(&fs::read(out.join("samples.json")).unwrap()).unwrap();
    let keys: Vec<&str> = (0..3).map(|index| record["samples"][index]["embedding"]["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["one", "two", "one"]);
    assert!(out.join("overview/sheet.png").is_file());
    assert_ne!(log_likelihoods(&out), log_likelihoods(&sample(folder, run, &["-n", "3", "--unconditional"])));
    let again = folder.path().join("own-again");
    let of_record =
        ["sample", text(run), "--replay", text(&out.join("samples.json")), "-o", text(&again)].map(str::to_owned);
    let of_record = of_record.each_ref().map(String::as_str);
    succeed(&of_record);
    assert_eq!(pictures(&out), pictures(&again));
    fs::remove_dir_all(&again).unwrap();

    write(&[("two", [1, 5]), ("one", [1, 5])]);
    assert!(fail(&of_record, &[2]).contains("the vectors of one differ"));
    let refuse = |words: &[&str]| {
        let message = fail(&["sample", text(run), "--embedding", text(&file), "-o", text(&again)], &[2]);
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
        assert!(!again.exists());
    };
    write(&[("wide", [1, 6])]);
    refuse(&["--embedding", "width 6", "takes 5"]);
    write(&[("long", [3, 5])]);
    refuse(&["--embedding", "3 vectors", "reads 2"]);
    write(&[]);
    refuse(&["--embedding", "holds no vectors"]);
    fs::remove_file(&file).unwrap();
    refuse(&["--embedding", "own.safetensors"]);
    let message = fail(&["sample", text(shared_run()), "--embedding", text(&file), "-o", text(&again)], &[2]);
    assert!(message.contains("--embedding: this run takes class"), "{message}");
}

#[test]
fn recipes_whose_conditions_do_not_fit_are_refused_before_a_run_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let pixelcnn = "type = \"pixelcnn\"\ndim = 8\nnum_layers = 3\n";
    for (of, words) in [
        (conditioned("[condition.text]\nlength = 2\n"), &["text.length", "3 to 4096"][..]),
        (
            conditioned("[condition.text]\ntokenizer = \"nowhere.json\"\n"),
            &["condition.text.tokenizer", "nowhere.json"],
        ),
        (conditioned("[condition.text]\n").replace(GPT, pixelcnn), &["`pixelcnn` takes no text"]),
        (conditioned("[condition.template]\ntype = \"given\"\n"), &["template", "needs [template]"]),
        (conditioned(TEMPLATE), &["condition.template"]),
        (
            conditioned(&format!("[condition.template]\ntype = \"downsampled\"\nfactor = 7\n{TEMPLATE}")),
            &["template.factor", "7"],
        ),
        (conditioned(&format!("[condition.template]\ntype = \"sketch\"\n{TEMPLATE}")), &["sketch", "edges"]),
        (
            conditioned(&format!(
                "[condition.template]\ntype = \"given\"\n{TEMPLATE}[template.loss]\nreconstruction = \"l1\"\n"
            )),
            &["reconstruction", "cross-entropy"],
        ),
        (conditioned("[condition]\ncoordinates = 1\n"), &["coordinates", "2 to 65536"]),
    ] {
        let message = fail(&["train", &recipe(folder.path(), &of), "--run", text(&run)], &[1, 2]);
        assert!(words.iter().all(|word| message.contains(word)), "{words:?}: {message}");
        assert!(!run.exists());
    }
}
