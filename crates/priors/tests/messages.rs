//! Every message names the value found and what is allowed.

use tch::{Device, Kind, Tensor, nn};
use vqkit_priors::{
    Autoregressive, AutoregressiveSampling, BestBy, CfgSchedule, Condition, GatedPixelCnn, GatedPixelCnnConfig,
    GridSpec, KnownTokens, PixelSnailConfig, Prior, PriorConfig, PriorSpec, WeightDtype,
};
use vqkit_torch::TokenGrid;

mod one_level;

use self::one_level::sample;

fn spec() -> PriorSpec {
    PriorSpec::new(vec![8], [3, 4])
}

fn build(config: &GatedPixelCnnConfig, spec: &PriorSpec) -> Result<GatedPixelCnn, String> {
    let vs = nn::VarStore::new(Device::Cpu);
    config.build(&vs.root(), spec).map_err(|error| error.to_string())
}

fn small() -> GatedPixelCnnConfig {
    GatedPixelCnnConfig::new(4, 1)
}

fn zeros(shape: &[i64]) -> Tensor {
    Tensor::zeros(shape, (Kind::Int64, Device::Cpu))
}

#[track_caller]
fn says<T>(result: Result<T, impl ToString>, words: &[&str]) {
    let message = result.err().map(|error| error.to_string()).expect("an error");
    assert!(words.iter().all(|word| message.contains(word)), "{message}");
}

#[test]
fn configurations_name_their_key() {
    let built = |config: GatedPixelCnnConfig| build(&config, &spec());
    says(built(GatedPixelCnnConfig { dim: 0, ..small() }), &["`dim`", "at least 1", "0"]);
    says(built(GatedPixelCnnConfig { kernel_size: 4, ..small() }), &["`kernel_size`", "odd", "4"]);
    says(built(GatedPixelCnnConfig { first_kernel_size: 1, ..small() }), &["`first_kernel_size`", "at least 3", "1"]);
    says(built(GatedPixelCnnConfig { dropout: 1.0, ..small() }), &["`dropout`", "[0, 1)", "1"]);
    says(built(GatedPixelCnnConfig { class_dropout: 0.1, ..small() }), &["`class_dropout`", "class condition"]);
    says(built(GatedPixelCnnConfig { condition_blocks: -1, ..small() }), &["`condition_blocks`", "-1"]);
    says(build(&small(), &PriorSpec::new(vec![8, 8], [3, 4])), &["`type`", "one codebook", "2"]);
    says(build(&small(), &PriorSpec::new(vec![8], [0, 4])), &["`grid`", "[0, 4]"]);
    says(build(&small(), &spec().with_classes(0)), &["`num_classes`", "0"]);
}

#[test]
fn configurations_of_pixelsnail_name_their_key() {
    let small = || PixelSnailConfig { n_head: 2, ..PixelSnailConfig::new(8, 3, 1, 1, 4) };
    let built = |config: PixelSnailConfig, spec: &PriorSpec| {
        let vs = nn::VarStore::new(Device::Cpu);
        config.build(&vs.root(), spec).map_err(|error| error.to_string())
    };
    let refused = |config, words: &[&str]| says(built(config, &spec()), words);
    refused(PixelSnailConfig { channel: 0, ..small() }, &["`channel`", "at least 1", "0"]);
    refused(PixelSnailConfig { channel: 6, ..small() }, &["`channel`", "multiple of 2 · n_head", "2 heads", "6"]);
    refused(PixelSnailConfig { kernel_size: 4, ..small() }, &["`kernel_size`", "odd", "at least 3", "4"]);
    refused(PixelSnailConfig { kernel_size: 1, ..small() }, &["`kernel_size`", "at least 3", "1"]);
    refused(PixelSnailConfig { n_block: 0, ..small() }, &["`n_block`", "at least 1", "0"]);
    refused(PixelSnailConfig { n_res_block: 0, ..small() }, &["`n_res_block`", "at least 1", "0"]);
    refused(PixelSnailConfig { res_channel: -2, ..small() }, &["`res_channel`", "at least 1", "-2"]);
    refused(PixelSnailConfig { n_head: 0, ..small() }, &["`n_head`", "at least 1", "0"]);
    refused(PixelSnailConfig { dropout: 1.0, ..small() }, &["`dropout`", "[0, 1)", "1"]);
    refused(PixelSnailConfig { n_cond_res_block: -1, ..small() }, &["`n_cond_res_block`", "at least 0", "-1"]);
    refused(PixelSnailConfig { cond_res_channel: -1, ..small() }, &["`cond_res_channel`", "at least 0", "-1"]);
    refused(PixelSnailConfig { cond_res_kernel: 2, ..small() }, &["`cond_res_kernel`", "odd", "2"]);
    refused(PixelSnailConfig { n_out_res_block: -1, ..small() }, &["`n_out_res_block`", "at least 0", "-1"]);
    refused(PixelSnailConfig { class_dropout: 0.1, ..small() }, &["`class_dropout`", "class condition"]);
    says(built(small(), &PriorSpec::new(vec![8, 8], [3, 4])), &["`type`", "`pixelsnail`", "one codebook", "2"]);

    let conditioned = spec().with_condition_grid(GridSpec { sizes: vec![8], grid: [2, 2] });
    let few = PixelSnailConfig { cond_res_channel: 4, ..small() };
    says(built(few.clone(), &conditioned), &["`n_cond_res_block`", "condition grids", "at least 1", "0"]);
    let narrow = PixelSnailConfig { n_cond_res_block: 1, ..small() };
    says(built(narrow, &conditioned), &["`cond_res_channel`", "condition grids", "at least 1", "0"]);

    let prior = built(PixelSnailConfig { n_cond_res_block: 1, ..few }, &conditioned).unwrap();
    let target = TokenGrid::new(zeros(&[2, 1, 3, 4]), vec![8]).unwrap();
    says(prior.logits(&target, &Condition::none()), &["0 condition grids were given", "1 condition grids"]);
    let grid = TokenGrid::new(zeros(&[2, 1, 2, 2]), vec![8]).unwrap();
    let with_grid = Condition::none().with_grid(grid);
    says(prior.logits_without_grids(&target, &with_grid), &["1 condition grids were given", "no condition"]);
    assert!(
        prior.logits(&target, &with_grid).is_ok() && prior.logits_without_grids(&target, &Condition::none()).is_ok()
    );
    let outside = TokenGrid::new(zeros(&[2, 1, 3, 4]) + 8i64, vec![8]).unwrap();
    says(prior.logits(&outside, &with_grid), &["index"]);
    let mut cursor = prior.start(&with_grid, 2).unwrap();
    says(cursor.push(&(zeros(&[2]) + 8i64)), &["index"]);
    assert_eq!(cursor.position(), 0);
}

