//! Shared by all training loops: optimizer, averaged weights, checkpoints, logs, progress and resuming.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use tch::Tensor;
use vqkit_guard::{BandWatch, Fault, Guards};
use vqkit_recipe::{OnFault, Select, Train};
use vqkit_run::{
    CLOCK, COUNTER, Checkpoints, Context, DISCRIMINATOR, DISCRIMINATOR_OPTIMIZER, EMA, Event, Home, LORA, LogOffsets,
    MODEL, OPTIMIZER, Progress, RNG, RgbImage, Run, RunError, STATE, Shelter, StageLog, State, Tensors,
    checkpoint_weights, files, is_interruption, log,
};
use vqkit_torch::{ema::WeightEma, rng, weights};

use crate::{
    adapter_files::AdapterFiles, error::Result, error::TrainError, train_state::TrainState, train_state::is_finite,
};

/// The direction in which a validation metric improves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// PSNR.
    Maximize,
    /// Bits per token.
    Minimize,
}

/// The networks that a step updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Updated {
    /// The network alone.
    Network,
    /// Its discriminator alone.
    Discriminator,
    /// The network and its discriminator.
    Both,
}

/// A validation metric, and the direction in which it improves.
pub type Score = (f64, Goal);

/// A network in training.
pub struct Trainer {
    stage: String,
    run: PathBuf,
    home: Arc<Home>,
    train: Train,
    network: TrainState,
    discriminator: Option<TrainState>,
    ema: Option<WeightEma>,
    checkpoints: Checkpoints,
    adapter_files: Option<AdapterFiles>,
    state: State,
    counters: Tensors,
    guards: Guards,
    log: StageLog,
    bands: BandWatch,
    progress: Progress,
    context: Context,
    /// Keeps the program from ending before a step is finished.
    _shelter: Shelter,
}

/// `clock.json`: what differs from one machine to another.
#[derive(Debug, Serialize, Deserialize)]
struct Clock {
    logs: LogOffsets,
}

impl Trainer {
    /// Takes over the network, and its discriminator, if any; where the stage has a checkpoint, restores both and
    /// truncates the logs to it.
    ///
    /// # Errors
    /// When the checkpoint does not fit the networks, or a file cannot be read or written.
    pub fn begin(
        run: &mut Run,
        stage: &str,
        train: &Train,
        mut network: TrainState,
        mut discriminator: Option<TrainState>,
        context: &Context,
    ) -> Result<Self> {
        let began = run.begin(stage)?;
        let folder = run.make_folder(stage)?;
        let checkpoints = Checkpoints::open(&folder, train.keep)?;
        let averages = train.ema_decay > 0.0;
        let mut ema = averages.then(|| WeightEma::new(&network.vs, train.ema_decay, true)).transpose()?;
        let mut state = State::default();
        let mut counters = Tensors::new();
        let last = checkpoints.to_continue()?;
        let adapter_files = match &last {
            None => AdapterFiles::begin(&folder, &network)?,
            Some(checkpoint) => AdapterFiles::restore(&folder, checkpoint, &mut network)?,
        };
        let logs = match last {
            None => began,
            Some(path) => {
                state = files::read_json(&path.join(STATE))?;
                weights::load(&path.join(MODEL), &mut network.vs)?;
                if let Some(ema) = &mut ema {
                    ema.load(&weights::read(&path.join(EMA))?, state.ema_updates)?;
                }
                if let Some(discriminator) = &mut discriminator {
                    weights::load(&path.join(DISCRIMINATOR), &mut discriminator.vs)?;
                    discriminator.load_moments(weights::read(&path.join(DISCRIMINATOR_OPTIMIZER))?)?;
                }
                counters = restore_optimizer(&path.join(OPTIMIZER), &mut network, context)?;
                files::read_json::<Clock>(&path.join(CLOCK))?.logs
            }
        };
        let guards = Guards::restore(train.guard, &counters);
        log::cut(run.path(), logs)?;
        let log = StageLog::open(run.path(), stage)?;
        let bands = BandWatch::new(run.path(), stage)?;
        let progress = Progress::begin(&context.observer, stage, "steps", state.step, train.steps);
        Ok(Self {
            stage: stage.to_owned(),
            run: run.path().to_owned(),
            home: run.home()?,
            train: train.clone(),
            network,
            discriminator,
            ema,
            checkpoints,
            adapter_files,
            state,
            counters,
            guards,
            log,
            bands,
            progress,
            context: context.clone(),
            _shelter: context.interrupt.shelter(),
        })
    }

    /// Number of steps done.
    pub fn step(&self) -> u64 {
        self.state.step
    }

    /// Number of samples consumed.
    pub fn samples(&self) -> u64 {
        self.state.samples
    }

