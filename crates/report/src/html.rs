//! `report.html`: one self-contained page with metrics, curves, images and the recipe.

use std::{fs, path::Path};

use maud::{Markup, PreEscaped, html};
use vqkit_evaluate::{MAGNIFIED, Metrics};
use vqkit_recipe::stage_names;
use vqkit_run::{RgbImage, Run, RunError};

use crate::{curves, error::Result, page, page::image, page::note, tables};

/// The sections, by their anchors.
const SECTIONS: [&str; 6] = ["Metrics", "Reconstructions", "Samples", "Codebooks", "Curves", "Recipe"];

/// The page. `codebooks`: charts of them by name.
///
/// # Errors
/// When the run's files cannot be read, or a curve cannot be drawn.
pub fn html(
    run: &Run,
    metrics: &Metrics,
    reconstructions: &RgbImage,
    codebooks: &[(String, RgbImage)],
) -> Result<String> {
    let recipe = run.recipe();
    let name = &recipe.head.name;
    let heading = |name: &str| html! { h2 id=(name.to_lowercase()) { (name) } };
    let [measured, reconstructed, sampled, codebook, curve, recipe_heading] = SECTIONS.map(heading);
    let body = html! {
        h1 { (name) }
        nav { @for name in SECTIONS { a href=(format!("#{}", name.to_lowercase())) { (name) } } }
        (measured)
        (tables::metrics(metrics))
        (reconstructed)
        p {
            "Validation images, their reconstructions, and below them the differences: grey where there is none, magnified "
            (MAGNIFIED) " times."
        }
        (image("reconstructions", &reconstructions.enlarged(2).png()?))
        (sampled)
        (samples(run, metrics)?)
        (codebook)
        p { "How often each code is used, where the codes lie, and what each decodes to by itself, the most used first." }
        @for (name, picture) in codebooks { (image(name, &picture.png()?)) }
        (curve)
        div.curves { @for curve in curves::of_run(run)? { (PreEscaped(curve.svg()?)) } }
        (recipe_heading)
        pre { (recipe.to_toml()?) }
    };
    Ok(page::page(name, &body))
}

/// Samples and their metrics.
fn samples(run: &Run, metrics: &Metrics) -> Result<Markup> {
    let [samples, sheet] = ["grid.png", "sheet.png"]
        .map(|file| read_picture(&run.folder(stage_names::SAMPLES).join(stage_names::OVERVIEW).join(file)));
    let (samples, sheet) = (samples?, sheet?);
    let checked =
        [("reconstructions", metrics.reconstructions_shape_accuracy), ("samples", metrics.samples_shape_accuracy)];
    Ok(html! {
        @if samples.is_none() { p { "This run has no samples." } }
        @if let Some(samples) = samples { (image("samples", &samples)) }
        @if let Some(sheet) = sheet {
            p { "In every row: a condition, the validation image that it belongs to, if any, and the samples generated for it." }
            (image("samples by condition", &sheet))
        }
        @for (what, checked) in checked {
            @if let Some(checked) = checked { p { "Shape accuracy of " (what) ":" } pre { (checked.to_string()) } }
        }
        @if let Some(accuracy) = metrics.class_accuracy {
            (note(&format!(
                "Class accuracy: the evaluation classifier, which no loss uses, assigns {} of {} samples to the class that they were generated for.",
                accuracy.right, accuracy.samples
            )))
        }
        @if let Some(set) = &metrics.samples_as_set { (tables::samples(set)) }
    })
}

fn read_picture(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(RunError::io("read", path, source).into()),
    }
}
