//! What every training loop shares: optimizer, averaged weights, checkpoints, logs, progress and the way back.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tch::{Tensor, nn::VarStore};
use vqkit_torch::{ema::WeightEma, optim::clip_grad_norm, rng, weights};

use crate::{
    checkpoint::Checkpoints,
    context::Context,
    error::{PipelineError, Result},
    files,
    log::{self, LogOffsets, StageLog},
    optimizer::Optimizer,
    pictures::Picture,
    progress::Progress,
    recipe::Train,
    run::Run,
};

/// Tensors by name.
pub type Tensors = BTreeMap<String, Tensor>;

const MODEL: &str = "model.safetensors";
const EMA: &str = "ema.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const STATE: &str = "state.json";
const CLOCK: &str = "clock.json";
const RNG: &str = "rng";
const COUNTER: &str = "counter.";

/// Which way a figure on held-out data gets better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// PSNR.
    Higher,
    /// Bits per token.
    Lower,
}

/// A network in training.
pub struct Trainer {
    stage: String,
    run: PathBuf,
    train: Train,
    vs: VarStore,
    optimizer: Optimizer,
    ema: Option<WeightEma>,
    checkpoints: Checkpoints,
    state: State,
    counters: Tensors,
    /// Global norm of the latest gradients, before they were clipped.
    gradient_norm: Option<Tensor>,
    log: StageLog,
    progress: Progress,
    context: Context,
}

/// `state.json`: where training stands. The same for the same recipe, whatever the machine's pace.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct State {
    /// Steps done.
    step: u64,
    /// Samples consumed: the position in the data.
    samples: u64,
    /// Updates of the averaged weights.
    ema_updates: i64,
    /// The best figure so far on held-out data.
    best: Option<f64>,
}

/// `clock.json`: what differs from one machine to another.
#[derive(Debug, Serialize, Deserialize)]
struct Clock {
    logs: LogOffsets,
}

impl Trainer {
    /// Takes the network's variables over; where the stage has a checkpoint, restores it and cuts the logs back to it.
    ///
    /// # Errors
    /// When the checkpoint does not fit the network, or a file cannot be read or written.
    pub fn begin(run: &mut Run, stage: &str, train: &Train, mut vs: VarStore, context: &Context) -> Result<Self> {
        let began = run.begin(stage)?;
        let checkpoints = Checkpoints::open(&run.folder(stage), train.keep)?;
        let mut optimizer = Optimizer::new(&vs, train)?;
        let averages = train.ema_decay > 0.0;
        let mut ema = averages.then(|| WeightEma::new(&vs, train.ema_decay, true)).transpose()?;
        let mut state = State::default();
        let mut counters = Tensors::new();
        let logs = match checkpoints.last() {
            None => began,
            Some(path) => {
                state = files::read_json(&path.join(STATE))?;
                weights::load(&path.join(MODEL), &mut vs)?;
                if let Some(ema) = &mut ema {
                    ema.load(&weights::read(&path.join(EMA))?, state.ema_updates)?;
                }
                counters = restore_optimizer(&path.join(OPTIMIZER), &mut optimizer, context)?;
                files::read_json::<Clock>(&path.join(CLOCK))?.logs
            }
        };
        log::cut(run.path(), logs)?;
        let log = StageLog::open(run.path(), stage)?;
        let progress = Progress::new(stage, "steps", state.step, train.steps);
        Ok(Self {
            stage: stage.to_owned(),
            run: run.path().to_owned(),
            train: train.clone(),
            vs,
            optimizer,
            ema,
            checkpoints,
            state,
            counters,
            gradient_norm: None,
            log,
            progress,
            context: context.clone(),
        })
    }

    /// Steps done.
    pub fn step(&self) -> u64 {
        self.state.step
    }

    /// Samples consumed.
    pub fn samples(&self) -> u64 {
        self.state.samples
    }

    /// Whether all steps are done.
    pub fn is_done(&self) -> bool {
        self.state.step >= self.train.steps
    }

    /// Whether this is the very beginning, when codebooks get their first values.
    pub fn is_fresh(&self) -> bool {
        self.state.step == 0
    }

