//! A warning where a stage leaves the bands of its reference curves.

use std::{collections::BTreeMap, path::Path};

use vqkit_run::{Point, ReferenceCurves, Result};

/// Says when a stage leaves the bands of its curves.
#[derive(Debug)]
pub struct BandWatch {
    stage: String,
    curves: Option<ReferenceCurves>,
    /// How often in a row each metric was outside.
    outside: BTreeMap<String, u32>,
}

impl BandWatch {
    /// Of one reading outside nothing is said.
    const PATIENCE: u32 = 2;

    /// For a stage of a run.
    ///
    /// # Errors
    /// When the run has curves that cannot be read.
    pub fn new(run: &Path, stage: &str) -> Result<Self> {
        Ok(Self { stage: stage.to_owned(), curves: ReferenceCurves::of_run(run)?, outside: BTreeMap::new() })
    }

    /// What to say of readings, once each time that a metric leaves its band.
    pub fn add(&mut self, step: u64, metrics: &[(String, f64)]) -> Vec<String> {
        let Self { stage, curves, outside } = self;
        let Some(curves) = curves else { return Vec::new() };
        let verdict = |(name, value): &(String, f64)| {
            let Point { low, high, .. } = curves.at(stage, name, step)?;
            let count = outside.entry(name.clone()).or_default();
            *count = if (low..=high).contains(value) { 0 } else { *count + 1 };
            let side = if *value > high { "above" } else { "below" };
            (*count == Self::PATIENCE).then(|| {
                format!("{name} is {value:.4} at step {step}, {side} the reference curve, which is between {low:.4} and {high:.4}")
            })
        };
        metrics.iter().filter_map(verdict).collect()
    }
}

#[cfg(test)]
mod tests {
    use vqkit_run::StageLog;

    use super::*;

    fn falling(scale: f64) -> impl Fn(u64) -> f64 {
        move |step| {
            let noise = if (step / 10).is_multiple_of(2) { 1.02 } else { 0.98 };
            scale * (0.1 + 1.0 / (1.0 + step as f64 / 50.0)) * noise
        }
    }

    #[test]
    fn a_training_like_the_first_stays_in_the_band_and_another_is_named_once() {
        let run = tempfile::tempdir().unwrap();
        let mut log = StageLog::open(run.path(), "tokenizer").unwrap();
        for step in (10..=1000).step_by(10) {
            log.metrics(step, &[("reconstruction".into(), falling(1.0)(step))]).unwrap();
        }
        ReferenceCurves::of_log(run.path()).unwrap().accompany(run.path()).unwrap();
        let said = |loss: &dyn Fn(u64) -> f64| {
            let mut watch = BandWatch::new(run.path(), "tokenizer").unwrap();
            let steps = (10..=1000).step_by(10);
            steps.flat_map(|step| watch.add(step, &[("reconstruction".into(), loss(step))])).collect::<Vec<_>>()
        };
        assert_eq!(said(&falling(1.05)), [""; 0]);
        let above = said(&|step| falling(if step > 500 { 2.0 } else { 1.0 })(step));
        assert_eq!(above.len(), 1);
        assert!(above[0].contains("at step 520, above the reference curve"), "{above:?}");
        assert_eq!(BandWatch::new(run.path(), "prior").unwrap().add(20, &[("reconstruction".into(), 9.0)]), [""; 0]);
    }
}
