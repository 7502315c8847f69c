//! How long work shows itself: a bar on a terminal, a line now and then elsewhere.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::terminal::{is_watched, say};

/// Progress of one stage, on standard error.
pub struct Progress {
    bar: ProgressBar,
    stage: String,
    unit: &'static str,
    began_at: u64,
    started: Instant,
    said: Option<Instant>,
}

const QUIET: Duration = Duration::from_secs(15);

impl Progress {
    /// Begins at `position` of `length` units.
    pub fn new(stage: &str, unit: &'static str, position: u64, length: u64) -> Self {
        let bar = ProgressBar::new(length).with_position(position).with_prefix(stage.to_owned());
        let template = format!("{{prefix:>10}} {{bar:30}} {{pos}}/{{len}} {unit} {{per_sec}} {{eta}} left  {{msg}}");
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style);
        }
        bar.reset_eta();
        Self { bar, stage: stage.to_owned(), unit, began_at: position, started: Instant::now(), said: None }
    }

    /// Moves on by `count` units.
    pub fn advance(&self, count: u64) {
        self.bar.inc(count);
    }

    /// Shows the figures that matter now.
    pub fn say(&mut self, figures: &str) {
        self.bar.set_message(figures.to_owned());
        if !is_watched() && self.said.is_none_or(|at| at.elapsed() > QUIET) {
            self.said = Some(Instant::now());
            self.print_line(figures);
        }
    }

    /// Prints a line of its own, above the bar.
    pub fn note(&self, line: &str) {
        self.bar.suspend(|| say(format_args!("{:>10} {line}", self.stage)));
    }

    /// Ends with a line that stays.
    pub fn finish(self, summary: &str) {
        self.bar.finish_and_clear();
        say(format_args!("{:>10} {summary} ({:.0} s)", self.stage, self.started.elapsed().as_secs_f64()));
    }

    fn print_line(&self, figures: &str) {
        let (position, length) = (self.bar.position(), self.bar.length().unwrap_or(0));
        let rate = (position - self.began_at) as f64 / self.started.elapsed().as_secs_f64().max(1e-9);
        let left = length.saturating_sub(position) as f64 / rate.max(1e-9);
        let (stage, unit) = (&self.stage, self.unit);
        say(format_args!("{stage:>10} {position}/{length} {unit}, {rate:.1}/s, {left:.0} s left  {figures}"));
    }
}