    /// Whether all steps are done.
    pub fn is_done(&self) -> bool {
        self.state.step >= self.train.steps
    }

    /// Whether training is about to start, when codebooks are initialized.
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

    /// Whether the step just done is to be logged.
    pub fn logs_now(&self) -> bool {
        self.is_due(self.train.log_every)
    }

    /// The result of `measure` after the step just done, where a validation is due. If the user interrupts it, the
    /// validation is noted as owed, and a resumed run does it first ([`settle`](Self::settle)).
    ///
    /// # Errors
    /// Those of `measure`.
    pub fn measure_if_due<T>(&mut self, measure: impl FnOnce(&mut Self) -> Result<T>) -> Result<Option<T>> {
        if !self.is_due(self.train.validate_every) {
            return Ok(None);
        }
        match measure(self) {
            Err(error) if is_interruption(&error) => {
                self.state.owes_measurement = true;
                Ok(None)
            }
            measured => measured.map(Some),
        }
    }

    /// Does the validation that the checkpoint owes, if it owes one.
    ///
    /// # Errors
    /// Those of `measure`; when the checkpoint cannot be written.
    pub fn settle(&mut self, measure: impl FnOnce(&mut Self) -> Result<Option<Score>>) -> Result<()> {
        if !self.state.owes_measurement {
            return Ok(());
        }
        let metric = measure(self)?;
        self.state.owes_measurement = false;
        let is_best = self.is_best(metric);
        self.save(is_best)
    }

    /// The guards of this training.
    pub fn guards(&self) -> &Guards {
        &self.guards
    }

    /// The same, for their readings.
    pub fn guards_mut(&mut self) -> &mut Guards {
        &mut self.guards
    }

    /// Does what the recipe wants about faults that are sure; `known`: what a monitor knows of the first of them.
    ///
    /// # Errors
    /// [`TrainError::Fault`], where training is to stop or to step back.
    pub fn answer(&self, faults: impl IntoIterator<Item = Fault>, known: Option<&str>) -> Result<()> {
        let Some(fault) = faults.into_iter().next() else { return Ok(()) };
        let verdict = known.unwrap_or(fault.verdict()).to_owned();
        match self.train.guard.on_fault {
            OnFault::Warn => {
                self.note(&format!("warning: {verdict}"));
                Ok(())
            }
            OnFault::Stop | OnFault::StepBack => {
                Err(TrainError::Fault { stage: self.stage.clone(), step: self.state.step, fault, verdict })
            }
        }
    }

    fn is_due(&self, every: u64) -> bool {
        self.state.step.is_multiple_of(every) || self.is_done()
    }

    /// The network and its discriminator, to compute gradients for.
    pub fn states(&mut self) -> (&mut TrainState, Option<&mut TrainState>) {
        (&mut self.network, self.discriminator.as_mut())
    }

    /// Checks the terms of a step.
    ///
    /// # Errors
    /// [`TrainError::Diverged`] that names the first that is NaN or infinite.
    pub fn check_terms(&self, terms: &[(&str, &Tensor)]) -> Result<()> {
        if !self.looks_now() {
            return Ok(());
        }
        match terms.iter().find(|(_, term)| !is_finite(term)) {
            None => Ok(()),
            Some((name, _)) => Err(not_finite(&self.stage, self.state.step + 1, &format!("the loss `{name}`"))),
        }
    }

    /// Updates weights with their gradients; `samples` is the position in the data after this step.
    ///
    /// # Errors
    /// [`TrainError::Diverged`] when a gradient is NaN or infinite, before any weight is updated; when libtorch
    /// refuses.
    pub fn step_weights(&mut self, samples: u64, updated: Updated) -> Result<()> {
        let looks = self.looks_now();
        let slower = self.train.guard.rate_factor.powi(self.state.step_backs as i32);
        let factor = self.train.schedule.factor(self.state.step, self.train.steps) * slower;
        let (stage, step) = (&self.stage, self.state.step + 1);
        let network = (updated != Updated::Discriminator).then_some(&mut self.network);
        let discriminator = self.discriminator.as_mut().filter(|_| updated != Updated::Network);
        let mut states: Vec<&mut TrainState> = network.into_iter().chain(discriminator).collect();
        for state in &mut states {
            state.clip()?;
            if looks && state.gradient_norm().is_some_and(|norm| !norm.is_finite()) {
                let tensor = state.broken_gradient().unwrap_or("all weights together");
                return Err(not_finite(stage, step, &format!("the gradient of `{tensor}`")));
            }
        }
        for state in states {
            state.step(factor)?;
        }
        self.state.step += 1;
        self.state.samples = samples;
        self.progress.advance(1);
        Ok(())
    }

