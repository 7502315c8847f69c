//! What a sample is a function of, and what each key of `AutoregressiveSampling` does.

use std::f64::consts::PI;

use tch::{Device, Kind, Tensor, nn};
use vqkit_priors::{
    Autoregressive, AutoregressiveSampling, BestBy, CfgSchedule, Condition, Cursor, GatedPixelCnnConfig, Gpt2Config,
    GridSpec, KnownTokens, LlamaConfig, Prior, PriorConfig, PriorError, PriorLoss, PriorSpec, SampleOptions, Sampled,
    Sampling, TokenOrder, WeightDtype,
};
use vqkit_testing::{Draws, generator};
use vqkit_torch::TokenGrid;

mod one_level;

use self::one_level::{only_grid, options, sample};

const CPU: Device = Device::Cpu;

/// The prior with its cursor.
fn autoregressive(prior: &dyn Prior) -> &dyn Autoregressive {
    prior.as_autoregressive().expect("an autoregressive prior")
}

/// Small priors of several kinds with random parameters, with a null class each.
fn guided() -> Vec<(nn::VarStore, Box<dyn Prior>)> {
    let spec = |sizes: &[i64]| PriorSpec::new(sizes.to_vec(), [4, 5]).with_classes(3);
    let pixelcnn = GatedPixelCnnConfig { class_dropout: 0.2, ..GatedPixelCnnConfig::new(8, 2) };
    let gpt2 = Gpt2Config { condition_dropout: 0.2, ..Gpt2Config::new(2, 2, 12) };
    let llama = LlamaConfig { condition_dropout: 0.2, multiple_of: 8, ..LlamaConfig::new(2, 4, 16) };
    vec![
        build(&PriorConfig::PixelCnn(pixelcnn), &spec(&[9])),
        build(&PriorConfig::Gpt2(gpt2), &spec(&[9])),
        build(&PriorConfig::Llama(llama), &spec(&[9, 7])),
    ]
}

fn build(config: &PriorConfig, spec: &PriorSpec) -> (nn::VarStore, Box<dyn Prior>) {
    tch::set_num_threads(1);
    let _generator = generator(0);
    let vs = nn::VarStore::new(CPU);
    let prior = config.build(&vs.root(), spec).expect("an allowed configuration");
    let louder = |variable: &mut Tensor| drop(variable.g_add_(&(variable.randn_like() * 0.2)));
    tch::no_grad(|| vs.trainable_variables().iter_mut().for_each(louder));
    (vs, prior)
}

fn classes(labels: &[i64]) -> Condition {
    Condition::none().with_class(Tensor::from_slice(labels))
}

/// A batch of samples with their log-likelihoods.
struct Scored {
    tokens: TokenGrid,
    log_likelihood: Tensor,
}

fn scored(
    prior: &dyn Prior,
    condition: &Condition,
    batch: i64,
    sampling: &AutoregressiveSampling,
    known: Option<&KnownTokens>,
) -> Scored {
    let options = SampleOptions { log_likelihood: true, ..options(batch, sampling, 0, known) };
    let mut sampled = prior.generate(condition, &options).expect("options that fit");
    let log_likelihood = sampled.log_likelihood.take().expect("it was asked for");
    Scored { tokens: only_grid(sampled), log_likelihood }
}

/// The tokens in the order of drawing, `[B, positions]`.
fn sequence(grid: &TokenGrid) -> Tensor {
    grid.indices.permute([0, 2, 3, 1]).flatten(1, 3)
}

/// The log-likelihood `[B]` of grids, token by token.
fn log_likelihood(prior: &dyn Prior, condition: &Condition, grid: &TokenGrid) -> Tensor {
    let tokens = sequence(grid);
    let mut cursor = autoregressive(prior).start(condition, tokens.size()[0]).expect("a condition that fits");
    let mut sum = Tensor::zeros([tokens.size()[0]], (Kind::Double, CPU));
    for position in 0..cursor.len() {
        let tokens = tokens.select(1, position);
        let all = cursor.logits().expect("a position").log_softmax(-1, Kind::Double);
        sum += all.gather(1, &tokens.unsqueeze(1), false).squeeze_dim(1);
        cursor.push(&tokens).expect("tokens that fit");
    }
    sum
}

