//! Guidance with kinds of a condition left out: their null values stand in, so nothing that a prior can be conditioned on must be
//! given.

use tch::{Device, Kind, Tensor, nn};
use vqkit_priors::{
    AutoregressiveSampling, Condition, ConditionDropoutMode, Embedding, GatedPixelCnnConfig, Gpt2Config, GridSpec,
    LlamaConfig, PixelSnailConfig, Prior, PriorConfig, PriorSpec,
};
use vqkit_testing::{Draws, generator};
use vqkit_torch::TokenGrid;

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

/// A GPT of classes and a grid of 2 x 2 with seven codes, which are dropped as `mode` says.
fn of_class_and_grid(mode: ConditionDropoutMode) -> (nn::VarStore, Box<dyn Prior>) {
    let spec = PriorSpec::new(vec![11], [3, 4])
        .with_classes(CLASSES)
        .with_condition_grid(GridSpec { sizes: vec![7], grid: [2, 2] });
    let gpt2 = Gpt2Config { condition_dropout: 0.3, condition_dropout_mode: mode, ..Gpt2Config::new(2, 2, 12) };
    build(&PriorConfig::Gpt2(gpt2), &spec)
}

#[test]
fn a_grid_can_be_left_out_where_each_part_is_dropped_by_itself() {
    let grid =
        |token: i64| TokenGrid { indices: Tensor::full([BATCH, 1, 2, 2], token, (Kind::Int64, CPU)), sizes: vec![7] };
    let class = Condition::none().with_class(Tensor::from_slice(&[1i64, 2]));
    let target = TokenGrid { indices: Tensor::zeros([BATCH, 1, 3, 4], (Kind::Int64, CPU)), sizes: vec![11] };
    let loss = |prior: &dyn Prior, given: &Condition, train: bool| {
        let loss = prior.loss(std::slice::from_ref(&target), given, train);
        loss.map(|loss| loss.total.double_value(&[]))
    };
    let (_vs, each) = of_class_and_grid(ConditionDropoutMode::Each);
    let null = each.null(&class.clone().with_grid(grid(3)), BATCH).unwrap();
    assert!(null.grids[0].indices.eq(7).all().int64_value(&[]) == 1, "the null token follows the codes");
    let without = loss(each.as_ref(), &class.clone().with_grid(grid(7)), false).unwrap();
    assert!((without - loss(each.as_ref(), &class.clone().with_grid(grid(3)), false).unwrap()).abs() > 1e-4);
    assert!(loss(each.as_ref(), &class.clone().with_grid(grid(3)), true).unwrap().is_finite());
    let (_vs, together) = of_class_and_grid(ConditionDropoutMode::Together);
    assert!(loss(together.as_ref(), &class.with_grid(grid(7)), false).is_err(), "no null token was trained");
}