#[test]
fn sampling_names_its_key() {
    let check = |sampling: AutoregressiveSampling, words: &[&str]| says(sampling.validate(), words);
    check(
        AutoregressiveSampling { temperature: f64::NAN, ..AutoregressiveSampling::default() },
        &["`temperature`", "NaN"],
    );
    check(
        AutoregressiveSampling { top_k: Some(0), ..AutoregressiveSampling::default() },
        &["`top_k`", "at least 1", "0"],
    );
    check(
        AutoregressiveSampling { top_p: Some(0.0), ..AutoregressiveSampling::default() },
        &["`top_p`", "(0, 1]", "0"],
    );
    check(
        AutoregressiveSampling { min_p: Some(1.5), ..AutoregressiveSampling::default() },
        &["`min_p`", "[0, 1]", "1.5"],
    );
    check(AutoregressiveSampling { cfg_scale: -1.0, ..AutoregressiveSampling::default() }, &["`cfg_scale`", "-1"]);
    check(
        AutoregressiveSampling { cfg_schedule: CfgSchedule::First(-1), ..AutoregressiveSampling::default() },
        &["`cfg_schedule`", "-1"],
    );
    check(
        AutoregressiveSampling { no_repeat_ngram: Some(0), ..AutoregressiveSampling::default() },
        &["`no_repeat_ngram`", "at least 1", "0"],
    );
    check(
        AutoregressiveSampling { best_of: 0, ..AutoregressiveSampling::default() },
        &["`best_of`", "at least 1", "0"],
    );
    check(
        AutoregressiveSampling { best_of: 2, temperature: 0.0, ..AutoregressiveSampling::default() },
        &["`best_of`", "greedy"],
    );
    check(AutoregressiveSampling { size: Some([0, 4]), ..AutoregressiveSampling::default() }, &["`size`", "[0, 4]"]);
    says("luck".parse::<BestBy>(), &["likelihood or condition", "luck"]);
    says("first=x".parse::<CfgSchedule>(), &["first=N", "first=x"]);
    says("fp8".parse::<WeightDtype>(), &["fp32, bf16 or int8", "fp8"]);
}

#[test]
fn grids_that_a_prior_cannot_draw_are_refused() {
    let draw = |spec: &PriorSpec, condition: &Condition, size: [i64; 2]| {
        let sampling = AutoregressiveSampling { size: Some(size), ..AutoregressiveSampling::default() };
        sample(&build(&small(), spec).unwrap(), condition, 2, &sampling, 0, None)
    };
    says(draw(&spec(), &Condition::none(), [2, 9]), &["`size`", "3 x 4", "[2, 9]"]);
    let grid = || TokenGrid::new(zeros(&[2, 1, 2, 2]), vec![8]).unwrap();
    let conditioned = spec().with_condition_grid(GridSpec { sizes: vec![8], grid: [2, 2] });
    says(draw(&conditioned, &Condition::none().with_grid(grid()), [3, 5]), &["`size`", "whole parts", "2 cells", "3"]);
    let coarse = spec().with_condition_grid(GridSpec { sizes: vec![8], grid: [1, 2] });
    let given = || Condition::none().with_grid(TokenGrid::new(zeros(&[2, 1, 1, 2]), vec![8]).unwrap());
    says(draw(&coarse, &given(), [3, 5]), &["`size`", "multiple of 2", "5"]);
    says(draw(&coarse, &given(), [6, 8]), &["condition grid 0", "[2, 4]", "[1, 2]"]);
    assert!(draw(&conditioned, &Condition::none().with_grid(grid()), [3, 4]).is_ok());
}