#[test]
fn what_is_prefilled_is_what_is_pushed() {
    for (_vs, prior) in guided() {
        let condition = classes(&[0, 2]);
        let tokens =
            sequence(&sample(prior.as_ref(), &condition, 2, &AutoregressiveSampling::default(), 0, None).unwrap());
        for count in [0, 1, 7] {
            let [mut pushed, mut filled] = [0, 1].map(|_| autoregressive(prior.as_ref()).start(&condition, 2).unwrap());
            (0..count).for_each(|position| pushed.push(&tokens.select(1, position)).unwrap());
            filled.prefill(&tokens.narrow(1, 0, count)).unwrap();
            assert_eq!(filled.position(), count);
            let [pushed, filled] = [pushed.logits().unwrap(), filled.logits().unwrap()];
            assert!(filled.allclose(&pushed, 0.0, 2e-5, false), "{prior:?} {count}");
        }
        let mut cursor = autoregressive(prior.as_ref()).start(&condition, 2).unwrap();
        assert!(cursor.prefill(&tokens.select(1, 0)).unwrap_err().to_string().contains("[B, n]"));
    }
}

#[test]
fn the_scale_of_guidance_follows_its_formula() {
    let (scale, length) = (4.0, 9);
    for position in 0..length {
        let share = position as f64 / 8.0;
        let at = |schedule: CfgSchedule| schedule.scale(scale, position, length);
        assert_eq!(at(CfgSchedule::Constant), 4.0);
        assert!((at(CfgSchedule::Linear) - (1.0 + 3.0 * share)).abs() < 1e-12);
        assert!((at(CfgSchedule::Cosine) - (1.0 + 3.0 * (1.0 - (PI * share).cos()) / 2.0)).abs() < 1e-12);
        assert_eq!(at(CfgSchedule::First(3)), if position < 3 { 4.0 } else { 1.0 });
    }
    assert_eq!(CfgSchedule::Linear.scale(scale, 0, 1), 4.0);
}

#[test]
fn a_guided_sample_takes_the_logits_of_its_schedule() {
    for (_vs, prior) in guided() {
        let condition = classes(&[1, 2]);
        let null = prior.null(&condition, 2).unwrap();
        for cfg_schedule in [CfgSchedule::Constant, CfgSchedule::Linear, CfgSchedule::Cosine, CfgSchedule::First(6)] {
            let sampling = AutoregressiveSampling {
                temperature: 0.0,
                cfg_scale: 3.0,
                cfg_schedule,
                ..AutoregressiveSampling::default()
            };
            let drawn = sequence(&sample(prior.as_ref(), &condition, 2, &sampling, 0, None).unwrap());
            let [mut with, mut without] =
                [&condition, &null].map(|condition| autoregressive(prior.as_ref()).start(condition, 2).unwrap());
            for position in 0..with.len() {
                let (with_logits, null_logits) = (with.logits().unwrap(), without.logits().unwrap());
                let scale = cfg_schedule.scale(3.0, position, with.len());
                let wanted = (&null_logits + (with_logits - &null_logits) * scale).argmax(1, false);
                assert_eq!(drawn.select(1, position), wanted, "{cfg_schedule:?} at {position}");
                with.push(&wanted).unwrap();
                without.push(&wanted).unwrap();
            }
        }
    }
}

#[test]
fn the_log_likelihood_is_that_of_the_tokens_under_the_prior() {
    for (_vs, prior) in guided() {
        let condition = classes(&[0, 1, 2]);
        let odd = AutoregressiveSampling {
            temperature: 0.7,
            top_k: Some(4),
            cfg_scale: 2.0,
            seed: 5,
            ..AutoregressiveSampling::default()
        };
        for sampling in [AutoregressiveSampling::default(), odd] {
            let sampled = scored(prior.as_ref(), &condition, 3, &sampling, None);
            let wanted = log_likelihood(prior.as_ref(), &condition, &sampled.tokens);
            assert!(sampled.log_likelihood.allclose(&wanted, 1e-5, 1e-4, false), "{:?}", sampled.log_likelihood);
            let plain = sample(prior.as_ref(), &condition, 3, &sampling, 0, None).unwrap();
            assert_eq!(plain.indices, sampled.tokens.indices, "scoring draws nothing else");
        }
    }
}

