//! `report.html`: one self-contained page with the figures, the curves, the pictures and the recipe.

use std::{fs, path::Path};

use maud::{Markup, PreEscaped, html};
use vqkit_evaluate::{MAGNIFIED, Metrics};
use vqkit_recipe::{Recipe, stage_names};
use vqkit_run::{Picture, Run, RunError};

use crate::{curves, error::Result, page, page::image, page::note, tables};

/// The sections, by their anchors.
const SECTIONS: [&str; 6] = ["Figures", "Reconstructions", "Samples", "Codebooks", "Curves", "Recipe"];

/// The page. `codebooks`: pictures of them by name.
///
/// # Errors
/// When the run's files cannot be read, or a curve cannot be drawn.
pub fn html(
    run: &Run,
    recipe: &Recipe,
    metrics: &Metrics,
    reconstructions: &Picture,
    codebooks: &[(String, Picture)],
) -> Result<String> {
    let name = &recipe.head.name;
    let heading = |name: &str| html! { h2 id=(name.to_lowercase()) { (name) } };
    let [figures, reconstructed, sampled, codebook, curve, recipe_heading] = SECTIONS.map(heading);
    let body = html! {
        h1 { (name) }
        nav { @for name in SECTIONS { a href=(format!("#{}", name.to_lowercase())) { (name) } } }
        (figures)
        (tables::figures(metrics))
        (reconstructed)
        p {
            "Validation images; below them their reconstructions; below these what differs, grey where nothing does, "
            (MAGNIFIED) " times as strong as it is."
        }
        (image("reconstructions", &reconstructions.enlarged(2).png()?))
        (sampled)
        (samples(run, metrics)?)
        (codebook)
        p { "The use of every code, where the codes lie, and what each decodes to alone, the most used first." }
        @for (name, picture) in codebooks { (image(name, &picture.png()?)) }
        (curve)
        div.curves { @for curve in curves::of_run(run)? { (PreEscaped(curve.svg()?)) } }
        (recipe_heading)
        pre { (recipe.to_toml()?) }
    };
    Ok(page::page(name, &body))
}

/// What was drawn, and what judges say of it.
fn samples(run: &Run, metrics: &Metrics) -> Result<Markup> {
    let [samples, sheet] =
        ["grid.png", "sheet.png"].map(|file| read_picture(&run.folder(stage_names::SAMPLES).join(file)));
    let (samples, sheet) = (samples?, sheet?);
    let checked =
        [("reconstructions", metrics.reconstructions_shape_accuracy), ("samples", metrics.samples_shape_accuracy)];
    Ok(html! {
        @if samples.is_none() { p { "None were drawn." } }
        @if let Some(samples) = samples { (image("samples", &samples)) }
        @if let Some(sheet) = sheet {
            p { "In every row a condition, the validation image that it belongs to, if any, and what was drawn for it." }
            (image("samples by condition", &sheet))
        }
        @for (what, checked) in checked {
            @if let Some(checked) = checked { p { "The checker on " (what) ":" } pre { (checked.to_string()) } }
        }
        @if let Some(recognised) = metrics.class_accuracy {
            (note(&format!(
                "A classifier of CIFAR-10 that no loss uses takes {} of {} samples for the class for which they were drawn.",
                recognised.right, recognised.samples
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
