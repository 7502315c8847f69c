//! The commands.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Result, anyhow};
use vqkit::{
    evaluate::{TokenizerRequest, compare_sets, compare_tokenizers},
    fidelity::Request,
    foreign::Hints,
    interop::{self, Imported},
    pipeline::{
        Experiment, Session, estimate, inspect, propose,
        reconstruct::{self, Reconstructed},
        reference, report_stage, stages,
    },
    pretrained::{
        hub::{self, HubPath},
        named, published,
    },
    priors::{AutoregressiveSampling, Sampling},
    recipe::{self, Recipe, stage_names},
    report::{self, Compared, Comparison},
    run::{Context, Interrupt, Invocation, Run, files, is_interruption},
    sample::{self, InpaintMask, KeptRegion, PromptArgs, Prompts, Target},
    tokens::encode_folder,
    torch::attempt_in_memory,
};

use crate::{
    arguments::{
        Arguments, Command, Compare, Estimate, Evaluate, Export, How, Images, Import, Inspect, New, Push, Sample,
        StoredDtype, Train, Weights,
    },
    bars::Bars,
    lists::{Files, Table},
    terminal,
    usage::Usage,
};

/// The longest file of captions, in bytes.
const LONGEST_TEXTS: u64 = 16 << 20;

/// Runs the command.
pub fn run(arguments: Arguments, interrupt: Interrupt) -> Result<()> {
    let context = Context::new(&arguments.device, arguments.threads, interrupt, Arc::new(Bars::default()))?;
    // Memory may run out anywhere; parts of the work have better messages than this one.
    attempt_in_memory("the work", || command(arguments.command, &context))
}

fn command(command: Command, context: &Context) -> Result<()> {
    match command {
        Command::New(options) => new(options, context),
        Command::Train(options) => train(options, context),
        Command::Estimate(options) => estimate(&options, context),
        Command::Sample(options) => sample(options, context),
        Command::Complete(options) => {
            let target = target(options.how.out.as_deref(), Target::Numbered)?;
            draw(&options.run, Some(options.image), options.how, &target, context)
        }
        Command::Tokenize(options) => tokenize(&options, context),
        Command::Reconstruct(options) => reconstruct(&options, context),
        Command::Evaluate(options) => evaluate(options, context),
        Command::Compare(options) => compare(options, context),
        Command::Inspect(options) => inspect(options, context),
        Command::Import(options) => import(options, context),
        Command::Export(options) => export(&options),
        Command::Weights(Weights::List { json }) => print(&Table(published::all()?), json),
        Command::Weights(Weights::Fetch { name, json }) => {
            print(&Files(published::fetch(&name, &context.observer)?), json)
        }
        Command::Push(options) => push(&options, context),
        Command::Schema => Ok(terminal::print(&format!("{}\n", serde_json::to_string_pretty(&recipe::schema())?))?),
    }
}

fn new(options: New, context: &Context) -> Result<()> {
    let out = free(&options.out)?;
    if let Some(folder) = out.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()) {
        return Err(Usage(format!("--out: there is no folder {}", folder.display())).into());
    }
    terminal::say(format_args!("looking at the images, then measuring this machine for about {} s", options.seconds));
    let request = propose::Request {
        name: plain_name(&out).or_else(|| plain_name(&options.images)).unwrap_or_else(|| "images".into()),
        path: options.images,
        out: out.clone(),
        hours: options.hours,
        measurement: Duration::from_secs(options.seconds),
    };
    let proposal = propose::propose(&request, context)?;
    files::create_file(&out, |path| files::write(path, proposal.text.as_bytes()))?;
    print(&proposal, options.json)?;
    if !options.json {
        terminal::print(&format!("\nvqkit train {}\n", propose::shell_word(&out.to_string_lossy())))?;
    }
    Ok(())
}

/// The name of a file without its ending, in characters that are plain in any path; `None` where no letter or digit is left.
fn plain_name(path: &Path) -> Option<String> {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let name: String = path.file_stem()?.to_string_lossy().chars().map(plain).collect();
    name.contains(|c: char| c.is_ascii_alphanumeric()).then_some(name)
}

fn train(options: Train, context: &Context) -> Result<()> {
    let recipe = Recipe::read(&options.recipe, &options.overrides)?;
    let path = options.run.unwrap_or_else(|| Path::new("runs").join(&recipe.head.name));
    let goes_on = options.resume && fs::symlink_metadata(&path).is_ok();
    let experiment = Experiment::new(recipe, goes_on.then_some(path.as_path()), context)?;
    stages::check_name(experiment.recipe(), options.stage.as_deref())?;
    let curves = if goes_on { None } else { reference::beside(&options.recipe, &options.overrides)? };
    let mut session = if goes_on { experiment.resume(&path)? } else { experiment.begin(&path)? };
    if let Some(curves) = curves {
        session.compare_with(&curves)?;
    }
    let Invocation { device, threads, .. } = &session.run().record().call;
    terminal::say(format_args!("run {} on {device}, {threads} threads", path.display()));
    session.run_stages(options.stage.as_deref()).map_err(|error| match is_interruption(&error) {
        true => anyhow!(error).context("continue with --resume"),
        false => error.into(),
    })?;
    print_path(&path)
}

