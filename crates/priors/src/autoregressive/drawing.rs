//! A batch of grids being drawn: cursor, noise, and what was drawn.

use tch::{Device, Kind, Tensor};

use super::draw::{self, Drawn};
use super::known::{KnownSequence, KnownStep};
use super::ngram::NoRepeat;
use super::noise;
use super::window::Windows;
use crate::{Autoregressive, AutoregressiveSampling, Condition, Cursor, PriorError};

/// The input that all candidates of a batch share.
pub(super) struct Task<'t> {
    pub prior: &'t dyn Autoregressive,
    pub sampling: &'t AutoregressiveSampling,
    pub windows: Windows,
    /// Of `R` rows; `R` unconditional rows follow `with_null`.
    pub condition: Condition,
    pub known: Option<KnownSequence>,
    /// `R`, padding included.
    pub num_rows: i64,
    /// Whether the null condition is read beside the condition.
    pub with_null: bool,
    pub first_sample: u64,
    /// Whether log-likelihoods are wanted.
    pub scored: bool,
    /// Asked before every token.
    pub is_stopped: &'t dyn Fn() -> bool,
}

/// One candidate of every row.
pub(super) struct Candidate {
    /// In the order of drawing, `[positions, R]`.
    pub tokens: Tensor,
    /// In nats, `[R]` f64; zero where `scored` is false.
    pub log_likelihood: Tensor,
    /// What candidates are compared by, `[R]` f64: the highest is the best.
    pub score: Tensor,
}

/// A candidate being drawn.
struct Drawing<'t> {
    task: &'t Task<'t>,
    /// The origin of the cursor's window, and the cursor.
    cursor: Option<([i64; 2], Box<dyn Cursor + 't>)>,
    /// `[positions, R]`
    noise: Tensor,
    /// `[positions, branches · R]`: with the null condition every row twice, as the cursor reads them.
    tokens: Tensor,
    /// `[R]`, f64
    log_likelihood: Tensor,
    /// The same under the null condition, where candidates are compared by it; else zero.
    null_log_likelihood: Tensor,
    /// `[R]`, f64: a number that is finite as long as all logits are; read once at the end, since that waits for the device.
    witness: Tensor,
    no_repeat: Option<NoRepeat>,
}

impl Task<'_> {
    /// Draws candidate `index` of every row.
    pub(super) fn draw(&self, index: u64) -> Result<Candidate, PriorError> {
        let (rows, length, device) = (self.num_rows, self.windows.positions(), self.prior.device());
        let no_repeat = |n| NoRepeat::new(n, &self.prior.spec().target.sizes, length, rows, device);
        let mut drawing = Drawing {
            task: self,
            cursor: None,
            noise: noise::uniform(self.sampling.seed, self.first_sample, index, rows, length).to_device(device),
            tokens: Tensor::empty([length, self.branches() * rows], (Kind::Int64, device)),
            log_likelihood: Tensor::zeros([rows], (Kind::Double, device)),
            null_log_likelihood: Tensor::zeros([rows], (Kind::Double, device)),
            witness: Tensor::zeros([rows], (Kind::Double, device)),
            no_repeat: self.sampling.no_repeat_ngram.map(no_repeat),
        };
        for position in 0..length {
            if (self.is_stopped)() {
                return Err(PriorError::Stopped);
            }
            let tokens = drawing.next(position)?;
            drawing.tokens.get(position).view([-1, rows]).copy_(&tokens.unsqueeze(0));
            if let Some(no_repeat) = &mut drawing.no_repeat {
                no_repeat.write(&tokens, position);
            }
        }
        drawing.check_witness()?;
        let score = &drawing.log_likelihood - &drawing.null_log_likelihood;
        Ok(Candidate { tokens: drawing.tokens.narrow(1, 0, rows), log_likelihood: drawing.log_likelihood, score })
    }

    fn branches(&self) -> i64 {
        1 + i64::from(self.with_null)
    }
}

