//! Progress on standard error: bars on a terminal, a line from time to time elsewhere.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use vqkit::run::{Event, Observer};

use crate::terminal::{is_watched, say};

/// Without a terminal, a task reports its progress at most this often.
const QUIET: Duration = Duration::from_secs(15);

/// One bar for every task in progress.
#[derive(Debug, Default)]
pub struct Bars(Mutex<HashMap<String, Bar>>);

#[derive(Debug)]
struct Bar {
    bar: ProgressBar,
    unit: &'static str,
    began_at: u64,
    started: Instant,
    said: Option<Instant>,
}

impl Observer for Bars {
    fn observe(&self, event: &Event) {
        let mut bars = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match *event {
            Event::Began { task, unit, done, total } => {
                bars.insert(task.to_owned(), Bar::begin(task, unit, done, total));
            }
            Event::Advanced { task, units } => bars.get(task).map_or((), |bar| bar.bar.inc(units)),
            Event::Status { task, message } => bars.get_mut(task).map_or((), |bar| bar.status(task, message)),
            Event::Note { task, message } => above(bars.get(task), &format!("{task:>10} {message}")),
            Event::Warning { message } => above(bars.values().next(), &format!("warning: {message}")),
            Event::Finished { task, message } => {
                if let Some(bar) = bars.remove(task) {
                    bar.finish(task, message);
                }
            }
            _ => {}
        }
    }
}

/// Prints a line above a bar.
fn above(bar: Option<&Bar>, line: &str) {
    match bar {
        Some(bar) => bar.bar.suspend(|| say(line)),
        None => say(line),
    }
}

impl Bar {
    fn begin(task: &str, unit: &'static str, done: u64, total: u64) -> Self {
        let bar = ProgressBar::new(total).with_position(done).with_prefix(task.to_owned());
        let template = format!("{{prefix:>10}} {{bar:30}} {{pos}}/{{len}} {unit} {{per_sec}} {{eta}} left  {{msg}}");
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style);
        }
        bar.reset_eta();
        Self { bar, unit, began_at: done, started: Instant::now(), said: None }
    }

    fn status(&mut self, task: &str, message: &str) {
        self.bar.set_message(message.to_owned());
        if !is_watched() && self.said.is_none_or(|at| at.elapsed() > QUIET) {
            self.said = Some(Instant::now());
            self.say_line(task, message);
        }
    }

    fn say_line(&self, task: &str, message: &str) {
        let (position, length) = (self.bar.position(), self.bar.length().unwrap_or(0));
        let rate = (position - self.began_at) as f64 / self.started.elapsed().as_secs_f64().max(1e-9);
        let left = length.saturating_sub(position) as f64 / rate.max(1e-9);
        let unit = self.unit;
        say(format_args!("{task:>10} {position}/{length} {unit}, {rate:.1}/s, {left:.0} s left  {message}"));
    }

    fn finish(self, task: &str, message: &str) {
        self.bar.finish_and_clear();
        say(format_args!("{task:>10} {message} ({:.0} s)", self.started.elapsed().as_secs_f64()));
    }
}