#[test]
fn known_tokens_do_not_count() {
    for (_vs, prior) in guided() {
        let condition = classes(&[0, 1]);
        let kept = sample(prior.as_ref(), &condition, 2, &AutoregressiveSampling::default(), 7, None).unwrap();
        let shape = [2, 4, 5];
        let all = KnownTokens::new(kept.shallow_clone(), Tensor::ones(shape, (Kind::Bool, CPU))).unwrap();
        let sampled = scored(prior.as_ref(), &condition, 2, &AutoregressiveSampling::default(), Some(&all));
        assert_eq!(sampled.tokens.indices, kept.indices);
        assert_eq!(sampled.log_likelihood.abs().max().double_value(&[]), 0.0);
        // Only the second row is given.
        let second = Tensor::from_slice(&[false, true]).view([2, 1, 1]).expand(shape, false).contiguous();
        let second = KnownTokens::new(kept, second).unwrap();
        let sampled = scored(prior.as_ref(), &condition, 2, &AutoregressiveSampling::default(), Some(&second));
        let alone = scored(prior.as_ref(), &condition, 2, &AutoregressiveSampling::default(), None);
        assert_eq!(sampled.log_likelihood.double_value(&[1]), 0.0);
        assert_eq!(sampled.log_likelihood.double_value(&[0]), alone.log_likelihood.double_value(&[0]));
    }
}

#[test]
fn the_best_of_several_has_the_highest_score_whatever_the_batch() {
    let of_both = |best_by| guided().into_iter().map(move |prior| (prior, best_by));
    for ((_vs, prior), best_by) in of_both(BestBy::Likelihood).chain(of_both(BestBy::Condition)) {
        let condition = classes(&[0, 1, 2, 0]);
        let sampling = |best_of| AutoregressiveSampling { best_of, best_by, ..AutoregressiveSampling::default() };
        let draw = |best_of| scored(prior.as_ref(), &condition, 4, &sampling(best_of), None).tokens;
        let score = |tokens: &TokenGrid| {
            let with = log_likelihood(prior.as_ref(), &condition, tokens);
            match best_by {
                BestBy::Likelihood => with,
                BestBy::Condition => with - log_likelihood(prior.as_ref(), &prior.null(&condition, 4).unwrap(), tokens),
            }
        };
        let several: Vec<TokenGrid> = (1..=8).map(draw).collect();
        let scores: Vec<Tensor> = several.iter().map(score).collect();
        for more in 1..8 {
            // What changes is better, and what is not better is the best of those before it.
            let differs = several[more].indices.not_equal_tensor(&several[more - 1].indices);
            let is_better = scores[more].gt_tensor(&(&scores[more - 1] + 1e-6));
            assert_eq!(differs.flatten(1, 3).any_dim(1, false), is_better, "{best_by:?}, {more}");
        }
        let gain = &scores[7] - &scores[0];
        assert!(gain.min().double_value(&[]) >= 0.0 && gain.max().double_value(&[]) > 0.0, "{gain:?}");
        for row in 0..4 {
            let class = classes(&[condition.class.as_ref().unwrap().int64_value(&[row])]);
            let alone = sample(prior.as_ref(), &class, 1, &sampling(8), row as u64, None).unwrap();
            assert_eq!(alone.indices.get(0), several[7].indices.get(row), "{best_by:?}, row {row}");
        }
    }
}

