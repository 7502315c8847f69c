//! What a prior costs, from its configuration alone: nothing is allocated.

use serde::Serialize;

use crate::PriorError;

/// The size of a prior, and what a token of it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Trainable numbers.
    pub parameters: i64,
    /// Floating-point operations of a forward pass over a whole grid, per token of the grid. A multiplication and the addition
    /// after it count as two; only products with weights and, in attention, with keys and values are counted.
    pub forward_flops_per_token: i64,
    /// Numbers that a cursor keeps of the past of one sample.
    pub cache_values_per_sample: i64,
}

/// The most layers, channels and places of a kernel. More are a typing error, and what is counted would leave its numbers.
pub(crate) const MOST_LAYERS: i64 = 1 << 12;
pub(crate) const MOST_CHANNELS: i64 = 1 << 16;
pub(crate) const MOST_KERNEL: i64 = 1 << 6;

/// A value that is one of a network's sizes.
pub(crate) fn check_size(field: &'static str, value: i64, least: i64, most: i64) -> Result<(), PriorError> {
    match value {
        value if value < least => Err(PriorError::config(field, format!("must be at least {least}, got {value}"))),
        value if value > most => Err(PriorError::config(field, format!("must be at most {most}, got {value}"))),
        _ => Ok(()),
    }
}

/// What was counted wider than it is told; the most that can be told where it is more.
pub(crate) fn told(count: i128) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl Cost {
    /// Bytes of the past of so many samples drawn at once, with guidance (`guided`) every one twice: what cursors take beside the
    /// prior itself.
    pub fn cache_bytes(&self, samples: u64, guided: bool) -> u64 {
        let values = self.cache_values_per_sample.unsigned_abs().saturating_mul(4 * (1 + u64::from(guided)));
        values.saturating_mul(samples)
    }

    /// Floating-point operations of a training step per token: the way back takes two products for each one of the way forth.
    pub fn training_flops_per_token(&self) -> i64 {
        self.forward_flops_per_token.saturating_mul(3)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::spec::{EmbeddingSpec, GridSpec, TextSpec};
    use crate::{Gpt2Config, LlamaConfig, PixelSnailConfig, PriorConfig, PriorSpec};

    /// Sizes of every magnitude, and those where numbers end.
    fn size() -> impl Strategy<Value = i64> {
        let powers = (0..63u32)
            .prop_flat_map(|power| prop::sample::select(vec![-1, 0, 1]).prop_map(move |by| (1i64 << power) + by));
        prop_oneof![powers, Just(i64::MAX), Just(i64::MIN), Just(0), Just(-1), Just(12)]
    }

    fn config() -> impl Strategy<Value = PriorConfig> {
        prop::array::uniform6(size()).prop_flat_map(|[a, b, c, d, e, f]| {
            let gpt2 = Gpt2Config { block_size: Some(d), condition_dropout: 0.1, ..Gpt2Config::new(a, b, c) };
            let llama = LlamaConfig { n_kv_head: Some(d), multiple_of: e, ..LlamaConfig::new(a, b, c) };
            let pixelcnn = crate::GatedPixelCnnConfig {
                head_width: c,
                kernel_size: d,
                condition_blocks: e,
                first_kernel_size: f,
                ..crate::GatedPixelCnnConfig::new(a, b)
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
        let side =
            || prop_oneof![1i64..9, size().prop_filter("small or not allowed", |side| *side < 9 || *side > 1 << 24)];
        let grid = || {
            (prop::collection::vec(size(), 0..3), [side(), side()]).prop_map(|(sizes, grid)| GridSpec { sizes, grid })
        };
        let words = (prop::option::of(size()), prop::option::of((size(), size())), prop::option::of((size(), size())));
        (grid(), words, prop::collection::vec(grid(), 0..2)).prop_map(
            |(target, (num_classes, text, embedding), grids)| PriorSpec {
                sizes: target.sizes,
                grid: target.grid,
                num_classes,
                text: text.map(|(length, vocabulary)| TextSpec { length, vocabulary }),
                embedding: embedding.map(|(length, dim)| EmbeddingSpec { length, dim }),
                condition_grids: grids,
            },
        )
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
}
