//! What transformers make of a text in front of the tokens.

#![allow(clippy::unwrap_used, reason = "what a test unwraps is what it expects")]

use std::slice::from_ref;

use tch::{Device, Kind, Tensor, nn};
use vqkit_priors::{
    Autoregressive, AutoregressiveSampling, BuildPrior, Condition, GatedPixelCnnConfig, Gpt2Config, GridSpec,
    LlamaConfig, PixelSnailConfig, Prior, PriorConfig, PriorSpec,
};
use vqkit_testing::{Draws, generator};
use vqkit_torch::TokenGrid;

mod one_level;

use self::one_level::sample;

const CPU: Device = Device::Cpu;

/// The prior with its cursor.
fn autoregressive(prior: &dyn Prior) -> &dyn Autoregressive {
    prior.as_autoregressive().expect("an autoregressive prior")
}
const CODES: i64 = 13;
const IDS: i64 = 7;
const LENGTH: i64 = 5;

fn spec() -> PriorSpec {
    PriorSpec::new(vec![CODES], [3, 4]).with_text(LENGTH, IDS)
}

/// Both transformers, with weights so large that everything they see matters, and a null condition.
fn models(spec: &PriorSpec, text_loss_weight: f64) -> Vec<(nn::VarStore, Box<dyn Prior>)> {
    let gpt2 = Gpt2Config { condition_dropout: 0.3, text_loss_weight, ..Gpt2Config::new(2, 2, 16) };
    let llama = LlamaConfig {
        condition_dropout: 0.3,
        text_loss_weight,
        multiple_of: 8,
        token_dropout_p: 0.0,
        resid_dropout_p: 0.0,
        ffn_dropout_p: 0.0,
        ..LlamaConfig::new(2, 2, 16)
    };
    tch::set_num_threads(1);
    let build = |config: PriorConfig| {
        let _generator = generator(0);
        let vs = nn::VarStore::new(CPU);
        let prior = config.build(&vs.root(), spec).unwrap();
        tch::no_grad(|| {
            for mut variable in vs.trainable_variables() {
                drop(variable.g_add_(&(variable.randn_like() * 0.1)));
            }
        });
        (vs, prior)
    };
    [PriorConfig::Gpt2(gpt2), PriorConfig::Llama(llama)].into_iter().map(build).collect()
}

/// Texts of these lengths, padding in front.
fn texts(lengths: &[i64]) -> Condition {
    let batch = lengths.len() as i64;
    let places = Tensor::arange(LENGTH, (Kind::Int64, CPU)).unsqueeze(0);
    let mask = places.ge_tensor(&(LENGTH - Tensor::from_slice(lengths)).unsqueeze(1));
    Condition::none().with_text(Draws::new(1).randint(IDS, &[batch, LENGTH]), mask)
}

fn target(batch: i64) -> TokenGrid {
    TokenGrid::new(Draws::new(2).randint(CODES, &[batch, 1, 3, 4]), vec![CODES]).unwrap()
}

fn row(condition: &Condition, index: i64) -> Condition {
    let text = condition.text.as_ref().unwrap();
    Condition::none().with_text(text.ids.narrow(0, index, 1), text.mask.narrow(0, index, 1))
}

fn largest(difference: Tensor) -> f64 {
    difference.abs().max().double_value(&[])
}

#[test]
fn a_cursor_predicts_what_a_full_pass_does_whatever_the_lengths_of_its_neighbours() {
    for (_vs, prior) in models(&spec(), 0.0) {
        let (condition, target) = (texts(&[5, 1, 3]), target(3));
        let full = autoregressive(prior.as_ref()).logits(&target, &condition).unwrap().flatten(2, 3);
        for index in 0..3 {
            let single = TokenGrid { indices: target.indices.narrow(0, index, 1), sizes: vec![CODES] };
            let alone = autoregressive(prior.as_ref()).logits(&single, &row(&condition, index)).unwrap().flatten(2, 3);
            assert!(largest(alone - full.narrow(0, index, 1)) < 2e-5);
        }
        let mut cursor = autoregressive(prior.as_ref()).start(&condition, 3).unwrap();
        for place in 0..12 {
            assert!(largest(cursor.logits().unwrap() - full.select(2, place)) < 2e-5, "{place}");
            cursor.push(&target.indices.flatten(1, 3).select(1, place)).unwrap();
        }
    }
}