#[test]
fn greedy_samples_repeat_no_sequence_that_they_should_not() {
    for (_vs, prior) in guided() {
        let books = prior.spec().target.sizes.len();
        for n in 1..=4usize {
            let sampling = AutoregressiveSampling {
                temperature: 0.0,
                no_repeat_ngram: Some(n as i64),
                ..AutoregressiveSampling::default()
            };
            let drawn = sequence(&sample(prior.as_ref(), &classes(&[0, 2]), 2, &sampling, 0, None).unwrap());
            for row in 0..2 {
                let tokens = Vec::<i64>::try_from(drawn.get(row)).unwrap();
                for end in n..=tokens.len() {
                    let seen: Vec<&[i64]> = (n..end)
                        .filter(|other| (end - other) % books == 0)
                        .map(|other| &tokens[other - n..other])
                        .collect();
                    let size = prior.spec().target.sizes[(end - 1) % books] as usize;
                    // Where all tokens would be banned, the ban is lifted.
                    let lifted = {
                        let mut ends: Vec<i64> = seen
                            .iter()
                            .filter(|gram| gram[..n - 1] == tokens[end - n..end - 1])
                            .map(|gram| gram[n - 1])
                            .collect();
                        ends.sort_unstable();
                        ends.dedup();
                        ends.len() == size
                    };
                    assert!(lifted || !seen.contains(&&tokens[end - n..end]), "{n}: {tokens:?} at {end}");
                }
            }
        }
    }
}

/// Each token as a window of the trained size sees it, with a cursor of its own.
#[test]
fn a_larger_grid_is_drawn_through_a_window() {
    for (_vs, prior) in guided() {
        let (condition, size, books) = (classes(&[0, 1]), [7i64, 8i64], prior.spec().target.sizes.len() as i64);
        let sampling =
            AutoregressiveSampling { temperature: 0.0, size: Some(size), ..AutoregressiveSampling::default() };
        let drawn = sample(prior.as_ref(), &condition, 2, &sampling, 0, None).unwrap().indices;
        assert_eq!(drawn.size(), [2, books, 7, 8]);
        for place in 0..size[0] * size[1] {
            let at = [place / size[1], place % size[1]];
            let local = [0, 1].map(|axis| {
                let (trained, left) = ([4, 5][axis], size[axis] - at[axis]);
                let half = trained / 2;
                if at[axis] <= half {
                    at[axis]
                } else if left < trained - half {
                    trained - left
                } else {
                    half
                }
            });
            let window = drawn.narrow(2, at[0] - local[0], 4).narrow(3, at[1] - local[1], 5);
            let window = window.permute([0, 2, 3, 1]).flatten(1, 3);
            let mut cursor = autoregressive(prior.as_ref()).start(&condition, 2).unwrap();
            let before = (local[0] * 5 + local[1]) * books;
            cursor.prefill(&window.narrow(1, 0, before)).unwrap();
            for book in 0..books {
                let token = window.select(1, before + book);
                assert_eq!(cursor.logits().unwrap().argmax(1, false), token, "{at:?}");
                cursor.push(&token).unwrap();
            }
        }
    }
}

#[test]
fn a_grid_of_the_trained_size_is_the_plain_sample() {
    for (_vs, prior) in guided() {
        let draw = |size| {
            let sampling =
                AutoregressiveSampling { seed: 4, cfg_scale: 1.5, size, ..AutoregressiveSampling::default() };
            sample(prior.as_ref(), &classes(&[0, 1, 2]), 3, &sampling, 0, None).unwrap().indices
        };
        assert_eq!(draw(Some([4, 5])), draw(None));
    }
}