fn estimate(options: &Estimate, context: &Context) -> Result<()> {
    let recipe = Recipe::read(&options.recipe, &options.overrides)?;
    terminal::say(format_args!("measuring for about {} s, with files in a temporary folder", options.seconds));
    print(&estimate::estimate(recipe, Duration::from_secs(options.seconds), context)?, options.json)
}

fn tokenize(options: &Images, context: &Context) -> Result<()> {
    let images = encode_folder::write(&options.model, &options.images, &free(&options.out)?, context)?;
    Ok(terminal::print(&format!("{images} images in {}\n", options.out.display()))?)
}

fn reconstruct(options: &Images, context: &Context) -> Result<()> {
    let made = reconstruct::write(&options.model, &options.images, &free(&options.out)?, context)?;
    let Reconstructed { images, psnr_db } = made;
    Ok(terminal::print(&format!("{images} images, {psnr_db:.2} dB, in {}\n", options.out.display()))?)
}

fn sample(options: Sample, context: &Context) -> Result<()> {
    let numbered = options.model.as_ref().map(|name| Target::NumberedIn { folder: ".".into(), name: name.clone() });
    let run = match (options.run, options.model) {
        (Some(run), _) => run,
        (None, name) => named::find(&name.unwrap_or_default())?,
    };
    let target = target(options.how.out.as_deref(), numbered.unwrap_or(Target::Numbered))?;
    match options.replay {
        None => draw(&run, options.image, options.how, &target, context),
        Some(record) => {
            let mut session = Session::open(&run, context)?;
            let request = sample::Record::read(&record)?.again(session.run())?;
            write_samples(&mut session, &request, &target)
        }
    }
}

/// The folder that a user names, else `default`.
fn target(out: Option<&Path>, default: Target) -> Result<Target> {
    out.map_or(Ok(default), |out| Ok(Target::New(free(out)?)))
}

/// Generates the requested images.
fn draw(run: &Path, image: Option<PathBuf>, how: How, target: &Target, context: &Context) -> Result<()> {
    let mut session = Session::open(run, context)?;
    let own = session.recipe().sample.clone();
    let wanted = sample_as_asked(&how, own);
    wanted.validate_keys().map_err(|(key, reason)| sample::networks::wrong_option(key, &reason))?;
    let keep = keep(image, how.keep, how.mask)?;
    let asked = PromptArgs {
        class: how.class,
        class_index: how.class_index,
        texts: texts(how.text, how.text_file.as_deref())?,
        embedding: how.embedding,
        template: how.template,
        template_of: how.template_of,
        unconditional: how.unconditional,
    };
    let prompts = Prompts::PromptArgs { asked, samples_per_condition: wanted.samples_per_condition };
    write_samples(&mut session, &sample::Request { sample: wanted, prompts, keep }, target)
}

/// The captions of the call: those that are written out, or the lines of a file that are not empty.
fn texts(written: Vec<String>, file: Option<&Path>) -> Result<Vec<String>> {
    let Some(file) = file else { return Ok(written) };
    let text = files::read_text(file, LONGEST_TEXTS)?;
    let lines: Vec<String> = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    match lines.is_empty() {
        true => Err(Usage(format!("--text-file: there is no caption in {}", file.display())).into()),
        false => Ok(lines),
    }
}

/// The part of an image that is kept, where an image is given.
fn keep(image: Option<PathBuf>, side: Option<KeptRegion>, mask: Option<PathBuf>) -> Result<Option<InpaintMask>, Usage> {
    match (image, side.or(mask.map(KeptRegion::Mask))) {
        (None, None) => Ok(None),
        (Some(image), Some(side)) => Ok(Some(InpaintMask { image, side })),
        (Some(_), None) => {
            let message = "say which part of the image to keep: give --keep, such as top=0.5, or --mask";
            Err(Usage(message.into()))
        }
        (None, Some(_)) => {
            let message = "--keep and --mask need an image: give it with --image, or use `vqkit complete`";
            Err(Usage(message.into()))
        }
    }
}

fn write_samples(session: &mut Session, request: &sample::Request, target: &Target) -> Result<()> {
    let written = session.write_samples(request, target)?;
    if let Some(checked) = &written.shape_accuracy {
        terminal::print(&format!("shape accuracy of these images:\n{checked}"))?;
    }
    print_path(&written.folder.join(stage_names::OVERVIEW).join("grid.png"))
}

