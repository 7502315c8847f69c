//! The model card: `README.md` with the metadata that the Hub of Hugging Face reads, and pictures.

use std::{fs, path::Path};

use serde_json::{Value, json};
use vqkit_recipe::stage_names;
use vqkit_run::{Run, files};

use super::format::Format;
use crate::error::{InteropError, Result};

/// Pictures of a run that go along, with what they show.
const PICTURES: [(&str, &str, &str); 2] = [
    ("samples/overview/grid.png", "samples.png", "Samples"),
    ("report/reconstructions.png", "reconstructions.png", "Originals, and their reconstructions"),
];

/// Writes the card. `usage`: the lines that load the files.
pub fn write(run: &Run, format: Format, usage: &str, folder: &Path) -> Result<()> {
    let recipe = run.recipe();
    let library = match format {
        Format::Diffusers => "diffusers",
        Format::Onnx => "onnx",
        _ => "pytorch",
    };
    let metadata = json!({
        "library_name": library,
        "tags": ["vqkit", "image-tokenizer", "vq", format.to_string()],
        "pipeline_tag": if recipe.priors.is_empty() { "image-feature-extraction" } else { "unconditional-image-generation" },
    });
    let path = folder.join("README.md");
    let failed = |error: serde_saphyr::ser::Error| InteropError::file(&path, error.to_string());
    let front = serde_saphyr::to_string(&metadata).map_err(failed)?;
    let mut text = format!("---\n{}\n---\n\n# {}\n\n", front.trim_end(), recipe.head.name);
    text += &format!("Written by vqkit {} as `{format}`.\n\n{usage}", env!("CARGO_PKG_VERSION"));
    text += &metrics(run);
    text += &pictures(run, folder)?;
    text += &origin(run);
    Ok(files::write(&path, text.as_bytes())?)
}

/// The run's metrics, where it has been evaluated.
fn metrics(run: &Run) -> String {
    let path = run.folder(stage_names::REPORT).join("metrics.json");
    let read = fs::read(path).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    let Some(Value::Object(entries)) = read else { return String::new() };
    let row = |(name, value): (&String, &Value)| value.as_f64().map(|value| format!("| {name} | {value:.4} |\n"));
    let rows: String = entries.iter().filter_map(row).collect();
    if rows.is_empty() { String::new() } else { format!("\n## Metrics\n\n| metric | value |\n|---|---|\n{rows}") }
}

/// Copies the run's pictures and shows them.
fn pictures(run: &Run, folder: &Path) -> Result<String> {
    let mut text = String::new();
    for (from, to, what) in PICTURES {
        let path = run.path().join(from);
        if path.is_file() {
            fs::copy(&path, folder.join(to)).map_err(|source| InteropError::Io { action: "copy", path, source })?;
            text += &format!("\n![{what}]({to})\n");
        }
    }
    Ok(text)
}

/// Where imported weights come from.
fn origin(run: &Run) -> String {
    let checkpoint = run.output("tokenizer").map(|output| run.path().join(&output.path).join("origin.json"));
    let read =
        checkpoint.and_then(|path| fs::read(path).ok()).and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    let family = read.as_ref().and_then(|origin| origin.get("family")).and_then(Value::as_str);
    family.map_or(String::new(), |family| {
        format!("\nThe weights were imported from a checkpoint of the family `{family}`; its licence holds for them.\n")
    })
}