/// Windows see the part of a template that lies under them, and begin with a whole place of it.
#[test]
fn a_larger_grid_follows_a_larger_condition() {
    let spec = PriorSpec::new(vec![13], [4, 4])
        .with_condition_grid(GridSpec { sizes: vec![6], grid: [2, 2] })
        .with_condition_grid(GridSpec { sizes: vec![5, 3], grid: [8, 4] });
    let config = Gpt2Config { condition_dropout: 0.2, ..Gpt2Config::new(2, 2, 12) };
    let (_vs, prior) = build(&PriorConfig::Gpt2(config), &spec);
    let draws = Draws::new(1);
    let grid = |sizes: &[i64], side: [i64; 2]| {
        let books = sizes.iter().map(|size| draws.randint(*size, &[2, side[0], side[1]]));
        TokenGrid::new(Tensor::stack(&books.collect::<Vec<_>>(), 1), sizes.to_vec()).unwrap()
    };
    let (coarse, fine) = (grid(&[6], [3, 5]), grid(&[5, 3], [12, 10]));
    let condition = Condition::none().with_grid(coarse.shallow_clone()).with_grid(fine.shallow_clone());
    let sampling =
        AutoregressiveSampling { temperature: 0.0, size: Some([6, 10]), ..AutoregressiveSampling::default() };
    let drawn = sample(prior.as_ref(), &condition, 2, &sampling, 0, None).unwrap().indices;
    assert_eq!(drawn.size(), [2, 1, 6, 10]);
    let mut origins = Vec::new();
    for place in 0..60 {
        let at = [place / 10, place % 10];
        let origin = [0, 1].map(|axis| {
            let nearest = (at[axis] - 2).clamp(0, [6, 10][axis] - 4) / 2 * 2;
            if at[axis] - nearest < 4 { nearest } else { nearest + 2 }
        });
        let cut = |grid: &TokenGrid, first: [i64; 2], length: [i64; 2]| TokenGrid {
            indices: grid.indices.narrow(2, first[0], length[0]).narrow(3, first[1], length[1]),
            sizes: grid.sizes.clone(),
        };
        let part = Condition::none().with_grid(cut(&coarse, [origin[0] / 2, origin[1] / 2], [2, 2])).with_grid(cut(
            &fine,
            [origin[0] * 2, origin[1]],
            [8, 4],
        ));
        let window = drawn.narrow(2, origin[0], 4).narrow(3, origin[1], 4).flatten(1, 3);
        let before = (at[0] - origin[0]) * 4 + at[1] - origin[1];
        let mut cursor = autoregressive(prior.as_ref()).start(&part, 2).unwrap();
        cursor.prefill(&window.narrow(1, 0, before)).unwrap();
        assert_eq!(cursor.logits().unwrap().argmax(1, false), window.select(1, before), "{at:?}");
        origins.push(origin);
    }
    origins.sort_unstable();
    origins.dedup();
    assert!(origins.len() > 4, "{origins:?}");
    let guided = AutoregressiveSampling { cfg_scale: 3.0, ..sampling };
    assert_ne!(sample(prior.as_ref(), &condition, 2, &guided, 0, None).unwrap().indices, drawn);
}

#[test]
fn a_larger_grid_does_not_depend_on_its_neighbours_and_keeps_known_tokens() {
    for (_vs, prior) in guided() {
        let sampling = AutoregressiveSampling {
            size: Some([6, 9]),
            no_repeat_ngram: Some(5),
            best_of: 2,
            ..AutoregressiveSampling::default()
        };
        let draw = |labels: &[i64], first: u64| {
            let batch = labels.len() as i64;
            sample(prior.as_ref(), &classes(labels), batch, &sampling, first, None).unwrap()
        };
        let together = draw(&[0, 1, 2], 0);
        for row in 0..3 {
            assert_eq!(draw(&[row], row as u64).indices.get(0), together.indices.get(row), "row {row}");
        }
        let top = Tensor::arange(6, (Kind::Int64, CPU)).lt(4).view([1, 6, 1]).expand([3, 6, 9], false).contiguous();
        let given = KnownTokens::new(together.shallow_clone(), top).unwrap();
        let other = AutoregressiveSampling { seed: 1, ..sampling.clone() };
        let completed = sample(prior.as_ref(), &classes(&[0, 1, 2]), 3, &other, 0, Some(&given)).unwrap().indices;
        assert_eq!(completed.narrow(2, 0, 4), together.indices.narrow(2, 0, 4));
        assert_ne!(completed, together.indices);
        // What stands above is what the rest follows.
        let plain = AutoregressiveSampling { best_of: 1, ..sampling.clone() };
        let first = sample(prior.as_ref(), &classes(&[0, 1, 2]), 3, &plain, 0, None).unwrap();
        let mask = Tensor::arange(6, (Kind::Int64, CPU)).lt(4).view([1, 6, 1]).expand([3, 6, 9], false).contiguous();
        let given = KnownTokens::new(first.shallow_clone(), mask).unwrap();
        let again = sample(prior.as_ref(), &classes(&[0, 1, 2]), 3, &plain, 0, Some(&given)).unwrap();
        assert_eq!(again.indices, first.indices);
    }
}

