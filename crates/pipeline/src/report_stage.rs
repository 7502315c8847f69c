//! Stage `report`: measures a run, and writes the page.

use std::path::Path;

use vqkit_data::Dataset;
use vqkit_evaluate::CodebookInspector;
use vqkit_recipe::stage_names;
use vqkit_report::{Compared, Comparison, html};
use vqkit_run::{Context, Output, Run, RunError, StageLog, files};

use crate::error::Result;

/// Measures a run and writes `metrics.json` and `report.html`.
///
/// # Errors
/// When the run is not trained, nothing is set aside for validation, or files cannot be read or written.
pub fn run_stage(run: &mut Run, data: &Dataset, context: &Context) -> Result<Output> {
    run.begin(stage_names::REPORT)?;
    let measured = refresh(run, data, None, context)?;
    let mut log = StageLog::open(run.path(), stage_names::REPORT)?;
    log.picture(0, "reconstructions", &measured.reconstructions)?;
    log.flush()?;
    let path = run.folder(stage_names::REPORT).join("metrics.json");
    let bytes = std::fs::read(&path).map_err(|source| RunError::io("read", &path, source))?;
    Ok(Output { path: stage_names::REPORT.into(), fingerprint: blake3::hash(&bytes).to_hex().to_string() })
}

/// Measures a run and writes its `report/` again; `inception`: a file with the weights of FID's InceptionV3, to add its
/// metrics.
///
/// # Errors
/// As [`run_stage`]; when the weights are missing, or are not those of InceptionV3.
pub fn refresh(run: &Run, data: &Dataset, inception: Option<&Path>, context: &Context) -> Result<Compared> {
    let (metrics, reconstructions) = vqkit_evaluate::measure(run, data, inception, context)?;
    let codebooks = CodebookInspector::of_run(run, context)?.map_or(Ok(Vec::new()), |subject| subject.pictures())?;
    let page = html::html(run, &metrics, &reconstructions, &codebooks)?;
    files::replace(&run.folder(stage_names::REPORT), |folder| {
        files::write_json(&folder.join("metrics.json"), &metrics)?;
        files::write(&folder.join("report.html"), page.as_bytes())
    })?;
    Ok(Compared { name: run.recipe().head.name.clone(), run: run.path().to_owned(), metrics, reconstructions })
}

/// Writes `comparison.html` and `comparison.json` into the new folder `out`.
///
/// # Errors
/// When an image cannot be drawn, or a file cannot be written.
pub fn write_comparison(comparison: &Comparison, out: &Path) -> Result<()> {
    let page = comparison.html()?;
    Ok(files::create(out, |folder| {
        files::write_json(&folder.join("comparison.json"), comparison)?;
        files::write(&folder.join("comparison.html"), page.as_bytes())
    })?)
}
