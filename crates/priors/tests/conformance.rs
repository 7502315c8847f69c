//! What holds for every prior: one line of `every_kind` each.

use std::slice::from_ref;

use tch::{Device, Kind, Tensor, nn};
use vqkit_priors::{
    Autoregressive, AutoregressiveSampling, Condition, GatedPixelCnnConfig, Gpt2Config, GridSpec, KnownTokens,
    LlamaConfig, PixelSnailConfig, Prior, PriorConfig, PriorError, PriorSpec, Vocabulary,
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

/// Incremental and full passes sum in different orders: f32 rounding on logits of order one.
const LOGITS_TOLERANCE: f64 = 2e-5;
const VOCABULARY: i64 = 11;

/// Configurations and what they are built for: several kernels and depths, grids that are no squares, all conditions.
fn every_kind() -> Vec<(PriorConfig, PriorSpec)> {
    let pixelcnn = |first, other, layers| GatedPixelCnnConfig {
        first_kernel_size: first,
        kernel_size: other,
        head_width: 16,
        ..GatedPixelCnnConfig::new(6, layers)
    };
    let spec = |grid| PriorSpec::new(vec![VOCABULARY], grid);
    let top = || GridSpec { sizes: vec![7], grid: [2, 3] };
    let guided = GatedPixelCnnConfig { class_dropout: 0.2, dropout: 0.1, ..pixelcnn(5, 5, 2) };
    let gpt2 = || Gpt2Config::new(2, 2, 12);
    let llama = || LlamaConfig { multiple_of: 8, ..LlamaConfig::new(2, 4, 16) };
    let wide_top = || GridSpec { sizes: vec![5, 3], grid: [3, 2] };
    let snail = |kernel_size, attention, n_out_res_block| PixelSnailConfig {
        attention,
        n_head: 2,
        n_cond_res_block: 1,
        cond_res_channel: 4,
        n_out_res_block,
        ..PixelSnailConfig::new(8, kernel_size, 2, 2, 6)
    };
    let guided_snail = PixelSnailConfig { class_dropout: 0.2, n_block: 1, ..snail(3, true, 0) };
    let one_deep_snail = PixelSnailConfig { n_head: 4, n_block: 1, n_res_block: 1, ..snail(5, true, 0) };
    vec![
        (PriorConfig::Gpt2(gpt2()), spec([5, 5])),
        (PriorConfig::Gpt2(Gpt2Config { tied_head: true, ..gpt2() }), spec([1, 7]).with_classes(4)),
        (
            PriorConfig::Gpt2(Gpt2Config { vocabulary: Vocabulary::Shared, ..gpt2() }),
            spec([4, 6]).with_condition_grid(top()),
        ),
        (
            PriorConfig::Gpt2(Gpt2Config { condition_dropout: 0.2, resid_pdrop: 0.1, n_unmasked: 7, ..gpt2() }),
            spec([3, 4]).with_classes(4).with_condition_grid(top()),
        ),
        (PriorConfig::Llama(llama()), spec([6, 1])),
        (
            PriorConfig::Llama(LlamaConfig { n_kv_head: Some(2), condition_dropout: 0.2, ..llama() }),
            spec([3, 5]).with_classes(4),
        ),
        (PriorConfig::Llama(llama()), spec([4, 6]).with_condition_grid(top()).with_condition_grid(top())),
        (PriorConfig::PixelCnn(pixelcnn(7, 3, 4)), spec([5, 5])),
        (PriorConfig::PixelCnn(pixelcnn(3, 3, 1)), spec([1, 7])),
        (PriorConfig::PixelCnn(pixelcnn(3, 7, 2)), spec([6, 1])),
        (PriorConfig::PixelCnn(pixelcnn(7, 5, 3)), spec([3, 8]).with_classes(4)),
        (PriorConfig::PixelCnn(guided), spec([7, 4]).with_classes(4)),
        (PriorConfig::PixelCnn(pixelcnn(5, 3, 3)), spec([4, 6]).with_condition_grid(top())),
        (
            PriorConfig::PixelCnn(pixelcnn(3, 3, 2)),
            spec([4, 6]).with_classes(3).with_condition_grid(top()).with_condition_grid(top()),
        ),
        (PriorConfig::PixelSnail(snail(5, true, 1)), spec([5, 5])),
        (PriorConfig::PixelSnail(one_deep_snail), spec([1, 7])),
        (PriorConfig::PixelSnail(snail(3, false, 2)), spec([6, 1])),
        (PriorConfig::PixelSnail(snail(7, false, 0)), spec([3, 8]).with_classes(4)),
        (PriorConfig::PixelSnail(guided_snail), spec([6, 4]).with_classes(4)),
        (PriorConfig::PixelSnail(snail(5, true, 0)), spec([4, 6]).with_condition_grid(top())),
        (
            PriorConfig::PixelSnail(snail(3, false, 1)),
            spec([4, 6]).with_classes(3).with_condition_grid(top()).with_condition_grid(wide_top()),
        ),
    ]
}

/// A prior whose parameters are large enough that everything it sees matters.
fn build(config: &PriorConfig, spec: &PriorSpec) -> (nn::VarStore, Box<dyn Prior>) {
    tch::set_num_threads(1);
    let _generator = generator(0);
    let vs = nn::VarStore::new(CPU);
    let prior = config.build(&vs.root(), spec).expect("an allowed configuration");
    tch::no_grad(|| vs.trainable_variables().iter_mut().for_each(|variable| drop(variable.g_add_(&noise(variable)))));
    (vs, prior)
}

fn noise(like: &Tensor) -> Tensor {
    like.randn_like() * 0.1
}

fn tokens(draws: &Draws, sizes: &[i64], grid: &[i64], batch: i64) -> TokenGrid {
    let books = sizes.iter().map(|&size| draws.randint(size, &[batch, grid[0], grid[1]]));
    TokenGrid::new(Tensor::stack(&books.collect::<Vec<_>>(), 1), sizes.to_vec()).expect("a book for each size")
}

fn condition(draws: &Draws, spec: &PriorSpec, batch: i64) -> Condition {
    let mut condition = Condition::none();
    if let Some(classes) = spec.num_classes {
        condition = condition.with_class(draws.randint(classes, &[batch]));
    }
    for grid in &spec.condition_grids {
        condition = condition.with_grid(tokens(draws, &grid.sizes, &grid.grid, batch));
    }
    condition
}

/// The largest difference of any row, by position: `[H · W]`.
fn difference_by_position(left: &Tensor, right: &Tensor) -> Vec<f64> {
    let worst = (left - right).abs().amax([0, 1], false).flatten(0, -1);
    Vec::try_from(worst.to_kind(Kind::Double)).expect("one axis of f64")
}

#[test]
fn a_token_changes_later_logits_only() {
    for (config, spec) in every_kind() {
        let (_vs, prior) = build(&config, &spec);
        let draws = Draws::new(1);
        let (target, condition) =
            (tokens(&draws, &spec.target.sizes, &spec.target.grid, 2), condition(&draws, &spec, 2));
        let before = autoregressive(prior.as_ref()).logits(&target, &condition).unwrap();
        for position in 0..spec.positions() {
            let changed = target.indices.copy();
            let mut token = changed.flatten(2, 3).select(2, position);
            token.copy_(&(&token + 1i64).remainder(VOCABULARY));
            let changed = TokenGrid::new(changed, spec.target.sizes.clone()).unwrap();
            let changes =
                difference_by_position(&before, &autoregressive(prior.as_ref()).logits(&changed, &condition).unwrap());
            let (past, future) = changes.split_at(position as usize + 1);
            assert!(past.iter().all(|change| *change == 0.0), "{config:?} {spec:?}: {position} changes the past");
            assert!(
                future.is_empty() || future.iter().any(|change| *change > 1e-6),
                "{config:?} {spec:?}: {position} changes nothing"
            );
        }
    }
}

#[test]
fn the_cursor_gives_the_logits_of_the_full_pass() {
    for (config, spec) in every_kind() {
        let (_vs, prior) = build(&config, &spec);
        let draws = Draws::new(1);
        for batch in [1, 3] {
            let (target, condition) =
                (tokens(&draws, &spec.target.sizes, &spec.target.grid, batch), condition(&draws, &spec, batch));
            let full = autoregressive(prior.as_ref()).logits(&target, &condition).unwrap().flatten(2, 3);
            let mut cursor = autoregressive(prior.as_ref()).start(&condition, batch).unwrap();
            for position in 0..spec.positions() {
                assert_eq!(cursor.position(), position);
                // Every third position is pushed without a look at its logits.
                if position % 3 != 1 {
                    let worst = (cursor.logits().unwrap() - full.select(2, position)).abs().max().double_value(&[]);
                    assert!(worst < LOGITS_TOLERANCE, "{config:?} {spec:?}: {worst} at {position}");
                }
                cursor.push(&target.indices.flatten(1, 3).select(1, position)).unwrap();
            }
            assert!(matches!(cursor.logits(), Err(PriorError::Finished(_))));
        }
    }
}

#[test]
fn every_part_of_a_condition_matters_everywhere() {
    for (config, spec) in every_kind() {
        let (_vs, prior) = build(&config, &spec);
        let draws = Draws::new(1);
        let (target, given) = (tokens(&draws, &spec.target.sizes, &spec.target.grid, 1), condition(&draws, &spec, 1));
        let before = autoregressive(prior.as_ref()).logits(&target, &given).unwrap();
        let mut others = Vec::new();
        if let (Some(class), Some(classes)) = (&given.class, spec.num_classes) {
            others.push(given.clone().with_class((class + 1i64).remainder(classes)));
        }
        for (index, grid) in spec.condition_grids.iter().enumerate() {
            let mut other = given.clone();
            other.grids[index] = other.grids[index].shallow_clone();
            let sizes = Tensor::from_slice(&grid.sizes).view([-1, 1, 1]);
            other.grids[index].indices = (&other.grids[index].indices + 1i64).remainder_tensor(&sizes);
            others.push(other);
        }
        for other in others {
            let changes =
                difference_by_position(&before, &autoregressive(prior.as_ref()).logits(&target, &other).unwrap());
            assert!(changes.iter().all(|change| *change > 1e-6), "{config:?} {spec:?}: {changes:?}");
        }
    }
}

#[test]
fn a_sample_does_not_depend_on_its_neighbours() {
    for (config, spec) in every_kind() {
        let (_vs, prior) = build(&config, &spec);
        let draws = Draws::new(1);
        let sampling = AutoregressiveSampling {
            temperature: 0.9,
            top_k: Some(8),
            top_p: Some(0.95),
            seed: 3,
            ..AutoregressiveSampling::default()
        };
        let all = condition(&draws, &spec, 9);
        let draw = |first: i64, batch: i64| {
            let rows = |tensor: &Tensor| tensor.narrow(0, first, batch);
            let mut part = Condition::none();
            part.class = all.class.as_ref().map(rows);
            part.grids = all
                .grids
                .iter()
                .map(|grid| TokenGrid::new(rows(&grid.indices), grid.sizes.clone()))
                .collect::<Result<_, _>>()
                .unwrap();
            sample(prior.as_ref(), &part, batch, &sampling, first as u64, None).unwrap().indices
        };
        let together = draw(0, 9);
        let apart = Tensor::cat(&[draw(0, 1), draw(1, 3), draw(4, 5)], 0);
        assert_eq!(together, apart, "{config:?} {spec:?}");
        assert_ne!(together.get(0), together.get(1), "{config:?} {spec:?}: two samples are alike");
    }
}

/// The row's sums are rounded alike in every batch, at widths where libtorch's matrix products split their work.
#[test]
fn a_sample_of_a_wide_prior_does_not_depend_on_the_batch() {
    let top = GridSpec { sizes: vec![64], grid: [2, 2] };
    let plain = PriorSpec::new(vec![64], [4, 4]);
    for (config, spec) in [
        (PriorConfig::PixelCnn(GatedPixelCnnConfig::new(64, 3)), plain.clone()),
        (PriorConfig::Gpt2(Gpt2Config::new(2, 4, 256)), plain.clone()),
        (PriorConfig::Llama(LlamaConfig::new(2, 4, 256)), plain.with_condition_grid(top)),
    ] {
        let (_vs, prior) = build(&config, &spec);
        let draws = Draws::new(1);
        let all = condition(&draws, &spec, 33);
        let draw = |first: i64, batch: i64| {
            let mut part = Condition::none();
            for grid in &all.grids {
                let rows = grid.indices.narrow(0, first, batch);
                part = part.with_grid(TokenGrid::new(rows, grid.sizes.clone()).unwrap());
            }
            sample(prior.as_ref(), &part, batch, &AutoregressiveSampling::default(), first as u64, None)
                .unwrap()
                .indices
        };
        let together = draw(0, 33);
        for (first, batch) in [(0, 1), (1, 2), (3, 5), (8, 9), (17, 16)] {
            assert_eq!(draw(first, batch), together.narrow(0, first, batch), "{config:?}: {first}, {batch}");
        }
    }
}

#[test]
fn given_tokens_are_kept_and_the_others_follow_them() {
    for (config, spec) in every_kind() {
        let (_vs, prior) = build(&config, &spec);
        let draws = Draws::new(1);
        let (kept, condition) = (tokens(&draws, &spec.target.sizes, &spec.target.grid, 3), condition(&draws, &spec, 3));
        let mask = draws.rand(&[3, spec.target.grid[0], spec.target.grid[1]]).lt(0.5);
        let _ = mask.select(0, 0).fill_(1);
        let given = KnownTokens::new(kept.shallow_clone(), mask.shallow_clone()).unwrap();
        let drawn = sample(prior.as_ref(), &condition, 3, &AutoregressiveSampling::default(), 0, Some(&given)).unwrap();
        let differs = drawn.indices.not_equal_tensor(&kept.indices).squeeze_dim(1).logical_and(&mask);
        assert!(differs.any().int64_value(&[]) == 0, "{config:?} {spec:?}");
        drawn.check_range().unwrap();
    }
}

#[test]
fn guidance_moves_the_logits_away_from_the_null_class() {
    for (config, spec) in guided_kinds() {
        let (_vs, prior) = build(&config, &spec);
        let draws = Draws::new(1);
        let condition = condition(&draws, &spec, 2);
        let null = prior.null(&condition, 2).unwrap();
        let first =
            |condition: &Condition| autoregressive(prior.as_ref()).start(condition, 2).unwrap().logits().unwrap();
        let greedy = |cfg_scale: f64| {
            let sampling = AutoregressiveSampling { temperature: 0.0, cfg_scale, ..AutoregressiveSampling::default() };
            sample(prior.as_ref(), &condition, 2, &sampling, 0, None).unwrap().indices.flatten(1, 3).select(1, 0)
        };
        let away = |scale: f64| (first(&null) + (first(&condition) - first(&null)) * scale).argmax(1, false);
        for scale in [0.0, 1.0, 4.0] {
            assert_eq!(greedy(scale), away(scale), "{config:?} {scale}");
        }
        let mut without_class = condition.clone();
        without_class.class = None;
        assert!(first(&without_class).allclose(&first(&null), 0.0, 0.0, false), "{config:?}");
    }
}

#[test]
fn dropout_acts_in_training_only() {
    for (config, spec) in guided_kinds() {
        let (_vs, prior) = build(&config, &spec);
        let draws = Draws::new(1);
        let (target, condition) =
            (tokens(&draws, &spec.target.sizes, &spec.target.grid, 8), condition(&draws, &spec, 8));
        let _generator = generator(1);
        let loss = |train: bool| prior.loss(from_ref(&target), &condition, train).unwrap().image.double_value(&[]);
        assert_eq!(loss(false), loss(false), "{config:?}");
        assert_ne!(loss(true), loss(true), "{config:?}");
    }
}

/// Those of [`every_kind`] that have a null class.
fn guided_kinds() -> Vec<(PriorConfig, PriorSpec)> {
    let mut kinds = every_kind();
    kinds.retain(|(config, spec)| build(config, spec).1.null(&Condition::none(), 1).is_ok());
    assert!(!kinds.is_empty());
    kinds
}

#[test]
fn the_losses_of_two_batches_may_be_added_before_the_backward_pass() {
    for (config, spec) in every_kind() {
        let (vs, prior) = build(&config, &spec);
        let (draws, _generator) = (Draws::new(1), generator(1));
        let target = || tokens(&draws, &spec.target.sizes, &spec.target.grid, 2);
        let loss = || prior.loss(&[target()], &condition(&draws, &spec, 2), true).unwrap().image;
        (loss() + loss()).backward();
        for (name, variable) in vs.variables().iter().filter(|(_, variable)| variable.requires_grad()) {
            assert!(variable.grad().defined(), "{name}");
            assert_eq!(variable.grad().isfinite().all().int64_value(&[]), 1, "{name}");
        }
    }
}

#[test]
fn bits_are_nats_over_the_logarithm_of_two() {
    let image = Tensor::from(512f64.ln());
    let loss = vqkit_priors::PriorLoss { total: image.shallow_clone(), image, text: None };
    assert!((loss.bits_per_token() - 9.0).abs() < 1e-9);
    assert!((loss.bits_per_dim(64, 3072) - 9.0 * 64.0 / 3072.0).abs() < 1e-9);
}

#[test]
fn the_cost_counts_the_parameters_that_a_prior_has() {
    for (config, spec) in every_kind() {
        let (vs, _) = build(&config, &spec);
        let held: usize = vs.trainable_variables().iter().map(Tensor::numel).sum();
        let cost = config.cost(&spec).expect("an allowed configuration");
        assert_eq!(cost.parameters, held as i64, "{config:?} for {spec:?}");
        assert!(cost.forward_flops_per_token > 0 && cost.cache_values_per_sample > 0, "{cost:?}");
        assert_eq!(cost.training_flops_per_token(), 3 * cost.forward_flops_per_token);
    }
}

#[test]
fn what_cannot_be_built_is_refused_without_building() {
    for (config, spec) in every_kind() {
        let two_books = PriorSpec { target: GridSpec { sizes: vec![5, 5], ..spec.target.clone() }, ..spec.clone() };
        for spec in [&spec, &two_books] {
            let _generator = generator(0);
            let vs = nn::VarStore::new(CPU);
            let built = config.build(&vs.root(), spec).map(drop).map_err(|error| error.to_string());
            assert_eq!(config.check(spec).map_err(|error| error.to_string()), built, "{config:?} for {spec:?}");
        }
    }
}
