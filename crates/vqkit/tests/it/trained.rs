//! A small trained run, which tests share.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock},
};

use tempfile::TempDir;
use vqkit::{
    pipeline::Experiment,
    recipe::Recipe,
    run::{Context, Event, Interrupt, Observer},
};

const RECIPE: &str = r#"
name = "small"
seed = 7

[data]
image_size = 24
[data.source]
type = "shapes"
count = 64
validation_count = 16
max_objects = 1

[tokenizer]
type = "vqvae"
channels = 8
residual_blocks = 1
residual_channels = 8
downsampling = 4
[tokenizer.quantizer]
type = "ema"
codebook_size = 16
[tokenizer.train]
steps = 10
batch_size = 8
learning_rate = 1e-3
log_every = 5

[condition]
class = true

[[prior]]
type = "gpt2"
n_layer = 1
n_head = 2
n_embd = 16
[prior.train]
steps = 10
batch_size = 8
learning_rate = 1e-3

[sample]
count = 9
"#;

/// Keeps what it hears.
#[derive(Debug, Default)]
pub struct Collected(pub Mutex<Vec<String>>);

impl Observer for Collected {
    fn observe(&self, event: &Event) {
        if let Event::Began { task, .. } | Event::Finished { task, .. } = event {
            self.0.lock().unwrap().push((*task).to_owned());
        }
        if let Event::Measures { stage, values, .. } = event {
            self.0.lock().unwrap().extend(values.iter().map(|(name, _)| format!("{stage}/{name}")));
        }
    }
}

/// The run's folder.
pub fn run() -> &'static Path {
    static RUN: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = RUN.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        train(&path);
        (folder, path)
    });
    path
}

fn train(path: &Path) {
    let collected = std::sync::Arc::new(Collected::default());
    let context = Context::new("cpu", None, Interrupt::default(), collected.clone()).unwrap();
    let recipe = Recipe::parse("small", RECIPE, &[]).unwrap();
    let mut session = Experiment::new(recipe, None, &context).unwrap().begin(path).unwrap();
    session.run_stages(None).unwrap();
    let heard = collected.0.lock().unwrap();
    assert!(heard.iter().any(|heard| heard == "tokenizer/reconstruction"), "{heard:?}");
    for task in ["tokenizer", "tokens", "prior/0", "samples"] {
        assert!(heard.iter().filter(|heard| *heard == task).count() >= 2, "{task} began and ended: {heard:?}");
    }
}