#[test]
fn conditions_that_do_not_fit_say_what_is_taken() {
    let (plain, classes) = (build(&small(), &spec()).unwrap(), build(&small(), &spec().with_classes(5)).unwrap());
    let class = |label: i64| Condition::none().with_class(zeros(&[2]) + label);
    says(plain.start(&class(0), 2), &["a class was given", "no condition"]);
    says(classes.start(&Condition::none(), 2), &["no class was given", "a class of 5"]);
    says(classes.start(&class(5), 2), &["class 5", "0..5"]);
    says(classes.start(&class(-1), 2), &["class -1", "0..5"]);
    says(classes.start(&class(0), 3), &["Int64 [3]", "[2]"]);
    says(classes.start(&class(0), 0), &["`batch`", "0"]);
    let grid = || TokenGrid::new(zeros(&[2, 1, 2, 2]), vec![8]).unwrap();
    says(plain.start(&Condition::none().with_grid(grid()), 2), &["1 condition grids", "no condition"]);
    says(plain.loss(&[grid()], &Condition::none(), false), &["the target", "[3, 4]", "[2, 2]"]);
    let guided = AutoregressiveSampling { cfg_scale: 2.0, ..AutoregressiveSampling::default() };
    let best = AutoregressiveSampling { best_of: 2, best_by: BestBy::Condition, ..AutoregressiveSampling::default() };
    for needs_null in [&guided, &best] {
        says(sample(&classes, &class(0), 2, needs_null, 0, None), &["`cfg_scale`", "best_by", "class_dropout"]);
    }
}

#[test]
fn tokens_that_do_not_fit_are_refused() {
    let prior = build(&small(), &spec()).unwrap();
    let mut cursor = prior.start(&Condition::none(), 2).unwrap();
    says(cursor.push(&zeros(&[3])), &["Int64 [2]", "[3]"]);
    says(cursor.push(&(zeros(&[2]) + 8i64)), &["index"]);
    assert_eq!(cursor.position(), 0);
    let grid = |value: i64| TokenGrid::new(zeros(&[2, 1, 3, 4]) + value, vec![8]).unwrap();
    let mask = zeros(&[2, 3, 4]).to_kind(Kind::Bool);
    says(KnownTokens::new(grid(0), zeros(&[2, 3, 4])), &["mask", "Bool", "Int64"]);
    says(KnownTokens::new(grid(8), mask.shallow_clone()), &["token 8"]);
    let given = KnownTokens::new(grid(0), mask).unwrap();
    says(
        sample(&prior, &Condition::none(), 3, &AutoregressiveSampling::default(), 0, Some(&given)),
        &["known tokens", "3 rows"],
    );
}

#[test]
fn a_configuration_survives_its_file() {
    let config = PriorConfig::PixelCnn(GatedPixelCnnConfig { dropout: 0.1, ..small() });
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<PriorConfig>(&text).unwrap(), config);
    says(serde_json::from_str::<PriorConfig>(r#"{"type": "pixelcnnn"}"#), &["pixelcnnn", "pixelcnn"]);
    says(serde_json::from_str::<PriorConfig>(r#"{"type": "pixelcnn", "dim": 4, "layers": 3}"#), &["layers"]);
    let snail = PriorConfig::PixelSnail(PixelSnailConfig { attention: false, ..PixelSnailConfig::new(8, 3, 1, 1, 4) });
    let text = serde_json::to_string(&snail).unwrap();
    assert_eq!(serde_json::from_str::<PriorConfig>(&text).unwrap(), snail);
    says(serde_json::from_str::<PriorConfig>(r#"{"type": "pixelsnail", "channels": 8}"#), &["channels", "channel"]);
    says(serde_json::from_str::<AutoregressiveSampling>(r#"{"topk": 3}"#), &["topk", "top_k"]);
    let read: AutoregressiveSampling =
        serde_json::from_str(r#"{"cfg_schedule": {"first": 3}, "size": [8, 9]}"#).unwrap();
    assert_eq!((read.cfg_schedule, read.size), (CfgSchedule::First(3), Some([8, 9])));
    let sampling = AutoregressiveSampling { cfg_schedule: CfgSchedule::Cosine, ..read };
    assert_eq!(
        serde_json::from_str::<AutoregressiveSampling>(&serde_json::to_string(&sampling).unwrap()).unwrap(),
        sampling
    );
}