impl Drawing<'_> {
    /// The tokens `[R]` of a position. Where all are known, no logits are asked for, and the cursor reads these tokens later with others.
    fn next(&mut self, position: i64) -> Result<Tensor, PriorError> {
        match self.task.known.as_ref().and_then(|known| known.at(position)) {
            Some(KnownStep { tokens, mask: None }) => Ok(tokens),
            Some(KnownStep { tokens, mask: Some(mask) }) => {
                let drawn = self.draw(position, Some(&mask))?;
                Ok(tokens.where_self(&mask, &drawn))
            }
            None => self.draw(position, None),
        }
    }

    /// Draws tokens `[R]`, of which those of rows in `known` `[R]`, bool, do not count.
    fn draw(&mut self, position: i64, known: Option<&Tensor>) -> Result<Tensor, PriorError> {
        let Task { sampling, num_rows, windows, .. } = *self.task;
        let logits = self.logits(position)?;
        let conditional = logits.narrow(0, 0, num_rows);
        let scale = sampling.cfg_schedule.scale(sampling.cfg_scale, position, windows.positions());
        let mut steered = match scale == 1.0 {
            true => conditional.shallow_clone(),
            // Not by `lerp`, which fuses the two steps for some of the numbers; for which of them depends on the batch.
            false => {
                let null = logits.narrow(0, num_rows, num_rows);
                &null + (&conditional - &null) * scale
            }
        };
        if let Some(no_repeat) = &mut self.no_repeat {
            steered = no_repeat.apply(&steered, position);
        }
        let Drawn { tokens, witness } = draw::draw(&steered, sampling, &self.noise.get(position));
        self.witness += witness;
        if self.task.scored {
            self.log_likelihood += log_likelihood(&conditional, &tokens, known)?;
        }
        if sampling.compares_by_condition() {
            let null = logits.narrow(0, num_rows, num_rows);
            self.null_log_likelihood += log_likelihood(&null, &tokens, known)?;
        }
        Ok(tokens)
    }

    /// Whether all logits were finite; tokens drawn from others mean nothing.
    fn check_witness(&self) -> Result<(), PriorError> {
        let sound: Vec<bool> = Vec::try_from(self.witness.isfinite().to_device(Device::Cpu))?;
        match sound.iter().position(|sound| !sound) {
            None => Ok(()),
            Some(row) => Err(PriorError::Logits { sample: self.task.first_sample.saturating_add(row as u64) }),
        }
    }

    /// Logits `[branches · R, K]` of a position; before, the cursor reads the tokens of its window that it has not read yet.
    fn logits(&mut self, position: i64) -> Result<Tensor, PriorError> {
        let Task { prior, windows, num_rows, .. } = *self.task;
        let view = windows.view(position);
        let is_usable = |(origin, cursor): &([i64; 2], Box<dyn Cursor + '_>)| {
            *origin == view.origin && cursor.position() <= view.local
        };
        let (_, cursor) = match self.cursor.take().filter(is_usable) {
            Some(cursor) => self.cursor.insert(cursor),
            None => {
                let condition = windows.part(&self.task.condition, view.origin, prior.spec())?;
                let cursor = prior.start(&condition, self.task.branches() * num_rows)?;
                self.cursor.insert((view.origin, cursor))
            }
        };
        match windows.positions_in(view.origin, cursor.position(), view.local).as_slice() {
            [] => {}
            [last] => cursor.push(&self.tokens.get(*last))?,
            several => {
                let read = Tensor::from_slice(several).to_device(self.tokens.device());
                cursor.prefill(&self.tokens.index_select(0, &read).transpose(0, 1))?;
            }
        }
        cursor.logits()
    }
}

/// The log-likelihood `[R]` of tokens `[R]` under logits `[R, K]`; zero in rows in `known` `[R]`, bool.
fn log_likelihood(logits: &Tensor, tokens: &Tensor, known: Option<&Tensor>) -> Result<Tensor, PriorError> {
    let all = logits.log_softmax(-1, Kind::Float);
    let own = all.f_gather(1, &tokens.unsqueeze(1), false)?.squeeze_dim(1);
    Ok(known.map_or_else(|| own.shallow_clone(), |known| own.masked_fill(known, 0.0)))
}
