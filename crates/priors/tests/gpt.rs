//! What the transformers alone promise.

#![allow(clippy::unwrap_used, reason = "what a test unwraps is what it expects")]

use std::slice::from_ref;

use tch::{Device, Tensor, nn};
use vqkit_priors::{
    Autoregressive, AutoregressiveSampling, BuildPrior, Condition, Cursor, Embedding, Gpt, Gpt2Config, GridSpec,
    KnownTokens, LlamaConfig, Prior, PriorError, PriorSpec, TokenOrder, Vocabulary, WeightDtype,
};
use vqkit_testing::{Draws, generator};
use vqkit_torch::TokenGrid;

mod one_level;

use self::one_level::sample;

const CPU: Device = Device::Cpu;
const CODES: i64 = 13;
const ORDERS: [TokenOrder; 7] = [
    TokenOrder::Raster,
    TokenOrder::Alternate,
    TokenOrder::ZCurve,
    TokenOrder::SpiralOut,
    TokenOrder::SpiralIn,
    TokenOrder::Subsample,
    TokenOrder::Random,
];

/// A model whose weights are large enough that everything it sees matters.
fn loud(vs: nn::VarStore, gpt: Gpt) -> (nn::VarStore, Gpt) {
    tch::set_num_threads(1);
    tch::no_grad(|| {
        for mut variable in vs.trainable_variables() {
            drop(variable.g_add_(&(variable.randn_like() * 0.1)));
        }
    });
    (vs, gpt)
}

fn gpt2(config: Gpt2Config, spec: &PriorSpec) -> (nn::VarStore, Gpt) {
    let _generator = generator(0);
    let vs = nn::VarStore::new(CPU);
    let gpt = config.build(&vs.root(), spec).unwrap();
    loud(vs, gpt)
}

fn llama(config: LlamaConfig, spec: &PriorSpec) -> (nn::VarStore, Gpt) {
    let _generator = generator(0);
    let vs = nn::VarStore::new(CPU);
    let gpt = config.build(&vs.root(), spec).unwrap();
    loud(vs, gpt)
}

fn small() -> LlamaConfig {
    LlamaConfig { multiple_of: 8, ..LlamaConfig::new(2, 2, 16) }
}

/// Random tokens, others for another number of codes.
fn tokens(sizes: &[i64], grid: [i64; 2], batch: i64) -> TokenGrid {
    let draws = Draws::new(sizes.iter().sum::<i64>() as u64);
    let books = sizes.iter().map(|&size| draws.randint(size, &[batch, grid[0], grid[1]]));
    TokenGrid::new(Tensor::stack(&books.collect::<Vec<_>>(), 1), sizes.to_vec()).unwrap()
}

fn largest(difference: Tensor) -> f64 {
    difference.abs().max().double_value(&[])
}

#[test]
fn every_order_predicts_from_what_it_has_read() {
    let grid = [4, 4];
    let spec = PriorSpec::new(vec![CODES], grid);
    for order in ORDERS {
        let places = order.raster_positions(grid).unwrap();
        let models = [
            gpt2(Gpt2Config { order, ..Gpt2Config::new(2, 2, 12) }, &spec),
            llama(LlamaConfig { order, ..small() }, &spec),
        ];
        for (_vs, gpt) in models {
            let target = tokens(&[CODES], grid, 2);
            let full = gpt.logits(&target, &Condition::none()).unwrap().flatten(2, 3);
            let mut cursor = gpt.cursor(&Condition::none(), 2).unwrap();
            for &place in &places {
                let worst = largest(cursor.logits().unwrap() - full.select(2, place));
                assert!(worst < 2e-5, "{order:?}: {worst} at {place}");
                cursor.push(&target.indices.flatten(1, 3).select(1, place)).unwrap();
            }
        }
    }
}

/// In any order, given tokens are kept where they are, and what is drawn is what the same cursor would draw.
#[test]
fn samples_of_every_order_lie_in_the_raster() {
    let grid = [4, 4];
    let spec = PriorSpec::new(vec![CODES], grid);
    let kept = tokens(&[CODES], grid, 3);
    let mask = Draws::new(1).rand(&[3, 4, 4]).lt(0.4);
    let likeliest = AutoregressiveSampling { temperature: 0.0, ..AutoregressiveSampling::default() };
    for order in ORDERS {
        let (_vs, gpt) = gpt2(Gpt2Config { order, ..Gpt2Config::new(2, 2, 12) }, &spec);
        let given = KnownTokens::new(kept.shallow_clone(), mask.shallow_clone()).unwrap();
        let drawn = sample(&gpt, &Condition::none(), 3, &likeliest, 0, Some(&given)).unwrap();
        let likely = gpt.logits(&drawn, &Condition::none()).unwrap().argmax(1, false);
        let right = kept.indices.squeeze_dim(1).where_self(&mask, &likely);
        assert_eq!(drawn.indices.squeeze_dim(1), right, "{order:?}");
    }
}