#[test]
fn padding_is_never_looked_at_and_everything_else_is() {
    for (_vs, prior) in models(&spec(), 0.0) {
        let (condition, target) = (texts(&[3]), target(1));
        let text = condition.text.as_ref().unwrap();
        let before = autoregressive(prior.as_ref()).logits(&target, &condition).unwrap();
        for place in 0..LENGTH {
            let ids = text.ids.copy();
            let _ = ids.select(1, place).fill_((ids.int64_value(&[0, place]) + 1) % IDS);
            let other = Condition::none().with_text(ids, text.mask.shallow_clone());
            let moved = largest(autoregressive(prior.as_ref()).logits(&target, &other).unwrap() - &before);
            assert_eq!(moved > 0.0, place >= 2, "place {place} moves the logits by {moved}");
        }
    }
}

#[test]
fn no_text_is_the_null_text_and_guidance_moves_away_from_it() {
    for (_vs, prior) in models(&spec(), 0.0) {
        let (condition, target) = (texts(&[4, 2]), target(2));
        let null = prior.null(&condition, 2).unwrap();
        let without = autoregressive(prior.as_ref()).logits(&target, &Condition::none()).unwrap();
        assert_eq!(without, autoregressive(prior.as_ref()).logits(&target, &null).unwrap());
        assert!(largest(without - autoregressive(prior.as_ref()).logits(&target, &condition).unwrap()) > 1e-3);
        let mask = null.text.unwrap().mask.to_kind(Kind::Int64);
        assert_eq!(Vec::<i64>::try_from(mask.get(0)).unwrap(), [0, 0, 0, 0, 1], "it says nothing of a length");
        let draw = |cfg_scale: f64, condition: &Condition| {
            let sampling = AutoregressiveSampling { cfg_scale, ..AutoregressiveSampling::default() };
            sample(prior.as_ref(), condition, 2, &sampling, 0, None).unwrap().indices
        };
        assert_ne!(draw(4.0, &condition), draw(1.0, &condition));
        assert_eq!(draw(0.0, &condition), draw(1.0, &Condition::none()));
    }
}

#[test]
fn a_text_and_other_conditions_combine() {
    let spec = spec().with_classes(3).with_condition_grid(GridSpec { sizes: vec![9], grid: [2, 2] });
    for (_vs, prior) in models(&spec, 0.5) {
        let grid = TokenGrid::new(Draws::new(3).randint(9, &[2, 1, 2, 2]), vec![9]).unwrap();
        let condition = texts(&[2, 5]).with_class(Tensor::from_slice(&[0i64, 2])).with_grid(grid);
        let target = target(2);
        let full = autoregressive(prior.as_ref()).logits(&target, &condition).unwrap().flatten(2, 3);
        let mut cursor = autoregressive(prior.as_ref()).start(&condition, 2).unwrap();
        cursor.prefill(&target.indices.flatten(1, 3).narrow(1, 0, 7)).unwrap();
        assert!(largest(cursor.logits().unwrap() - full.select(2, 7)) < 2e-5);
    }
}

/// The loss of a text is that of its own transformer over ids; a text that was dropped has none.
#[test]
fn the_loss_of_a_text_counts_what_is_no_padding() {
    for (vs, prior) in models(&spec(), 0.25) {
        let (condition, target) = (texts(&[4, 2]), target(2));
        let loss = prior.loss(from_ref(&target), &condition, false).unwrap();
        let text = loss.text.as_ref().unwrap().double_value(&[]);
        let total = loss.image.double_value(&[]) + 0.25 * text;
        assert!((loss.total.double_value(&[]) - total).abs() < 1e-6);
        let alone = [0, 1].map(|index| {
            let single = TokenGrid { indices: target.indices.narrow(0, index, 1), sizes: vec![CODES] };
            prior.loss(from_ref(&single), &row(&condition, index), false).unwrap().text.unwrap().double_value(&[])
        });
        assert!((text - (3.0 * alone[0] + alone[1]) / 4.0).abs() < 1e-5, "{text} {alone:?}");
        let null = prior.null(&condition, 2).unwrap();
        let none = prior.loss(from_ref(&target), &null, false).unwrap().text.unwrap();
        assert_eq!(none.double_value(&[]), 0.0);
        loss.total.backward();
        let named = vs.variables();
        let head = named.iter().find(|(name, _)| name.starts_with("text_head") || name.starts_with("text_output"));
        assert!(largest(head.unwrap().1.grad()) > 0.0);
    }
}

