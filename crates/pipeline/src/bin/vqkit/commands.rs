//! What each verb does.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use vqkit_pipeline::{
    Context, Interrupt, PipelineError, Recipe, Run, evaluate, inspect, reconstruct, sample, stages, tokenize,
};

use crate::arguments::{Arguments, Evaluate, Images, Inspect, Sample, Train, Verb};

/// Runs the verb.
pub fn run(arguments: Arguments) -> Result<()> {
    let interrupt = Interrupt::install().context("cannot catch Ctrl-C")?;
    let context = Context::new(&arguments.device, arguments.threads, interrupt)?;
    match arguments.verb {
        Verb::Train(verb) => train(verb, &context),
        Verb::Sample(verb) => sample(verb, &context),
        Verb::Tokenize(verb) => Ok(tokenize::write(&verb.model, &verb.images, &free_folder(&verb)?, &context)?),
        Verb::Reconstruct(verb) => Ok(reconstruct::write(&verb.model, &verb.images, &free_folder(&verb)?, &context)?),
        Verb::Evaluate(verb) => evaluate(&verb, &context),
        Verb::Inspect(verb) => inspect(verb, &context),
    }
}

fn train(verb: Train, context: &Context) -> Result<()> {
    let recipe = Recipe::read(&verb.recipe, &verb.overrides)?;
    let path = verb.run.unwrap_or_else(|| Path::new("runs").join(&recipe.head.name));
    let goes_on = verb.resume && path.exists();
    let recipe = vqkit_pipeline::resolve(recipe, goes_on.then_some(path.as_path()))?;
    let call = context.call(recipe.head.precision, recipe.head.seed);
    stages::check(&recipe, verb.stage.as_deref(), context)?;
    let mut run = match goes_on {
        true => Run::resume(&path, &recipe, call)?,
        false => {
            stages::check_files(&recipe)?;
            Run::create(&path, &recipe, call)?
        }
    };
    eprintln!("run {} on {}, {} threads", path.display(), run.record().call.device, run.record().call.threads);
    stages::run(&mut run, &recipe, verb.stage.as_deref(), context)?;
    println!("{}", path.display());
    Ok(())
}

fn sample(verb: Sample, context: &Context) -> Result<()> {
    let run = Run::open(&verb.run)?;
    let recipe = run.recipe()?;
    let mut wanted = recipe.sample.clone();
    wanted.count = verb.count.unwrap_or(wanted.count);
    wanted.sampling.temperature = verb.temperature.unwrap_or(wanted.sampling.temperature);
    wanted.sampling.seed = verb.seed.unwrap_or(wanted.sampling.seed);
    wanted.sampling.top_k = verb.top_k.or(wanted.sampling.top_k);
    wanted.sampling.top_p = verb.top_p.or(wanted.sampling.top_p);
    wanted.validate().map_err(|(key, reason)| PipelineError::Usage(format!("--{key}: {reason}")))?;
    let request = sample::Request { sample: wanted, class: verb.class };
    let folder = verb.out.map_or_else(|| Ok(next_free(&verb.run)), free)?;
    sample::write_new(&run, &recipe, &request, &folder, context)?;
    println!("{}", folder.join("grid.png").display());
    Ok(())
}

fn evaluate(verb: &Evaluate, context: &Context) -> Result<()> {
    let run = Run::open(&verb.run)?;
    let recipe = run.recipe()?;
    let data = stages::open_data(&recipe)?;
    let metrics = evaluate::refresh(&run, &recipe, &data, context)?;
    match verb.json {
        true => println!("{}", serde_json::to_string_pretty(&metrics)?),
        false => print!("{metrics}"),
    }
    Ok(())
}

fn inspect(verb: Inspect, context: &Context) -> Result<()> {
    let out = verb.out.map(free).transpose()?;
    let found = inspect::inspect(&verb.path, out.as_deref(), context)?;
    match verb.json {
        true => println!("{}", serde_json::to_string_pretty(&found)?),
        false => print!("{found}"),
    }
    Ok(())
}

fn free_folder(verb: &Images) -> Result<PathBuf, PipelineError> {
    free(verb.out.clone())
}

/// `path`, if nothing stands there.
fn free(path: PathBuf) -> Result<PathBuf, PipelineError> {
    match path.exists() {
        true => Err(PipelineError::Usage(format!("--out: {} exists already; nothing is overwritten", path.display()))),
        false => Ok(path),
    }
}

/// `samples-1`, `samples-2`, …: the first that is free.
fn next_free(run: &Path) -> PathBuf {
    let mut number = 1;
    loop {
        let path = run.join(format!("samples-{number}"));
        if !path.exists() {
            return path;
        }
        number += 1;
    }
}