    /// One optimizer step on a batch's loss, given as the losses of its parts, each with its share of the batch;
    /// returns the loss of the whole batch. The error names `name` if it is not finite.
    ///
    /// # Errors
    /// As [`Trainer::check_terms`] and [`Trainer::step_weights`], and those of the parts.
    pub fn descend(
        &mut self,
        name: &'static str,
        parts: impl IntoIterator<Item = Result<(Tensor, f64)>>,
        samples: u64,
    ) -> Result<Tensor> {
        let loss = self.network.gather(parts)?;
        self.check_terms(&[(name, &loss)])?;
        self.step_weights(samples, Updated::Network)?;
        Ok(loss)
    }

    /// Updates the average of the weights; call it when everything in a step is updated.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn average(&mut self) -> Result<()> {
        if let Some(ema) = &mut self.ema {
            ema.update(&self.network.vs)?;
            self.state.ema_updates = ema.num_updates();
        }
        Ok(())
    }

    /// On a GPU only the steps that are logged wait for it.
    fn looks_now(&self) -> bool {
        !self.network.vs.device().is_cuda() || (self.state.step + 1).is_multiple_of(self.train.log_every)
    }

    /// Logs metrics of the step just done, the first time in a step with the norms of its gradients, and shows `shown`
    /// beside the bar.
    ///
    /// # Errors
    /// When a log cannot be written.
    pub fn log(&mut self, mut metrics: Vec<(String, f64)>, shown: &str) -> Result<()> {
        self.progress.status(shown);
        if self.logs_now() {
            let discriminator = self.discriminator.as_mut();
            let norms = [("gradient_norm", Some(&mut self.network)), ("discriminator_gradient_norm", discriminator)];
            let norm =
                |(name, state): (&str, Option<&mut TrainState>)| Some((name.to_owned(), state?.take_gradient_norm()?));
            metrics.extend(norms.into_iter().filter_map(norm));
        }
        let (stage, step) = (self.stage.as_str(), self.state.step);
        self.context.observer.observe(&Event::Measures { stage, step, values: &metrics });
        for left in self.bands.add(step, &metrics) {
            self.progress.note(&format!("warning: {left}"));
        }
        Ok(self.log.metrics(step, &metrics)?)
    }

    /// Logs an image.
    ///
    /// # Errors
    /// When the log cannot be written.
    pub fn log_picture(&mut self, name: &str, picture: &RgbImage) -> Result<()> {
        let (stage, step) = (self.stage.as_str(), self.state.step);
        self.context.observer.observe(&Event::Picture { stage, step, name, picture });
        Ok(self.log.picture(step, name, picture)?)
    }

    /// Shows a line above the bar.
    pub fn note(&self, line: &str) {
        self.progress.note(line);
    }

    /// Runs `measure` with the averaged weights in place of the trained ones, where there are any.
    ///
    /// # Errors
    /// When libtorch refuses, or `measure` fails.
    pub fn with_average<T>(&mut self, measure: impl FnOnce() -> Result<T>) -> Result<T> {
        let Some(ema) = &self.ema else { return measure() };
        let trained =
            weights::tensors(&self.network.vs).into_iter().map(|(name, value)| (name, value.copy())).collect();
        ema.copy_to(&mut self.network.vs)?;
        let measured = measure();
        weights::assign(&trained, &mut self.network.vs)?;
        measured
    }

    /// Ends a step: writes a checkpoint where one is due, where `metric` is the best so far, or where the user
    /// interrupts.
    ///
    /// # Errors
    /// [`RunError::Interrupted`] after the checkpoint, when the user interrupts; when it cannot be written.
    pub fn end_step(&mut self, metric: Option<Score>) -> Result<()> {
        self.home.check()?;
        let is_best = self.is_best(metric);
        let leaves = self.context.interrupt.is_set() || self.state.owes_measurement;
        if is_best || leaves || self.is_due(self.train.checkpoint_every) {
            self.save(is_best)?;
        }
        if leaves && (!self.is_done() || self.state.owes_measurement) {
            return Err(RunError::Interrupted.into());
        }
        Ok(())
    }

    /// Whether a metric is the best so far; if so, later ones are compared with it.
    fn is_best(&mut self, metric: Option<Score>) -> bool {
        let Some((value, better)) = metric else { return false };
        let is_best = self.state.best.is_none_or(|best| match better {
            Goal::Maximize => value > best,
            Goal::Minimize => value < best,
        });
        if is_best {
            self.state.best = Some(value);
        }
        is_best
    }

    fn save(&mut self, is_best: bool) -> Result<()> {
        for state in [Some(&self.network), self.discriminator.as_ref()].into_iter().flatten() {
            if let Some(tensor) = state.broken_weight() {
                return Err(not_finite(&self.stage, self.state.step, &format!("the weight `{tensor}`")));
            }
        }
        self.log.flush()?;
        let mut moving = self.network.moments();
        moving.insert(RNG.into(), rng::state(self.network.vs.device())?);
        let counters = self.counters.iter().map(|(name, value)| (name.clone(), value.shallow_clone()));
        // The loops may hand back what a checkpoint held of the guards.
        let counters = counters.chain(self.guards.save());
        moving.extend(counters.map(|(name, value)| (format!("{COUNTER}{name}"), value)));
        let clock = Clock { logs: log::offsets(&self.run) };
        let none = BTreeMap::new();
        self.checkpoints.write::<TrainError>(self.state.step, is_best, |folder| {
            weights::save(&folder.join(MODEL), &weights::tensors(&self.network.vs), &none)?;
            if let Some(discriminator) = &self.discriminator {
                weights::save(&folder.join(DISCRIMINATOR), &weights::tensors(&discriminator.vs), &none)?;
                weights::save(&folder.join(DISCRIMINATOR_OPTIMIZER), &discriminator.moments(), &none)?;
            }
            if let (Some(files), Some(adapter)) = (&self.adapter_files, self.network.adapter()) {
                weights::save(&folder.join(LORA), &adapter, &files.metadata())?;
            }
            if let Some(ema) = &self.ema {
                weights::save(&folder.join(EMA), &ema.tensors(), &none)?;
            }
            weights::save(&folder.join(OPTIMIZER), &moving, &none)?;
            files::write_json(&folder.join(STATE), &self.state)?;
            Ok(files::write_json(&folder.join(CLOCK), &clock)?)
        })?;
        let is_good = self.train.guard.on_fault == OnFault::StepBack && !self.guards.suspects();
        if is_good { Ok(self.checkpoints.mark_good()?) } else { Ok(()) }
    }

    /// Ends the stage: shows its last line, and returns the checkpoint that later stages use.
    ///
    /// # Errors
    /// When there is no checkpoint.
    pub fn finish(self) -> Result<PathBuf> {
        let best = self.state.best.map_or(String::new(), |best| format!(", best validation metric {best:.3}"));
        self.progress.finish(&format!("{} steps done{best}", self.state.step));
        let folder = self.run.join(&self.stage);
        let selected = match self.train.select {
            Select::Best => self.checkpoints.chosen()?,
            Select::Last => self.checkpoints.last()?,
        };
        Ok(selected.ok_or_else(|| RunError::artifact(&folder, "no checkpoint was written"))?)
    }
}