#[test]
fn the_loss_of_a_text_falls_to_what_its_ids_leave_open() {
    let _generator = generator(0);
    let vs = nn::VarStore::new(CPU);
    let config = Gpt2Config { text_loss_weight: 1.0, ..Gpt2Config::new(1, 2, 16) };
    let prior = config.build(&vs.root(), &PriorSpec::new(vec![CODES], [1, 1]).with_text(2, IDS)).unwrap();
    let mut optimizer = nn::OptimizerConfig::build(nn::Adam::default(), &vs, 0.02).unwrap();
    // The second id is the first or the one after, at even odds.
    let first = Tensor::arange(IDS - 1, (Kind::Int64, CPU)).repeat_interleave_self_int(2, None, None);
    let second = &first + Tensor::arange(2, (Kind::Int64, CPU)).repeat([IDS - 1]);
    let pairs = first.size1().unwrap();
    let present = Tensor::ones([pairs, 2], (Kind::Bool, CPU));
    let condition = Condition::none().with_text(Tensor::stack(&[first, second], 1), present);
    let target = TokenGrid::new(Tensor::zeros([pairs, 1, 1, 1], (Kind::Int64, CPU)), vec![CODES]).unwrap();
    let mut last = f64::NAN;
    for _ in 0..200 {
        let loss = prior.loss(from_ref(&target), &condition, true).unwrap();
        optimizer.backward_step(&loss.total);
        last = loss.text.unwrap().double_value(&[]);
    }
    let open = std::f64::consts::LN_2;
    assert!((last - open).abs() < 0.03, "{last}, of which {open} cannot be known");
}

#[test]
fn what_does_not_fit_says_so() {
    let says = |error: vqkit_priors::PriorError, words: &[&str]| {
        let message = error.to_string();
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    };
    let (_vs, prior) = models(&spec(), 0.0).remove(0);
    let start = |condition: Condition| autoregressive(prior.as_ref()).start(&condition, 2).err().unwrap();
    let mask = || Tensor::ones([2, LENGTH], (Kind::Bool, CPU));
    let ids = |id: i64| Tensor::full([2, LENGTH], id, (Kind::Int64, CPU));
    says(start(Condition::none().with_text(ids(IDS + 1), mask())), &["id 8", "0..7"]);
    says(start(Condition::none().with_text(ids(-1), mask())), &["id -1", "0..7"]);
    says(start(Condition::none().with_text(ids(0).narrow(1, 0, 2), mask())), &["the text", "[2, 5]", "[2, 2]"]);
    says(start(Condition::none().with_text(ids(0), mask().to_kind(Kind::Int64))), &["mask of the text", "Bool"]);
    let late = mask();
    let _ = late.narrow(1, LENGTH - 1, 1).fill_(0);
    says(start(Condition::none().with_text(ids(0), late)), &["mask of the text", "in front"]);
    let plain = Gpt2Config::new(1, 1, 8);
    let check = |config: &Gpt2Config, spec: &PriorSpec| config.check(spec).unwrap_err();
    let no_text = PriorSpec::new(vec![CODES], [3, 4]);
    says(check(&Gpt2Config { text_loss_weight: 1.0, ..plain.clone() }, &no_text), &["text_loss_weight", "a text"]);
    says(check(&Gpt2Config { text_loss_weight: -1.0, ..plain.clone() }, &spec()), &["text_loss_weight", "-1"]);
    let seen = Gpt2Config { text_loss_weight: 1.0, n_unmasked: 3, ..plain.clone() };
    says(check(&seen, &spec()), &["n_unmasked", "would attend to what they predict"]);
    let others = [
        PriorConfig::PixelCnn(GatedPixelCnnConfig::new(8, 2)),
        PriorConfig::PixelSnail(PixelSnailConfig::new(16, 3, 1, 1, 6)),
    ];
    for config in others {
        says(config.check(&spec()).unwrap_err(), &[config.type_name(), "no text", "gpt2"]);
    }
    let without = Gpt2Config::new(1, 2, 8);
    let _generator = generator(0);
    let vs = nn::VarStore::new(CPU);
    let prior = without.build(&vs.root(), &spec()).unwrap();
    says(autoregressive(&prior).start(&Condition::none(), 1).err().unwrap(), &["no text was given", "5 of 7 ids"]);
}