/// The tokens that another order draws stand where that order reads them.
#[test]
fn a_sample_in_another_order_is_written_where_it_belongs() {
    let config = Gpt2Config { order: TokenOrder::SpiralIn, ..Gpt2Config::new(2, 2, 12) };
    let spec = PriorSpec::new(vec![9, 7], [4, 4]);
    let (_vs, prior) = build(&PriorConfig::Gpt2(config), &spec);
    let greedy = AutoregressiveSampling { temperature: 0.0, ..AutoregressiveSampling::default() };
    let drawn = sample(prior.as_ref(), &Condition::none(), 2, &greedy, 0, None).unwrap();
    let mut cursor = autoregressive(prior.as_ref()).start(&Condition::none(), 2).unwrap();
    for place in TokenOrder::SpiralIn.raster_positions([4, 4]).unwrap() {
        for book in 0..2 {
            let token = drawn.indices.select(1, book).flatten(1, 2).select(1, place);
            assert_eq!(cursor.logits().unwrap().argmax(1, false), token);
            cursor.push(&token).unwrap();
        }
    }
    let mask = Draws::new(2).rand(&[2, 4, 4]).lt(0.5);
    let given = KnownTokens::new(drawn.shallow_clone(), mask).unwrap();
    let again = sample(prior.as_ref(), &Condition::none(), 2, &greedy, 0, Some(&given)).unwrap();
    assert_eq!(again.indices, drawn.indices);
    let larger = AutoregressiveSampling { size: Some([4, 5]), ..greedy };
    let message = sample(prior.as_ref(), &Condition::none(), 2, &larger, 0, None).unwrap_err().to_string();
    assert!(message.contains("raster order"), "{message}");
}

/// Counts what a sampler asks of a cursor.
#[derive(Debug)]
struct Counting {
    spec: PriorSpec,
    calls: std::sync::Mutex<Vec<String>>,
}

struct CountingCursor<'p>(&'p Counting, i64, i64);

impl Prior for Counting {
    fn spec(&self) -> &PriorSpec {
        &self.spec
    }
    fn device(&self) -> Device {
        CPU
    }
    fn loss(&self, _: &[TokenGrid], _: &Condition, _: bool) -> Result<PriorLoss, PriorError> {
        unreachable!()
    }
    fn null(&self, _: &Condition, _: i64) -> Result<Condition, PriorError> {
        unreachable!()
    }
    fn generate(&self, condition: &Condition, options: &SampleOptions) -> Result<Sampled, PriorError> {
        vqkit_priors::autoregressive::sample(self, condition, options)
    }
    fn check_sampling(&self, sampling: &Sampling) -> Result<(), PriorError> {
        vqkit_priors::autoregressive::check(self, sampling)
    }
}

impl Autoregressive for Counting {
    fn logits(&self, _: &TokenGrid, _: &Condition) -> Result<Tensor, PriorError> {
        unreachable!()
    }
    fn start(&self, _: &Condition, batch: i64) -> Result<Box<dyn Cursor + '_>, PriorError> {
        self.calls.lock().expect("one thread").push(format!("start {batch}"));
        Ok(Box::new(CountingCursor(self, batch, 0)))
    }
    fn row_multiple(&self) -> i64 {
        1
    }
}

