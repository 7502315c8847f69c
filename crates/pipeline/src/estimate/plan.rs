//! The recipe of a short run that shows what a long one takes.

use vqkit_recipe::{Guard, Modality, Recipe, Tokenizer, Train};
use vqkit_torch::schedule::Schedule;

use crate::stages::Stage;

/// The phase of training that a short run shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Before the discriminator starts, where it starts late.
    Alone,
    /// With the discriminator.
    Adversarial,
}

/// The recipe with as many steps of each stage as `steps` says, a validation and a checkpoint at their end, and one batch of samples.
pub fn shortened(recipe: &Recipe, steps: impl Fn(&Stage) -> u64, phase: Phase) -> Recipe {
    let mut short = recipe.clone();
    for stage in Stage::of(recipe) {
        let Some(train) = train_mut(&mut short, &stage) else { continue };
        train.steps = train.steps.min(steps(&stage));
        (train.validate_every, train.checkpoint_every) = (train.steps, train.steps);
        // A warm-up may be longer than the short run; a rate takes no time.
        train.schedule = Schedule::default();
        train.guard = Guard::default();
    }
    for tokenizer in short.tokenizer.iter_mut().chain(&mut short.template) {
        let Some(adversarial) = &mut tokenizer.loss.adversarial else { continue };
        let start = &mut adversarial.objective.start_step;
        *start = if phase == Phase::Adversarial || *start == 0 { 0 } else { tokenizer.train.steps + 1 };
    }
    short.sample.count = short.sample.count.min(short.sample.batch_size);
    short
}

/// The stages whose discriminator starts after the first step and before the last.
pub fn adversarial(recipe: &Recipe) -> Vec<Stage> {
    let starts_late = |stage: &Stage| {
        let train = stage.train_of(recipe)?;
        let alone = steps_alone(recipe, stage, train);
        Some(tokenizer(recipe, stage)?.loss.adversarial.is_some() && alone > 0 && alone < train.steps)
    };
    Stage::of(recipe).into_iter().filter(|stage| starts_late(stage) == Some(true)).collect()
}

/// The number of first steps without the discriminator; all of them where there is none.
pub fn steps_alone(recipe: &Recipe, stage: &Stage, train: &Train) -> u64 {
    let adversarial = tokenizer(recipe, stage).and_then(|tokenizer| tokenizer.loss.adversarial.as_ref());
    adversarial.map_or(train.steps, |adversarial| adversarial.objective.start_step)
}

fn train_mut<'r>(recipe: &'r mut Recipe, stage: &Stage) -> Option<&'r mut Train> {
    match stage {
        Stage::Features => recipe.features.as_mut().map(|features| &mut features.train),
        Stage::Tokenizer(Modality::Image) => recipe.tokenizer.as_mut().map(|found| &mut found.train),
        Stage::Tokenizer(Modality::Template) => recipe.template.as_mut().map(|found| &mut found.train),
        Stage::Prior(level) => recipe.priors.get_mut(*level).map(|prior| &mut prior.train),
        _ => None,
    }
}

fn tokenizer<'r>(recipe: &'r Recipe, stage: &Stage) -> Option<&'r Tokenizer> {
    match stage {
        Stage::Tokenizer(Modality::Image) => recipe.tokenizer.as_ref(),
        Stage::Tokenizer(Modality::Template) => recipe.template.as_ref(),
        _ => None,
    }
}