#[test]
fn fewer_bits_of_weights_move_the_logits_a_little() {
    let spec = PriorSpec::new(vec![CODES], [3, 3]);
    let (_vs, mut gpt) = llama(small(), &spec);
    let target = tokens(&[CODES], [3, 3], 2);
    let mut logits = |weights| {
        gpt.set_weight_dtype(weights).unwrap();
        let mut cursor = gpt.cursor(&Condition::none(), 2).unwrap();
        (0..4).for_each(|position| cursor.push(&target.indices.flatten(1, 3).select(1, position)).unwrap());
        cursor.logits().unwrap()
    };
    let full = logits(WeightDtype::Fp32);
    for (weights, least, most) in [(WeightDtype::Bf16, 1e-5, 0.02), (WeightDtype::Int8, 1e-5, 0.05)] {
        let moved = largest(logits(weights) - &full) / largest(full.shallow_clone());
        assert!(moved > least && moved < most, "{weights:?} moves the logits by {moved}");
    }
    assert_eq!(logits(WeightDtype::Fp32), full);
}

#[test]
fn every_codebook_is_predicted_over_its_own_codes() {
    let (sizes, grid) = ([5, 9, 3], [2, 3]);
    let spec = PriorSpec::new(sizes.to_vec(), grid).with_classes(4);
    let (_vs, gpt) = llama(small(), &spec);
    let target = tokens(&sizes, grid, 3);
    let condition = Condition::none().with_class(Tensor::from_slice(&[0i64, 3, 1]));
    let mut cursor = gpt.cursor(&condition, 3).unwrap();
    let in_order = target.indices.flatten(2, 3).transpose(1, 2).flatten(1, 2);
    let mut nats = 0.0;
    for position in 0..in_order.size()[1] {
        let logits = cursor.logits().unwrap();
        assert_eq!(logits.size(), [3, sizes[position as usize % 3]]);
        let token = in_order.select(1, position);
        nats += logits.cross_entropy_for_logits(&token).double_value(&[]);
        cursor.push(&token).unwrap();
    }
    assert!(matches!(cursor.push(&in_order.select(1, 0)), Err(PriorError::Finished(18))));
    let loss = gpt.loss(from_ref(&target), &condition, false).unwrap().image.double_value(&[]);
    assert!((nats / 18.0 - loss).abs() < 1e-5, "{} by the cursor, {loss} in one pass", nats / 18.0);
}

#[test]
fn a_prefix_read_in_one_pass_gives_what_single_steps_give() {
    let grid = [4, 5];
    let spec = PriorSpec::new(vec![CODES], grid).with_condition_grid(GridSpec { sizes: vec![4], grid: [2, 2] });
    for (_vs, gpt) in [gpt2(Gpt2Config { n_unmasked: 4, ..Gpt2Config::new(2, 2, 12) }, &spec), llama(small(), &spec)] {
        let condition = Condition::none().with_grid(tokens(&[4], [2, 2], 3));
        let given = tokens(&[CODES], grid, 3).indices.flatten(1, 3);
        let (mut at_once, mut singly) = (gpt.cursor(&condition, 3).unwrap(), gpt.cursor(&condition, 3).unwrap());
        for position in 0..11 {
            at_once.push(&given.select(1, position)).unwrap();
            let _ = singly.logits().unwrap();
            singly.push(&given.select(1, position)).unwrap();
        }
        let worst = largest(at_once.logits().unwrap() - singly.logits().unwrap());
        assert!(worst < 2e-5, "{worst}");
    }
}

#[test]
fn padding_is_never_looked_at() {
    let spec = PriorSpec::new(vec![CODES], [3, 3]).with_classes(2).with_embedding(5, 6);
    let draws = Draws::new(1);
    let values = draws.randn(&[2, 5, 6]);
    let mask = Tensor::from_slice(&[false, false, true, true, true, false, true, true, false, true]).view([2, 5]);
    let others = values.where_self(&mask.unsqueeze(-1), &draws.randn(&[2, 5, 6]));
    let target = tokens(&[CODES], [3, 3], 2);
    for (_vs, gpt) in [gpt2(Gpt2Config::new(2, 2, 12), &spec), llama(small(), &spec)] {
        let logits = |values: &Tensor, mask: Option<&Tensor>| {
            let embedding = Embedding { values: values.shallow_clone(), mask: mask.map(Tensor::shallow_clone) };
            let condition = Condition::none().with_class(Tensor::from_slice(&[0i64, 1])).with_embedding(embedding);
            let mut cursor = gpt.cursor(&condition, 2).unwrap();
            let first = cursor.logits().unwrap();
            cursor.push(&target.indices.flatten(1, 3).select(1, 0)).unwrap();
            (gpt.logits(&target, &condition).unwrap(), first, cursor.logits().unwrap())
        };
        let (full, first, second) = logits(&values, Some(&mask));
        assert_eq!((full.copy(), first.copy(), second.copy()), logits(&others, Some(&mask)));
        assert!(largest(&full.select(3, 0).select(2, 0) - first) < 2e-5);
        assert!(largest(full.select(3, 1).select(2, 0) - second) < 2e-5);
        assert!(largest(logits(&values, None).0 - logits(&others, None).0) > 1e-3);
    }
}

