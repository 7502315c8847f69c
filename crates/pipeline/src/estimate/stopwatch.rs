//! When the steps of a stage were done.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use vqkit_run::{Event, Observer};

/// An observer that notes when steps are done, and passes nothing on but warnings.
#[derive(Debug)]
pub struct Stopwatch {
    steps: Mutex<Vec<Instant>>,
    warnings: Arc<dyn Observer>,
}

/// How long a stage took, and its steps.
#[derive(Debug, Clone, Default)]
pub struct Lap {
    /// All of it.
    pub whole: Duration,
    /// Until the first step was done: building the network, opening data, and that step.
    pub start: Duration,
    /// A step, on average; none where there was no second one.
    pub step: Option<Duration>,
    /// From the last step to the end: a validation and a checkpoint.
    pub end: Duration,
}

impl Stopwatch {
    /// A stopwatch that passes warnings on to `warnings`.
    pub fn new(warnings: Arc<dyn Observer>) -> Self {
        Self { steps: Mutex::default(), warnings }
    }

    /// Measures what `work` takes, which counts its steps as progress.
    pub fn time<T>(&self, work: impl FnOnce() -> T) -> (T, Lap) {
        self.steps().clear();
        let begun = Instant::now();
        let result = work();
        let ended = Instant::now();
        let steps = std::mem::take(&mut *self.steps());
        let (first, last) = (steps.first().copied().unwrap_or(ended), steps.last().copied().unwrap_or(ended));
        let lap = Lap {
            whole: ended - begun,
            start: first - begun,
            step: (steps.len() > 1).then(|| middle(&steps)),
            end: ended - last,
        };
        (result, lap)
    }

    fn steps(&self) -> MutexGuard<'_, Vec<Instant>> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Stopwatch {
    fn observe(&self, event: &Event) {
        match event {
            Event::Advanced { .. } => self.steps().push(Instant::now()),
            Event::Warning { .. } => self.warnings.observe(event),
            _ => {}
        }
    }
}

/// The mean time between two steps, without the tenth that took longest: other programs disturb single steps.
fn middle(steps: &[Instant]) -> Duration {
    let mut times: Vec<Duration> = steps.windows(2).map(|pair| pair[1] - pair[0]).collect();
    times.sort_unstable();
    let kept = (times.len() * 9).div_ceil(10);
    times[..kept].iter().sum::<Duration>() / kept as u32
}

#[cfg(test)]
mod tests {
    use vqkit_run::{Progress, Silent};

    use super::*;

    #[test]
    fn a_slow_start_and_a_slow_end_are_no_steps() {
        let stopwatch = Arc::new(Stopwatch::new(Arc::new(Silent)));
        let observer: Arc<dyn Observer> = stopwatch.clone();
        let pause = |milliseconds| std::thread::sleep(Duration::from_millis(milliseconds));
        let ((), lap) = stopwatch.time(|| {
            let progress = Progress::begin(&observer, "stage", "steps", 0, 5);
            pause(80);
            for _ in 0..5 {
                pause(10);
                progress.advance(1);
            }
            pause(60);
        });
        let step = lap.step.unwrap();
        assert!(step >= Duration::from_millis(10) && step < Duration::from_millis(50), "{lap:?}");
        assert!(lap.start >= Duration::from_millis(90) && lap.end >= Duration::from_millis(60), "{lap:?}");
        assert!(lap.whole >= lap.start + lap.end + step * 4, "{lap:?}");
    }
}