/// The recipe's `[sample]`, overridden by the options of the call.
fn sample_as_asked(how: &How, of_recipe: vqkit::recipe::Sample) -> vqkit::recipe::Sample {
    let Sampling::Autoregressive(own) = of_recipe.sampling;
    vqkit::recipe::Sample {
        count: how.count.unwrap_or(of_recipe.count),
        samples_per_condition: how.samples_per_condition.unwrap_or(of_recipe.samples_per_condition),
        batch_size: how.batch_size.unwrap_or(of_recipe.batch_size),
        weight_dtype: how.weight_dtype.unwrap_or(of_recipe.weight_dtype),
        size: how.size.or(of_recipe.size),
        sampling: Sampling::Autoregressive(AutoregressiveSampling {
            temperature: how.temperature.unwrap_or(own.temperature),
            top_k: how.top_k.or(own.top_k),
            top_p: how.top_p.or(own.top_p),
            min_p: how.min_p.or(own.min_p),
            cfg_scale: how.cfg.unwrap_or(own.cfg_scale),
            cfg_schedule: how.cfg_schedule.unwrap_or(own.cfg_schedule),
            no_repeat_ngram: how.no_repeat_ngram.or(own.no_repeat_ngram),
            best_of: how.best_of.unwrap_or(own.best_of),
            best_by: how.best_by.unwrap_or(own.best_by),
            size: own.size,
            seed: how.seed.unwrap_or(own.seed),
        }),
    }
}

fn evaluate(options: Evaluate, context: &Context) -> Result<()> {
    if let (Some(real), Some(fake)) = (options.real, options.fake) {
        let request = Request {
            real,
            fake,
            features: options.features,
            weights: options.weights,
            protocol: options.protocol,
            batch_size: options.batch_size as usize,
            save_statistics: options.save_statistics,
        };
        return print(&compare_sets(&request, context)?, options.json);
    }
    let out = options.out.as_deref().map(free).transpose()?;
    let compared =
        options.runs.iter().map(|run| measure(run, options.weights.as_deref(), context)).collect::<Result<Vec<_>>>()?;
    match compared.as_slice() {
        [only] if out.is_none() => print(&only.metrics, options.json),
        _ => {
            let comparison = Comparison::new(compared);
            out.map_or(Ok(()), |out| report_stage::write_comparison(&comparison, &out))?;
            print(&comparison, options.json)
        }
    }
}

/// Measures a run, and writes its report again.
fn measure(path: &Path, inception: Option<&Path>, context: &Context) -> Result<Compared> {
    Ok(Session::open(path, context)?.measure(inception)?)
}

fn compare(options: Compare, context: &Context) -> Result<()> {
    let out = options.out.as_deref().map(free).transpose()?;
    let request = TokenizerRequest {
        tokenizers: options.tokenizers,
        data: options.data,
        size: options.size,
        features: options.features,
        weights: options.weights,
        protocol: options.protocol,
        lpips: options.lpips,
        batch_size: options.batch_size as usize,
        shown: options.crops as usize,
    };
    let comparison = compare_tokenizers(&request, context)?;
    out.map_or(Ok(()), |out| report::tokenizers::write(&comparison, &out))?;
    print(&comparison, options.json)
}

/// Prints a value as JSON or as text.
fn print<T: serde::Serialize + std::fmt::Display>(value: &T, json: bool) -> Result<()> {
    let text = if json { format!("{}\n", serde_json::to_string_pretty(value)?) } else { value.to_string() };
    Ok(terminal::print(&text)?)
}

fn print_path(path: &Path) -> Result<()> {
    Ok(terminal::print(&format!("{}\n", path.display()))?)
}

fn inspect(options: Inspect, context: &Context) -> Result<()> {
    let out = options.out.as_deref().map(free).transpose()?;
    let found = inspect::inspect(&options.path, out.as_deref(), context)?;
    print(&found, options.json)
}

fn import(options: Import, context: &Context) -> Result<()> {
    let out = free(&options.out)?;
    let hints = Hints { family: options.family, config: options.config, weights: options.weights };
    let request =
        interop::Request { paths: options.paths, hints, image_size: options.image_size, is_partial: options.partial };
    let imported: Imported = interop::import::import(&request, &out, context)?;
    print(&imported, options.json)
}

fn export(options: &Export) -> Result<()> {
    let out = free(&options.out)?;
    let run = Run::open(&options.run)?;
    let is_rounded = options.dtype == StoredDtype::Bf16;
    print(&interop::export::export(&run, options.to, is_rounded, &out)?, options.json)
}

fn push(options: &Push, context: &Context) -> Result<()> {
    let to = HubPath::parse(&options.to)?;
    let push = hub::Push { folder: &options.folder, to: &to, message: &options.message, private: options.private };
    let done = hub::push(&push, &context.observer)?;
    let (changed, unchanged, url) = (done.changed.len(), done.unchanged, done.url);
    Ok(terminal::print(&format!("{changed} files uploaded, {unchanged} unchanged, in {url}\n"))?)
}

/// The path of a new folder, if it is free.
fn free(path: &Path) -> Result<PathBuf> {
    files::check_free(path).map_err(|error| Usage(format!("--out: {error}")))?;
    Ok(path.to_owned())
}