#[test]
fn corrupted_tokens_are_read_in_training_alone() {
    let spec = PriorSpec::new(vec![CODES, 3], [3, 3]);
    let (_vs, gpt) = gpt2(Gpt2Config { pkeep: 0.5, ..Gpt2Config::new(1, 2, 12) }, &spec);
    let target = tokens(&[CODES, 3], [3, 3], 4);
    let _generator = generator(1);
    let loss = |train| gpt.loss(from_ref(&target), &Condition::none(), train).unwrap().image.double_value(&[]);
    assert_eq!(loss(false), loss(false));
    assert_ne!(loss(true), loss(true));
}

#[test]
fn a_null_condition_is_what_dropping_trains() {
    let spec = PriorSpec::new(vec![CODES], [2, 2]).with_condition_grid(GridSpec { sizes: vec![4], grid: [2, 2] });
    let still = LlamaConfig { token_dropout_p: 0.0, resid_dropout_p: 0.0, ffn_dropout_p: 0.0, ..small() };
    let (_vs, gpt) = llama(LlamaConfig { condition_dropout: 0.5, ..still }, &spec);
    let condition = Condition::none().with_grid(tokens(&[4], [2, 2], 3));
    let null = gpt.null(&condition, 3).unwrap();
    let first = |condition: &Condition| gpt.cursor(condition, 3).unwrap().logits().unwrap();
    assert!(largest(first(&null) - first(&condition)) > 1e-4);
    assert!(largest(first(&null).get(0) - first(&null).get(1)) < 1e-6);
    let target = tokens(&[CODES], [2, 2], 3);
    let row = |index: i64, condition: &Condition, train: bool| {
        let of = |grid: &TokenGrid| TokenGrid::new(grid.indices.narrow(0, index, 1), grid.sizes.clone()).unwrap();
        let condition = Condition::none().with_grid(of(&condition.grids[0]));
        gpt.loss(from_ref(&of(&target)), &condition, train).unwrap().image.double_value(&[])
    };
    let (with, without) = (row(0, &condition, false), row(0, &null, false));
    let _generator = generator(1);
    let trained: Vec<f64> = (0..40).map(|_| row(0, &condition, true)).collect();
    let is = |loss: f64, wanted: f64| (loss - wanted).abs() < 1e-5;
    assert!(trained.iter().all(|loss| is(*loss, with) || is(*loss, without)), "{trained:?}");
    assert!(trained.iter().any(|loss| is(*loss, with)) && trained.iter().any(|loss| is(*loss, without)));
}

#[test]
fn configurations_name_their_key() {
    let spec = PriorSpec::new(vec![CODES], [3, 4]).with_classes(2);
    let says = |error: PriorError, words: &[&str]| {
        let message = error.to_string();
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    };
    let gpt2 = |config: Gpt2Config, words: &[&str]| says(config.check(&spec).unwrap_err(), words);
    let plain = || Gpt2Config::new(1, 2, 12);
    gpt2(Gpt2Config { n_head: 5, ..plain() }, &["`n_head`", "n_embd = 12", "5"]);
    gpt2(Gpt2Config { n_layer: 0, ..plain() }, &["`n_layer`", "at least 1", "0"]);
    gpt2(Gpt2Config { block_size: Some(3), ..plain() }, &["`block_size`", "at least 12", "3"]);
    gpt2(Gpt2Config { pkeep: 0.0, ..plain() }, &["`pkeep`", "(0, 1]", "0"]);
    gpt2(Gpt2Config { n_unmasked: 2, ..plain() }, &["`n_unmasked`", "at most the 1", "2"]);
    gpt2(Gpt2Config { order: TokenOrder::SpiralIn, ..plain() }, &["`order`", "as many rows", "[3, 4]"]);
    gpt2(Gpt2Config { embd_pdrop: 1.0, ..plain() }, &["`embd_pdrop`", "[0, 1)", "1"]);
    let llama = |config: LlamaConfig, words: &[&str]| says(config.check(&spec).unwrap_err(), words);
    llama(LlamaConfig { n_kv_head: Some(3), ..small() }, &["`n_kv_head`", "n_head = 2", "3"]);
    llama(LlamaConfig::new(1, 2, 12), &["`n_head`", "multiple of 4", "6"]);
    llama(LlamaConfig { norm_eps: 0.0, ..small() }, &["`norm_eps`", "positive", "0"]);
    let without = PriorSpec::new(vec![CODES], [3, 4]);
    let dropping = LlamaConfig { condition_dropout: 0.1, ..small() };
    says(dropping.check(&without).unwrap_err(), &["`condition_dropout`", "needs a condition"]);
    let shared = Gpt2Config { vocabulary: Vocabulary::Shared, ..plain() };
    let many = PriorSpec::new(vec![CODES], [3, 4]).with_classes(20);
    let _generator = generator(0);
    let vs = nn::VarStore::new(CPU);
    let _ = shared.build(&vs.root(), &many).unwrap();
    assert_eq!(vs.variables()["tok_emb.weight"].size(), [20, 12], "classes share the table of tokens");
}
