//! Guidance with kinds of a condition left out: their null values stand in, so nothing that a prior can be conditioned on must be
//! given.

use tch::{Device, Kind, Tensor, nn};
use vqkit_priors::{
    AutoregressiveSampling, Condition, Embedding, GatedPixelCnnConfig, Gpt2Config, LlamaConfig, PixelSnailConfig,
    Prior, PriorConfig, PriorSpec,
};
use vqkit_testing::{Draws, generator};

mod one_level;

use self::one_level::sample;

const CPU: Device = Device::Cpu;
const BATCH: i64 = 2;
const CLASSES: i64 = 4;
const LENGTH: i64 = 3;
const VOCABULARY: i64 = 9;
const DIM: i64 = 5;

/// Every prior with null values, by all kinds of conditions that it takes.
fn priors() -> Vec<(nn::VarStore, Box<dyn Prior>)> {
    let spec = || PriorSpec::new(vec![11], [3, 4]).with_classes(CLASSES);
    let worded = || spec().with_text(LENGTH, VOCABULARY);
    let snail = PixelSnailConfig { n_head: 2, class_dropout: 0.2, ..PixelSnailConfig::new(8, 3, 1, 1, 6) };
    let cnn = GatedPixelCnnConfig { head_width: 16, class_dropout: 0.2, ..GatedPixelCnnConfig::new(6, 2) };
    let gpt2 = || Gpt2Config { condition_dropout: 0.2, ..Gpt2Config::new(2, 2, 12) };
    let llama = LlamaConfig { multiple_of: 8, condition_dropout: 0.2, ..LlamaConfig::new(2, 4, 16) };
    let kinds = [
        (PriorConfig::PixelCnn(cnn), spec()),
        (PriorConfig::PixelSnail(snail), spec()),
        (PriorConfig::Gpt2(gpt2()), worded()),
        (PriorConfig::Gpt2(gpt2()), worded().with_embedding(LENGTH, DIM)),
        (PriorConfig::Llama(llama), worded().with_embedding(LENGTH, DIM)),
    ];
    kinds.into_iter().map(|(config, spec)| build(&config, &spec)).collect()
}

/// A prior whose parameters are large enough that its condition matters.
fn build(config: &PriorConfig, spec: &PriorSpec) -> (nn::VarStore, Box<dyn Prior>) {
    tch::set_num_threads(1);
    let _generator = generator(0);
    let vs = nn::VarStore::new(CPU);
    let prior = config.build(&vs.root(), spec).expect("an allowed configuration");
    tch::no_grad(|| {
        for variable in &mut vs.trainable_variables() {
            let _ = variable.g_add_(&(variable.randn_like() * 0.2));
        }
    });
    (vs, prior)
}

/// A condition of those kinds of the prior that `given` says: class, text, embedding.
fn condition(spec: &PriorSpec, [class, text, embedding]: [bool; 3]) -> Condition {
    let draws = Draws::new(3);
    let mut condition = Condition::none();
    if class {
        condition = condition.with_class(draws.randint(CLASSES, &[BATCH]));
    }
    if text && spec.text.is_some() {
        let mask = Tensor::ones([BATCH, LENGTH], (Kind::Bool, CPU));
        condition = condition.with_text(draws.randint(VOCABULARY, &[BATCH, LENGTH]), mask);
    }
    if embedding && spec.embedding.is_some() {
        let values = draws.randint(7, &[BATCH, LENGTH, DIM]).to_kind(Kind::Float) - 3.0;
        condition = condition.with_embedding(Embedding { values, mask: None });
    }
    condition
}

/// `given` with the null values of the kinds that are missing.
fn completed(prior: &dyn Prior, given: &Condition) -> Condition {
    let null = prior.null(given, BATCH).expect("a prior with null values");
    let mut whole = given.clone();
    whole.class = whole.class.or(null.class);
    whole.text = whole.text.or(null.text);
    whole.embedding = whole.embedding.or(null.embedding);
    whole
}

fn draw(prior: &dyn Prior, condition: &Condition, cfg_scale: f64) -> Tensor {
    let sampling = AutoregressiveSampling { cfg_scale, seed: 5, ..AutoregressiveSampling::default() };
    sample(prior, condition, BATCH, &sampling, 0, None).expect("a condition that the prior takes").indices
}

#[test]
fn kinds_that_are_left_out_have_their_null_values_at_every_scale() {
    for (_vs, prior) in priors() {
        let prior = prior.as_ref();
        for kinds in 0..8 {
            let given = condition(prior.spec(), [kinds & 1 != 0, kinds & 2 != 0, kinds & 4 != 0]);
            for cfg_scale in [0.0, 1.0, 1.5, 4.0] {
                let (left_out, whole) =
                    (draw(prior, &given, cfg_scale), draw(prior, &completed(prior, &given), cfg_scale));
                assert_eq!(left_out, whole, "{prior:?} {given:?} {cfg_scale}");
            }
        }
    }
}

#[test]
fn guidance_of_nothing_is_the_unconditional_draw() {
    for (_vs, prior) in priors() {
        let plain = draw(prior.as_ref(), &Condition::none(), 1.0);
        for cfg_scale in [0.0, 1.5, 4.0] {
            assert_eq!(draw(prior.as_ref(), &Condition::none(), cfg_scale), plain, "{prior:?} {cfg_scale}");
        }
        let whole = condition(prior.spec(), [true; 3]);
        assert_ne!(draw(prior.as_ref(), &whole, 4.0), plain, "{prior:?}: the condition changes nothing");
    }
}
