//! Small priors learn.

use std::slice::from_ref;

use tch::nn::OptimizerConfig;
use tch::{Device, Kind, Tensor, nn};
use vqkit_priors::{
    AutoregressiveSampling, Condition, GatedPixelCnnConfig, Gpt2Config, LlamaConfig, PriorConfig, PriorSpec,
};
use vqkit_testing::{Draws, generator};
use vqkit_torch::TokenGrid;

mod one_level;

use self::one_level::sample;

const VOCABULARY: i64 = 8;
const SIDE: i64 = 6;

/// Grids whose token at `(row, column)` is `start + class · row + column`, modulo the vocabulary, `start` being even:
/// two bits of chance per grid, of which the first token tells all, and tokens that are uniform over the whole.
fn batch(draws: &Draws, rows: i64) -> (TokenGrid, Condition) {
    let options = (Kind::Int64, Device::Cpu);
    let side = Tensor::arange(SIDE, options);
    let class = draws.randint(2, &[rows]);
    let start = draws.randint(VOCABULARY / 2, &[rows, 1, 1]) * 2i64;
    let slope = (&class + 1i64).view([rows, 1, 1]) * side.view([1, SIDE, 1]);
    let indices = (start + slope + side.view([1, 1, SIDE])).remainder(VOCABULARY).unsqueeze(1);
    let target = TokenGrid::new(indices, vec![VOCABULARY]).expect("one codebook");
    (target, Condition::none().with_class(class))
}

#[test]
fn a_small_pixelcnn_learns_a_pattern() {
    learns(&PriorConfig::PixelCnn(GatedPixelCnnConfig { head_width: 32, ..GatedPixelCnnConfig::new(16, 3) }));
}

#[test]
fn a_small_gpt2_learns_a_pattern() {
    learns(&PriorConfig::Gpt2(Gpt2Config::new(2, 4, 48)));
}

#[test]
fn a_small_llama_learns_a_pattern() {
    let without_dropout =
        LlamaConfig { token_dropout_p: 0.0, resid_dropout_p: 0.0, ffn_dropout_p: 0.0, ..LlamaConfig::new(2, 4, 48) };
    learns(&PriorConfig::Llama(LlamaConfig { multiple_of: 16, ..without_dropout }));
}

fn learns(config: &PriorConfig) {
    tch::set_num_threads(1);
    let (draws, vs) = (Draws::new(1), nn::VarStore::new(Device::Cpu));
    let spec = PriorSpec::new(vec![VOCABULARY], [SIDE, SIDE]).with_classes(2);
    let prior = {
        let _generator = generator(1);
        config.build(&vs.root(), &spec).expect("an allowed configuration")
    };
    let mut optimizer = nn::AdamW::default().build(&vs, 1e-2).expect("allowed");
    for _ in 0..150 {
        let (target, condition) = batch(&draws, 32);
        optimizer.backward_step(&prior.loss(from_ref(&target), &condition, true).expect("allowed").image);
    }
    let (target, condition) = batch(&draws, 64);
    let bits = tch::no_grad(|| prior.loss(from_ref(&target), &condition, false)).expect("allowed").bits_per_token();
    // The unigram entropy is 3 bits, and the least possible 2 / 36.
    assert!(bits < 0.2, "{bits} bits per token");

    let drawn =
        sample(prior.as_ref(), &condition, 64, &AutoregressiveSampling::default(), 0, None).expect("allowed").indices;
    let steps = (drawn.narrow(3, 1, SIDE - 1) - drawn.narrow(3, 0, SIDE - 1)).remainder(VOCABULARY);
    let right = steps.eq(1).to_kind(Kind::Double).mean(None).double_value(&[]);
    assert!(right > 0.9, "{right} of the neighbours follow the pattern");
}