fn not_finite(stage: &str, step: u64, what: &str) -> TrainError {
    let reason = format!(
        "{what} is not finite: lower learning_rate, warm it up longer, or use precision = \"fp32\"; the last checkpoint is \
         sound"
    );
    TrainError::Diverged { stage: stage.to_owned(), step, reason }
}

/// Takes a stage back to its last checkpoint before a fault, from where it goes on with a lower learning rate; gives that
/// checkpoint's step. `None` where the recipe does not want that, there is no such checkpoint, or it was done as often as the recipe
/// allows.
///
/// # Errors
/// When a checkpoint cannot be read or written.
pub fn step_back(run: &Run, stage: &str, train: &Train) -> Result<Option<u64>> {
    if train.guard.on_fault != OnFault::StepBack {
        return Ok(None);
    }
    let checkpoints = Checkpoints::open(&run.make_folder(stage)?, train.keep)?;
    let state_of = |path: &Path| Ok::<State, TrainError>(files::read_json(&path.join(STATE))?);
    let done = checkpoints.last()?.map(|last| state_of(&last)).transpose()?.map_or(0, |state| state.step_backs);
    if done >= train.guard.max_step_backs {
        return Ok(None);
    }
    let Some(path) = checkpoints.step_back()? else { return Ok(None) };
    let state = State { step_backs: done + 1, ..state_of(&path)? };
    files::write_json(&path.join(STATE), &state)?;
    Ok(Some(state.step))
}

/// Whether a stage has no checkpoint yet to continue from.
///
/// # Errors
/// When its folder cannot be created, or the link to its last checkpoint is dangling.
pub fn is_new(run: &Run, stage: &str, train: &Train) -> Result<bool> {
    Ok(Checkpoints::open(&run.make_folder(stage)?, train.keep)?.last()?.is_none())
}

fn restore_optimizer(path: &Path, network: &mut TrainState, context: &Context) -> Result<Tensors> {
    let mut moving = weights::read(path)?;
    let state = moving.remove(RNG).ok_or_else(|| RunError::artifact(path, "holds no random state"))?;
    rng::set_state(context.device, &state)?;
    let (counters, moments) = checkpoint_weights::split_counters(moving);
    network.load_moments(moments)?;
    Ok(counters)
}
