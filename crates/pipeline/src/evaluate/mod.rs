//! Stage `report`: what tokenizer and priors are worth on held-out data.

mod levels;
mod metrics;
mod protocol;
mod recognised;
mod reconstruction;
mod samples;
mod similarity;
mod text;

use std::path::Path;

use vqkit_data::Dataset;
use vqkit_metrics::PixelError;

pub use self::{
    metrics::{LevelMetrics, Metrics, Rate, TemplateMetrics},
    protocol::Protocol,
    recognised::Recognised,
    reconstruction::MAGNIFIED,
    samples::SamplesAsSet,
    similarity::Similarity,
};
use crate::{
    codebooks::Subject,
    context::Context,
    domain::Domain,
    error::{PipelineError, Result},
    files,
    log::StageLog,
    pictures::Picture,
    recipe::Recipe,
    report::{
        self,
        comparison::{Compared, Comparison},
    },
    run::{Output, Run},
    sample,
    sets::{Extractor, Features},
};

/// The stage's name, and its folder inside the run.
pub const STAGE: &str = "report";

/// Measures a run and writes `metrics.json` and `report.html`.
///
/// # Errors
/// When the run is not trained, nothing is held out, or files cannot be read or written.
pub fn run_stage(run: &mut Run, recipe: &Recipe, data: &Dataset, context: &Context) -> Result<Output> {
    run.begin(STAGE)?;
    let measured = refresh(run, recipe, data, None, context)?;
    let mut log = StageLog::open(run.path(), STAGE)?;
    log.picture(0, "reconstructions", &measured.reconstructions)?;
    log.flush()?;
    let path = run.folder(STAGE).join("metrics.json");
    let bytes = std::fs::read(&path).map_err(|source| PipelineError::io("read", &path, source))?;
    Ok(Output { path: STAGE.into(), fingerprint: blake3::hash(&bytes).to_hex().to_string() })
}

/// Measures a run and writes its `report/` anew; `inception`: a file with the weights of FID's InceptionV3, for figures by it too.
///
/// # Errors
/// As [`run_stage`]; when the weights are not there, or are others.
pub fn refresh(
    run: &Run,
    recipe: &Recipe,
    data: &Dataset,
    inception: Option<&Path>,
    context: &Context,
) -> Result<Compared> {
    let (metrics, reconstructions) = measure(run, recipe, data, inception, context)?;
    let codebooks = Subject::of_run(run, context)?.map_or(Ok(Vec::new()), |subject| subject.pictures())?;
    let page = report::html(run, recipe, &metrics, &reconstructions, &codebooks)?;
    files::replace(&run.folder(STAGE), |folder| {
        files::write_json(&folder.join("metrics.json"), &metrics)?;
        files::write(&folder.join("report.html"), page.as_bytes())
    })?;
    Ok(Compared { name: recipe.head.name.clone(), run: run.path().to_owned(), metrics, reconstructions })
}

/// Writes `comparison.html` and `comparison.json` into the new folder `out`.
///
/// # Errors
/// When a picture cannot be drawn, or a file not written.
pub fn write_comparison(comparison: &Comparison, out: &Path) -> Result<()> {
    let page = comparison.html()?;
    files::create(out, |folder| {
        files::write_json(&folder.join("comparison.json"), comparison)?;
        files::write(&folder.join("comparison.html"), page.as_bytes())
    })
}

/// The figures of a run; originals above their reconstructions, and what these miss.
///
/// # Errors
/// As [`refresh`].
pub fn measure(
    run: &Run,
    recipe: &Recipe,
    data: &Dataset,
    inception: Option<&Path>,
    context: &Context,
) -> Result<(Metrics, Picture)> {
    // First, since it needs the priors, and what is missing should not be found out at the end.
    let levels = levels::of_run(run, recipe, context)?;
    let load = |path| Extractor::load(Features::Inception, Some(path), context.device);
    let inception = inception.map(load).transpose()?;
    let weights = inception.as_ref().map(|inception| inception.weights().to_owned());
    let seen = reconstruction::of_run(run, recipe, Domain::Images, data, inception, context)?;
    let template = match &recipe.template {
        Some(_) => {
            let seen = reconstruction::of_run(run, recipe, Domain::Templates, data, None, context)?;
            Some(TemplateMetrics::of(&seen.error))
        }
        None => None,
    };
    let mse = seen.error.pixels().map_or(f64::NAN, PixelError::mse);
    let drawn = sample::drawn(run)?;
    let of_trained_size = recipe.sample.size.is_none_or(|size| size == [recipe.data.image_size; 2]);
    let pairs = if of_trained_size { seen.error.sets() } else { &[] };
    let samples_as_set = SamplesAsSet::of(&drawn, pairs, context)?;
    let reconstruction_fid = seen.error.by(Features::Inception).and_then(|pair| pair.distance());
    let metrics = Metrics {
        protocol: Protocol::of(run, recipe, data, weights, context)?,
        reconstruction_mse: mse,
        reconstruction_psnr_db: seen.error.fidelity(),
        reconstruction_fd_vgg_cifar10: seen.error.fd_vgg_cifar10(),
        reconstruction_similarity: seen.similarity,
        samples_recognised: Recognised::of(&drawn, context.device)?,
        reconstructions_checked: seen.checked,
        samples_checked: sample::checked(run)?,
        template,
        rate: Rate::of(&levels, f64::from(recipe.data.image_size).powi(2), mse),
        levels,
        warnings: protocol::warnings(data.validation.len(), reconstruction_fid.is_some(), samples_as_set.as_ref()),
        reconstruction_fid,
        samples_as_set,
    };
    Ok((metrics, seen.picture))
}