    /// Counters that a loop keeps over many steps, as the checkpoint restored them.
    pub fn counters(&self) -> &Tensors {
        &self.counters
    }

    /// Counters that a loop keeps over many steps, saved with every checkpoint.
    pub fn set_counters(&mut self, counters: Tensors) {
        self.counters = counters;
    }

    /// Whether the step just done is one to log.
    pub fn logs_now(&self) -> bool {
        self.is_due(self.train.log_every)
    }

    /// Whether the step just done is one to measure on held-out data.
    pub fn evaluates_now(&self) -> bool {
        self.is_due(self.train.evaluate_every)
    }

    fn is_due(&self, every: u64) -> bool {
        self.state.step.is_multiple_of(every) || self.is_done()
    }

    /// One step down the gradient of `loss`; `terms` are named if it is not finite.
    ///
    /// # Errors
    /// When the loss is NaN or infinite, or libtorch refuses.
    pub fn descend(&mut self, loss: &Tensor, samples: u64, terms: &[(&str, &Tensor)]) -> Result<()> {
        self.check_finite(loss, terms)?;
        self.optimizer.zero_grad();
        loss.f_backward()?;
        if self.train.clip_norm > 0.0 {
            self.gradient_norm = Some(clip_grad_norm(&self.vs.trainable_variables(), self.train.clip_norm)?);
        }
        let rate = self.train.learning_rate * self.train.schedule.factor(self.state.step, self.train.steps);
        self.optimizer.set_learning_rate(rate);
        self.optimizer.step()?;
        self.state.step += 1;
        self.state.samples = samples;
        self.progress.advance(1);
        Ok(())
    }

