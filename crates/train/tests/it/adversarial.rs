//! A small VQGAN and its discriminator, with random weights, and images for them.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use tch::{Device, Kind, Tensor, nn::VarStore};
use vqkit_losses::{DiscriminatorObjective, GeneratorLoss, SmallVgg, SmallVggConfig};
use vqkit_recipe::{FinetunedPart, Modality, Recipe};
use vqkit_torch::weights;
use vqkit_train::{Step, StepOutput, TrainState};
use vqkit_vqvae::Tokenizer;

/// 24-pixel images, group normalisation in the autoencoder, two halvings in the discriminator.
pub const RECIPE: &str = r#"
name = "adversarial"

[data]
image_size = 24
[data.source]
type = "shapes"
count = 64
validation_count = 8

[tokenizer]
type = "vqgan"
ch = 32
ch_mult = [1, 1]
num_res_blocks = 1
attn_resolutions = []
resolution = 24
z_channels = 8
embed_dim = 8
[tokenizer.quantizer]
type = "vq"
codebook_size = 16
kmeans_init = false
revive_after = 0
[tokenizer.loss]
reconstruction = "l1"
reconstruction_weight = 0.7
[tokenizer.loss.adversarial]
weight = 0.8
[tokenizer.loss.adversarial.discriminator]
ndf = 8
n_layers = 2
norm = "none"
[tokenizer.train]
steps = 60
batch_size = 4
learning_rate = 1e-3
"#;

/// Weight of the perceptual term.
pub const PERCEPTUAL_WEIGHT: f64 = 0.3;

/// Tensors by name.
pub type Named = BTreeMap<String, Tensor>;

/// libtorch's random numbers are drawn from one stream, which all tests share.
static STREAM: Mutex<()> = Mutex::new(());

/// Does `work` with the stream to itself, from its beginning.
pub fn seeded<T>(seed: i64, work: impl FnOnce() -> T) -> T {
    let _alone = STREAM.lock().unwrap_or_else(PoisonError::into_inner);
    tch::manual_seed(seed);
    work()
}

/// A tokenizer and a discriminator, and what they are trained for.
pub struct AdversarialTraining {
    pub tokenizer: Tokenizer,
    pub network: TrainState,
    pub discriminator_objective: DiscriminatorObjective,
    pub discriminator: TrainState,
    pub objective: GeneratorLoss,
    pub images: Tensor,
}

impl AdversarialTraining {
    /// That of the recipe with these overrides; the same weights and images every time.
    pub fn new(overrides: &[&str]) -> Self {
        seeded(3, || Self::draw(overrides))
    }

    fn draw(overrides: &[&str]) -> Self {
        let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
        let recipe = Recipe::parse("adversarial", RECIPE, &overrides).unwrap();
        let config = recipe.tokenizer(Modality::Image).unwrap();
        let (vs, discriminator_vs) = (VarStore::new(Device::Cpu), VarStore::new(Device::Cpu));
        let tokenizer = config.network.build(&vs.root(), 3, &config.quantizer).unwrap();
        let adversarial = config.loss.adversarial.as_ref().unwrap();
        let discriminator_objective =
            DiscriminatorObjective::new(&discriminator_vs.root(), 3, &adversarial.objective).unwrap();
        amplify(&discriminator_vs);
        let perceptual_vs = VarStore::new(Device::Cpu);
        let perceptual = SmallVggConfig { widths: vec![8, 12], convolutions: 1 };
        let perceptual = SmallVgg::new(&perceptual_vs.root(), 3, 4, &perceptual).unwrap().freeze();
        let images = Tensor::rand([4, 3, 24, 24], (Kind::Float, Device::Cpu)) * 2.0 - 1.0;
        Self {
            network: TrainState::new(vs, &config.train, Kind::Float).unwrap(),
            discriminator: TrainState::new(discriminator_vs, &adversarial.train.beside(&config.train), Kind::Float)
                .unwrap(),
            objective: GeneratorLoss {
                reconstruction: config.loss.pixels.reconstruction,
                reconstruction_weight: config.loss.pixels.reconstruction_weight,
                perceptual: Some((PERCEPTUAL_WEIGHT, Box::new(perceptual))),
                kind: Kind::Float,
            },
            tokenizer,
            discriminator_objective,
            images,
        }
    }

    /// Leaves both states the gradients of one step.
    pub fn run(&mut self, grad_accumulation: usize, step: u64) -> StepOutput {
        let Self { tokenizer, network, discriminator_objective, discriminator, objective, images, .. } = self;
        let step_of = Step {
            kind: objective.kind,
            objective,
            part: FinetunedPart::All,
            discriminator_warmup_steps: 0,
            grad_accumulation,
        };
        step_of.run((tokenizer, network), Some((discriminator_objective, discriminator)), images, step).unwrap()
    }
}

/// Larger weights than a discriminator starts with, and averages of LeCam that are not 0: every term has a gradient.
fn amplify(vs: &VarStore) {
    let value = |name: &str, tensor: &Tensor| match name {
        "lecam.ema_real" => tensor.full_like(0.3),
        "lecam.ema_fake" => tensor.full_like(-0.2),
        _ if name.ends_with("weight") && tensor.dim() == 4 => tensor * 6.0,
        _ => tensor.shallow_clone(),
    };
    tch::no_grad(|| {
        for (name, tensor) in weights::tensors(vs) {
            tensor.shallow_clone().copy_(&value(&name, &tensor));
        }
    });
}

/// Copies of the gradients of all variables that have one.
pub fn gradients(state: &TrainState) -> Named {
    let all = weights::trainable(&state.vs).into_iter().filter(|(_, value)| value.grad().defined());
    all.map(|(name, value)| (name, value.grad().copy())).collect()
}

/// Copies of all variables.
pub fn variables(state: &TrainState) -> Named {
    weights::tensors(&state.vs).into_iter().map(|(name, value)| (name, value.detach().copy())).collect()
}

/// The largest difference between tensors of the same names, in units of the largest value of `want`.
pub fn difference(got: &Named, want: &Named) -> f64 {
    assert_eq!(got.keys().collect::<Vec<_>>(), want.keys().collect::<Vec<_>>());
    let largest = |tensor: &Tensor| tensor.to_kind(Kind::Double).abs().max().double_value(&[]);
    let scale = want.values().map(largest).fold(0.0, f64::max);
    let apart = want.iter().map(|(name, want)| largest(&(&got[name] - want)));
    apart.fold(0.0, f64::max) / scale
}
