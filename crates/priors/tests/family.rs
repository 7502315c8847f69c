//! What holds for a prior of any family: its levels, its options, and its life in a thread.

use std::sync::mpsc;
use std::thread;

use tch::{Device, Kind, Tensor, nn};
use vqkit_priors::{
    AutoregressiveSampling, Condition, GatedPixelCnnConfig, Gpt2Config, GridSpec, KnownTokens, LlamaConfig,
    PixelSnailConfig, Prior, PriorConfig, PriorError, PriorSpec, SampleOptions, Sampling, check_predicts,
};
use vqkit_torch::TokenGrid;

fn configs() -> [PriorConfig; 4] {
    [
        PriorConfig::PixelCnn(GatedPixelCnnConfig::new(8, 2)),
        PriorConfig::Gpt2(Gpt2Config::new(1, 2, 8)),
        PriorConfig::Llama(LlamaConfig { multiple_of: 8, ..LlamaConfig::new(1, 2, 8) }),
        PriorConfig::PixelSnail(PixelSnailConfig { n_head: 2, ..PixelSnailConfig::new(8, 3, 1, 1, 8) }),
    ]
}

fn level(side: i64) -> GridSpec {
    GridSpec::new(vec![6], &[side, side]).expect("a height and a width")
}

fn grid(side: i64) -> TokenGrid {
    TokenGrid::new(Tensor::zeros([2, 1, side, side], (Kind::Int64, Device::Cpu)), vec![6]).expect("a grid")
}

fn build(config: &PriorConfig) -> Box<dyn Prior> {
    let vs = nn::VarStore::new(Device::Cpu);
    config.build(&vs.root(), &PriorSpec::of(level(3)).with_classes(4)).expect("an allowed configuration")
}

#[test]
fn an_autoregressive_prior_refuses_several_levels() {
    let several = PriorSpec::of(level(2)).with_finer_level(level(4));
    for config in configs() {
        let error = config.check(&several).unwrap_err().to_string();
        assert!(error.starts_with("`predicts`"), "{error}");
        for word in [config.type_name(), "one level", "got 2"] {
            assert!(error.contains(word), "{error}");
        }
        let prior = build(&config);
        let error = prior.loss(&[grid(3), grid(3)], &Condition::none(), false).unwrap_err().to_string();
        assert_eq!(error, "the targets must be one grid of tokens, got 2 grids");
        let known = KnownTokens::new(grid(3), Tensor::ones([2, 3, 3], (Kind::Bool, Device::Cpu))).unwrap();
        let options = SampleOptions { known: &[known.clone(), known], ..SampleOptions::new(2) };
        let error = prior.generate(&Condition::none(), &options).unwrap_err().to_string();
        assert_eq!(error, "known tokens must be of one level, got 2 levels");
    }
}

#[test]
fn levels_are_predicted_in_order_and_each_by_one_prior() {
    let fold = |priors: &[&[usize]], levels| {
        priors.iter().try_fold(0, |first, predicts| check_predicts(predicts, first, levels))
    };
    assert_eq!(fold(&[&[0], &[1]], 2).unwrap(), 2);
    assert_eq!(fold(&[&[0, 1, 2]], 3).unwrap(), 3);
    for (priors, words) in [
        (&[&[][..]][..], "at least one level"),
        (&[&[0], &[2]], "level 2 is not one of the tokenizer's 2 levels"),
        (&[&[1]], "must start with level 0"),
        (&[&[0], &[0]], "must start with level 1"),
        (&[&[1, 0]], "got [1, 0]"),
    ] {
        let error = fold(priors, 2).unwrap_err().to_string();
        assert!(error.starts_with("`predicts`: ") && error.contains(words), "{error}");
    }
}

#[test]
fn a_prior_lives_in_a_thread_and_serves_requests() {
    let (requests, received) = mpsc::channel::<(u64, mpsc::Sender<Vec<i64>>)>();
    let prior = build(&configs()[1]);
    let alone = draw(prior.as_ref(), 2);
    let server = thread::spawn(move || {
        for (sample, answer) in received {
            answer.send(draw(prior.as_ref(), sample)).expect("somebody waits");
        }
    });
    for sample in [2, 0, 2] {
        let (answer, answered) = mpsc::channel();
        requests.send((sample, answer)).unwrap();
        assert_eq!(answered.recv().unwrap() == alone, sample == 2, "sample {sample}");
    }
    drop(requests);
    server.join().unwrap();
}

fn draw(prior: &dyn Prior, first_sample: u64) -> Vec<i64> {
    let condition = Condition::none().with_class(Tensor::from_slice(&[1i64]));
    let options = SampleOptions { first_sample, ..SampleOptions::new(1) };
    let sampled = prior.generate(&condition, &options).expect("options that fit");
    assert!(sampled.log_likelihood.is_none(), "nobody asked for it");
    Vec::try_from(sampled.tokens[0].indices.flatten(0, -1)).expect("one axis of i64")
}

#[test]
fn a_table_of_options_is_that_of_the_family_and_errors_name_their_key() {
    let sampling: Sampling = serde_json::from_str(r#"{"temperature": 0.5, "seed": 3}"#).unwrap();
    assert_eq!(sampling, AutoregressiveSampling { temperature: 0.5, seed: 3, ..Default::default() }.into());
    let written = serde_json::to_value(&sampling).unwrap();
    let Sampling::Autoregressive(own) = &sampling;
    assert_eq!(written, serde_json::to_value(own).unwrap());
    let error = serde_json::from_str::<Sampling>(r#"{"temprature": 0.5}"#).unwrap_err().to_string();
    assert!(error.contains("`temprature`") && error.contains("`temperature`"), "{error}");
    assert!(matches!(sampling.with_size(Some([0, 1])).validate(), Err(PriorError::Config { field: "size", .. })));
}
