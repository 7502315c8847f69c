//! What a prior costs, for sizes of every magnitude.

use proptest::prelude::*;
use vqkit_priors::{
    EmbeddingSpec, GatedPixelCnnConfig, Gpt2Config, GridSpec, LlamaConfig, PixelSnailConfig, PriorConfig, PriorSpec,
    TextSpec,
};

/// Sizes of every magnitude, and those next to overflow.
fn size() -> impl Strategy<Value = i64> {
    let powers =
        (0..63u32).prop_flat_map(|power| prop::sample::select(vec![-1, 0, 1]).prop_map(move |by| (1i64 << power) + by));
    prop_oneof![powers, Just(i64::MAX), Just(i64::MIN), Just(0), Just(-1), Just(12)]
}

fn config() -> impl Strategy<Value = PriorConfig> {
    prop::array::uniform6(size()).prop_flat_map(|[a, b, c, d, e, f]| {
        let gpt2 = Gpt2Config { block_size: Some(d), condition_dropout: 0.1, ..Gpt2Config::new(a, b, c) };
        let llama = LlamaConfig { n_kv_head: Some(d), multiple_of: e, ..LlamaConfig::new(a, b, c) };
        let pixelcnn = GatedPixelCnnConfig {
            head_width: c,
            kernel_size: d,
            condition_blocks: e,
            first_kernel_size: f,
            ..GatedPixelCnnConfig::new(a, b)
        };
        let snail =
            PixelSnailConfig { cond_res_channel: f, n_cond_res_block: e, ..PixelSnailConfig::new(a, b, c, d, e) };
        prop::sample::select(vec![
            PriorConfig::Gpt2(gpt2),
            PriorConfig::Llama(llama),
            PriorConfig::PixelCnn(pixelcnn),
            PriorConfig::PixelSnail(snail),
        ])
    })
}

fn spec() -> impl Strategy<Value = PriorSpec> {
    // A side of a grid that is allowed costs memory for each of its places.
    let side = || prop_oneof![1i64..9, size().prop_filter("small or not allowed", |side| *side < 9 || *side > 1 << 24)];
    let grid =
        || (prop::collection::vec(size(), 0..3), [side(), side()]).prop_map(|(sizes, grid)| GridSpec { sizes, grid });
    let words = (prop::option::of(size()), prop::option::of((size(), size())), prop::option::of((size(), size())));
    (grid(), words, prop::collection::vec(grid(), 0..2)).prop_map(|(target, (num_classes, text, embedding), grids)| {
        PriorSpec {
            target,
            finer_levels: Vec::new(),
            num_classes,
            text: text.map(|(length, vocabulary)| TextSpec { length, vocabulary }),
            embedding: embedding.map(|(length, dim)| EmbeddingSpec { length, dim }),
            condition_grids: grids,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// Overflow ends a test: whatever is asked for is counted, or refused.
    #[test]
    fn no_size_leaves_the_numbers(config in config(), spec in spec()) {
        if let Ok(cost) = config.cost(&spec) {
            prop_assert!(cost.parameters > 0 && cost.forward_flops_per_token > 0 && cost.cache_values_per_sample > 0);
            prop_assert!(cost.training_flops_per_token() > 0 && cost.cache_bytes(u64::MAX, true) > 0);
        }
    }
}

#[test]
fn a_prior_that_no_memory_holds_is_refused_before_it_is_built() {
    let vs = tch::nn::VarStore::new(tch::Device::Cpu);
    let config = PriorConfig::Gpt2(Gpt2Config::new(4096, 64, 65_536));
    let error = config.build(&vs.root(), &PriorSpec::new(vec![1024], [16, 16])).unwrap_err().to_string();
    let start = "a prior of 2111";
    assert!(error.starts_with(start) && error.contains(" would take 844.4 TB of memory, and "), "{error}");
    assert!(vs.is_empty());
}