impl Cursor for CountingCursor<'_> {
    fn logits(&mut self) -> Result<Tensor, PriorError> {
        Ok(Tensor::zeros([self.1, 4], (Kind::Float, CPU)))
    }
    fn push(&mut self, _: &Tensor) -> Result<(), PriorError> {
        self.2 += 1;
        self.0.calls.lock().expect("one thread").push("push".into());
        Ok(())
    }
    fn prefill(&mut self, tokens: &Tensor) -> Result<(), PriorError> {
        self.2 += tokens.size()[1];
        self.0.calls.lock().expect("one thread").push(format!("prefill {}", tokens.size()[1]));
        Ok(())
    }
    fn position(&self) -> i64 {
        self.2
    }
    fn len(&self) -> i64 {
        self.0.spec.positions()
    }
}

#[test]
fn a_prefix_that_all_rows_have_costs_one_pass() {
    let prior = Counting { spec: PriorSpec::new(vec![4], [3, 3]), calls: Default::default() };
    let tokens = TokenGrid::new(Tensor::zeros([2, 1, 3, 3], (Kind::Int64, CPU)), vec![4]).unwrap();
    let top = Tensor::arange(3, (Kind::Int64, CPU)).lt(2).view([1, 3, 1]).expand([2, 3, 3], false).contiguous();
    let given = KnownTokens::new(tokens, top).unwrap();
    sample(&prior, &Condition::none(), 2, &AutoregressiveSampling::default(), 0, Some(&given)).unwrap();
    assert_eq!(*prior.calls.lock().unwrap(), ["start 2", "prefill 6", "push", "push"]);
}

#[test]
fn weights_that_a_prior_does_not_have_are_refused() {
    let config = PriorConfig::PixelCnn(GatedPixelCnnConfig::new(8, 2));
    let (_vs, mut prior) = build(&config, &PriorSpec::new(vec![9], [4, 5]));
    assert!(prior.set_weight_dtype(WeightDtype::Fp32).is_ok());
    let message = prior.set_weight_dtype(WeightDtype::Int8).unwrap_err().to_string();
    assert!(message.contains("`weight_dtype`") && message.contains("int8") && message.contains("fp32"), "{message}");
}

#[test]
fn logits_that_are_no_numbers_are_an_error_that_names_the_sample() {
    for (vs, prior) in guided() {
        tch::no_grad(|| vs.trainable_variables().iter_mut().for_each(|variable| drop(variable.fill_(f64::NAN))));
        for temperature in [0.0, 1.0] {
            for (top_k, top_p) in [(None, None), (Some(2), None), (None, Some(0.9))] {
                let sampling = AutoregressiveSampling {
                    temperature,
                    top_k,
                    top_p,
                    cfg_scale: 2.0,
                    ..AutoregressiveSampling::default()
                };
                let error = sample(prior.as_ref(), &classes(&[0, 1]), 2, &sampling, 7, None).unwrap_err();
                assert!(matches!(error, PriorError::Logits { sample: 7 }), "{error}");
            }
        }
    }
}

#[test]
fn drawing_stops_before_the_next_token() {
    for (_vs, prior) in guided() {
        let asked = std::cell::Cell::new(0);
        let after_three = || asked.replace(asked.get() + 1) == 3;
        let sampling = AutoregressiveSampling { best_of: 2, ..AutoregressiveSampling::default() };
        let options = SampleOptions { is_stopped: &after_three, ..options(2, &sampling, 0, None) };
        let stopped = prior.generate(&classes(&[0, 1]), &options);
        assert!(matches!(stopped, Err(PriorError::Stopped)));
        assert_eq!(asked.get(), 4);
    }
}

#[test]
fn what_no_memory_holds_is_refused_before_it_is_asked_for() {
    let (_vs, prior) = build(&PriorConfig::PixelCnn(GatedPixelCnnConfig::new(8, 2)), &PriorSpec::new(vec![9], [4, 5]));
    let sampling = AutoregressiveSampling { size: Some([1 << 16, 1 << 16]), ..AutoregressiveSampling::default() };
    for batch in [1 << 20, i64::MAX] {
        let error = sample(prior.as_ref(), &Condition::none(), batch, &sampling, 0, None).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("drawing {batch} grids of 4294967296 tokens at once would take")),
            "{error}"
        );
    }
}
