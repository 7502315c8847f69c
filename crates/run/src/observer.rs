//! Events of running work, and their observers.

use std::{fmt, sync::Arc};

use crate::rgb_image::RgbImage;

/// Receives events of running work: a terminal, a log, a test, a server's stream. Libraries print nothing themselves.
pub trait Observer: fmt::Debug + Send + Sync {
    /// Receives an event. It must not fail: an observer never stops the work.
    fn observe(&self, event: &Event);
}

/// An event of running work.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'e> {
    /// A task begins.
    Began {
        /// Its name, for example that of the stage.
        task: &'e str,
        /// The unit that it counts: `steps`, `images`.
        unit: &'static str,
        /// Units done already.
        done: u64,
        /// Units in all.
        total: u64,
    },
    /// Progress of a task.
    Advanced {
        /// Its name.
        task: &'e str,
        /// Units done since the last such event.
        units: u64,
    },
    /// The status of a task, a short text that replaces the previous one.
    Status {
        /// Its name.
        task: &'e str,
        /// The text, for example the current loss.
        message: &'e str,
    },
    /// A message about a task that stays visible.
    Note {
        /// Its name.
        task: &'e str,
        /// The message.
        message: &'e str,
    },
    /// A task ends.
    Finished {
        /// Its name.
        task: &'e str,
        /// Its result.
        message: &'e str,
    },
    /// A warning: a user should know of it, but the work continues.
    Warning {
        /// What is wrong, and what to do.
        message: &'e str,
    },
    /// Measured values, as `log.jsonl` has them.
    Measures {
        /// The stage.
        stage: &'e str,
        /// The step.
        step: u64,
        /// Values by name.
        values: &'e [(String, f64)],
    },
    /// An image to look at, as the event file has it.
    Picture {
        /// The stage.
        stage: &'e str,
        /// The step.
        step: u64,
        /// Its name.
        name: &'e str,
        /// The image.
        picture: &'e RgbImage,
    },
}

/// An observer that ignores all events.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn observe(&self, _: &Event) {}
}

/// A task in progress, which reports its progress to an observer.
#[derive(Debug, Clone)]
pub struct Progress {
    observer: Arc<dyn Observer>,
    task: String,
}

impl Progress {
    /// Begins a task at `done` of `total` units.
    pub fn begin(observer: &Arc<dyn Observer>, task: &str, unit: &'static str, done: u64, total: u64) -> Self {
        observer.observe(&Event::Began { task, unit, done, total });
        Self { observer: Arc::clone(observer), task: task.to_owned() }
    }

    /// Advances by this many units.
    pub fn advance(&self, units: u64) {
        self.observer.observe(&Event::Advanced { task: &self.task, units });
    }

    /// Reports the status of the task.
    pub fn status(&self, message: &str) {
        self.observer.observe(&Event::Status { task: &self.task, message });
    }

    /// Reports a message that stays visible.
    pub fn note(&self, message: &str) {
        self.observer.observe(&Event::Note { task: &self.task, message });
    }

    /// Ends the task.
    pub fn finish(self, message: &str) {
        self.observer.observe(&Event::Finished { task: &self.task, message });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Debug, Default)]
    struct Collected(Mutex<Vec<String>>);

    impl Observer for Collected {
        fn observe(&self, event: &Event) {
            self.0.lock().unwrap().push(format!("{event:?}"));
        }
    }

    #[test]
    fn a_task_is_heard_from_its_beginning_to_its_end() {
        let collected = Arc::new(Collected::default());
        let observer: Arc<dyn Observer> = collected.clone();
        let progress = Progress::begin(&observer, "tokens", "images", 3, 8);
        progress.advance(5);
        progress.finish("8 images");
        let heard = collected.0.lock().unwrap();
        assert_eq!(heard.len(), 3);
        assert!(heard[0].contains("done: 3, total: 8") && heard[1].contains("units: 5"), "{heard:?}");
        assert!(heard[2].contains("8 images"), "{heard:?}");
    }
}