    /// Follows the weights with their average; call it when everything that moves in a step has moved.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn average(&mut self) -> Result<()> {
        if let Some(ema) = &mut self.ema {
            ema.update(&self.vs)?;
            self.state.ema_updates = ema.num_updates();
        }
        Ok(())
    }

    fn check_finite(&self, loss: &Tensor, terms: &[(&str, &Tensor)]) -> Result<()> {
        let waits_for_no_one = !self.vs.device().is_cuda();
        if (waits_for_no_one || self.is_due(self.train.log_every)) && !loss.double_value(&[]).is_finite() {
            let terms: Vec<String> =
                terms.iter().map(|(name, term)| format!("{name} {}", term.double_value(&[]))).collect();
            let reason = format!(
                "the loss is not a finite number ({}): lower learning_rate, warm it up longer, or use precision = \"fp32\"; \
                 the last checkpoint is sound",
                terms.join(", ")
            );
            return Err(PipelineError::Training { stage: self.stage.clone(), step: self.state.step + 1, reason });
        }
        Ok(())
    }

    /// Logs figures of the step just done, with the norm of its gradients, and shows `shown` beside the bar.
    ///
    /// # Errors
    /// When a log cannot be written.
    pub fn log(&mut self, mut figures: Vec<(String, f64)>, shown: &str) -> Result<()> {
        self.progress.say(shown);
        figures.extend(self.gradient_norm.take().map(|norm| ("gradient_norm".into(), norm.double_value(&[]))));
        self.log.figures(self.state.step, &figures)
    }

    /// Logs a picture.
    ///
    /// # Errors
    /// When the log cannot be written.
    pub fn log_picture(&mut self, name: &str, picture: &Picture) -> Result<()> {
        self.log.picture(self.state.step, name, picture)
    }

    /// A line above the bar.
    pub fn note(&self, line: &str) {
        self.progress.note(line);
    }

    /// Runs `measure` with the averaged weights in place of the trained ones, where there are any.
    ///
    /// # Errors
    /// When libtorch refuses, or `measure` fails.
    pub fn with_average<T>(&mut self, measure: impl FnOnce() -> Result<T>) -> Result<T> {
        let Some(ema) = &self.ema else { return measure() };
        let trained = weights::tensors(&self.vs).into_iter().map(|(name, value)| (name, value.copy())).collect();
        ema.copy_to(&mut self.vs)?;
        let measured = measure();
        weights::assign(&trained, &mut self.vs)?;
        measured
    }

    /// Ends a step: writes a checkpoint where one is due, where `figure` is the best so far, or where the user wants to
    /// leave.
    ///
    /// # Errors
    /// [`PipelineError::Interrupted`] after the checkpoint, when the user wants to leave; when it cannot be written.
    pub fn end_step(&mut self, figure: Option<(f64, Better)>) -> Result<()> {
        let is_best = figure.is_some_and(|(value, better)| {
            self.state.best.is_none_or(|best| match better {
                Better::Higher => value > best,
                Better::Lower => value < best,
            })
        });
        if let (true, Some((value, _))) = (is_best, figure) {
            self.state.best = Some(value);
        }
        let leaves = self.context.interrupt.is_set();
        if is_best || leaves || self.is_due(self.train.checkpoint_every) {
            self.save(is_best)?;
        }
        if leaves && !self.is_done() {
            return Err(PipelineError::Interrupted);
        }
        Ok(())
    }

    fn save(&mut self, is_best: bool) -> Result<()> {
        self.log.flush()?;
        let mut moving = self.optimizer.state();
        moving.insert(RNG.into(), rng::state(self.vs.device())?);
        moving.extend(self.counters.iter().map(|(name, value)| (format!("{COUNTER}{name}"), value.shallow_clone())));
        let clock = Clock { logs: log::offsets(&self.run) };
        let none = BTreeMap::new();
        self.checkpoints.write(self.state.step, is_best, |folder| {
            weights::save(&folder.join(MODEL), &weights::tensors(&self.vs), &none)?;
            if let Some(ema) = &self.ema {
                weights::save(&folder.join(EMA), &ema.tensors(), &none)?;
            }
            weights::save(&folder.join(OPTIMIZER), &moving, &none)?;
            files::write_json(&folder.join(STATE), &self.state)?;
            files::write_json(&folder.join(CLOCK), &clock)
        })
    }

    /// Ends the stage: the line that stays, and the checkpoint that later stages use.
    ///
    /// # Errors
    /// When there is none.
    pub fn finish(self) -> Result<PathBuf> {
        let best = self.state.best.map_or(String::new(), |best| format!(", best held-out figure {best:.3}"));
        self.progress.finish(&format!("{} steps done{best}", self.state.step));
        let folder = self.run.join(&self.stage);
        self.checkpoints.chosen().ok_or_else(|| PipelineError::artifact(&folder, "no checkpoint was written"))
    }
}

/// The weights that a checkpoint holds for use: the averaged ones where there are any.
///
/// # Errors
/// When they do not fit the variables.
pub fn load_for_use(checkpoint: &Path, vs: &mut VarStore) -> Result<()> {
    let averaged = checkpoint.join(EMA);
    let path = if averaged.is_file() { averaged } else { checkpoint.join(MODEL) };
    Ok(weights::load(&path, vs)?)
}

/// blake3 of the weights that a checkpoint holds for use.
///
/// # Errors
/// When they cannot be read.
pub fn fingerprint(checkpoint: &Path) -> Result<String> {
    let averaged = checkpoint.join(EMA);
    let path = if averaged.is_file() { averaged } else { checkpoint.join(MODEL) };
    let bytes = std::fs::read(&path).map_err(|source| PipelineError::io("read", &path, source))?;
    Ok(blake3::hash(&bytes).to_hex().to_string())
}

fn restore_optimizer(path: &Path, optimizer: &mut Optimizer, context: &Context) -> Result<Tensors> {
    let mut moving = weights::read(path)?;
    let state = moving.remove(RNG).ok_or_else(|| PipelineError::artifact(path, "holds no random state"))?;
    rng::set_state(context.device, &state)?;
    let (counters, moments): (Tensors, Tensors) = moving.into_iter().partition(|(name, _)| name.starts_with(COUNTER));
    optimizer.load_state(moments)?;
    Ok(counters.into_iter().map(|(name, value)| (name[COUNTER.len()..].to_owned(), value)).collect())
}
