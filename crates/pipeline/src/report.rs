//! `report.html`: one self-contained page with the figures, the curves, the pictures and the recipe.

use std::{fs, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use plotters::prelude::*;
use serde_json::{Map, Value};

use crate::{
    charts::{self, FONT},
    error::{PipelineError, Result},
    evaluate::{Metrics, TemplateMetrics},
    log,
    pictures::Picture,
    recipe::Recipe,
    run::Run,
    sample,
    samples_distance::SamplesDistance,
};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}\
    img,svg{max-width:100%;height:auto}img{image-rendering:pixelated}table{border-collapse:collapse}\
    td,th{padding:.2rem .8rem;border-bottom:1px solid #ddd;text-align:right}td:first-child,th:first-child{text-align:left}\
    pre{background:#f6f6f6;padding:1rem;overflow:auto}.curves{display:grid;gap:1rem;\
    grid-template-columns:repeat(auto-fit,minmax(18rem,1fr))}";

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
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (name) " · vqkit" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (name) }
                h2 { "Figures" }
                (tokenizer_table(metrics))
                (levels_table(metrics))
                @for (name, figure) in metrics.template.iter().flat_map(TemplateMetrics::figures) {
                    p { "Templates: " (name.replace('_', " ")) " " (format!("{figure:.4}")) }
                }
                (rate_table(metrics))
                (samples_section(run, metrics)?)
                h2 { "Reconstructions" }
                p { "Held-out images above, their reconstructions below." }
                (image("reconstructions", &reconstructions.enlarged(2).png()?))
                h2 { "Codebooks" }
                p { "The use of every code, where the codes lie, and what each decodes to alone, the most used first." }
                @for (name, picture) in codebooks { (image(name, &picture.png()?)) }
                h2 { "Curves" }
                div.curves { @for curve in curves(run)? { (PreEscaped(curve.svg()?)) } }
                h2 { "Recipe" }
                pre { (recipe.to_toml()?) }
            }
        }
    };
    Ok(page.into_string())
}

/// What was drawn, and what judges say of it.
fn samples_section(run: &Run, metrics: &Metrics) -> Result<Markup> {
    let [samples, sheet] = ["grid.png", "sheet.png"].map(|file| read_picture(&run.folder(sample::STAGE).join(file)));
    let (samples, sheet) = (samples?, sheet?);
    Ok(html! {
        @if let Some(samples) = samples { h2 { "Samples" } (image("samples", &samples)) }
        @if let Some(sheet) = sheet {
            p { "In every row a condition, the held-out image that it belongs to, if any, and what was drawn for it." }
            (image("samples by condition", &sheet))
        }
        @for (what, checked) in
            [("reconstructions", metrics.reconstructions_checked), ("samples", metrics.samples_checked)]
        {
            @if let Some(checked) = checked { p { "The checker on " (what) ":" } pre { (checked.to_string()) } }
        }
        @if let Some(recognised) = metrics.samples_recognised {
            p {
                "A classifier of CIFAR-10 that no loss uses takes " (recognised.right) " of " (recognised.samples)
                " samples for the class for which they were drawn."
            }
        }
        @if let Some(SamplesDistance { samples, held_out_images, distance }) = metrics.samples_fd_vgg_cifar10 {
            p {
                "samples_fd_vgg_cifar10 of " (samples) " samples against " (held_out_images) " held-out images: "
                (format!("{distance:.4}")) ". Fewer pictures give a larger distance, so compare only figures whose \
                 counts are the same; it is no FID."
            }
        }
    })
}

fn tokenizer_table(metrics: &Metrics) -> Markup {
    html! {
        table {
            tr { th { "held-out images" } th { "mean squared error" } th { "PSNR" } th { "fd_vgg_cifar10" } }
            tr {
                td { (metrics.protocol.held_out_images) }
                td { (format!("{:.2}", metrics.reconstruction_mse)) }
                td { (format!("{:.2} dB", metrics.reconstruction_psnr_db)) }
                td { (metrics.reconstruction_fd_vgg_cifar10.map_or("–".into(), |distance| format!("{distance:.4}"))) }
            }
        }
        p {
            "Error of pixels rounded to 8 bits, in units of 1/255, over all held-out images at once. fd_vgg_cifar10: Fréchet \
             distance between the features that a small classifier of CIFAR-10 gives images and reconstructions; it compares \
             models of one data set with each other, and is no FID."
        }
    }
}

fn levels_table(metrics: &Metrics) -> Markup {
    let bits = |bits: Option<f64>| bits.map_or("–".into(), |bits| format!("{bits:.3}"));
    html! {
        table {
            tr {
                th { "level" } th { "positions" } th { "codes" } th { "in use" } th { "perplexity" }
                th { "unigram bits/token" } th { "prior bits/token" } th { "prior bits/dim" }
            }
            @for (index, level) in metrics.levels.iter().enumerate() {
                tr {
                    td { (index) } td { (level.positions) } td { (level.codes) }
                    td { (format!("{:.1} %", level.usage * 100.0)) }
                    td { (format!("{:.1}", level.perplexity)) }
                    td { (format!("{:.3}", level.unigram_bits_per_token)) }
                    td { (bits(level.prior_bits_per_token)) }
                    td { (bits(level.prior_bits_per_dim)) }
                }
            }
        }
    }
}

fn rate_table(metrics: &Metrics) -> Markup {
    let bits = |bits: Option<f64>| bits.map_or("–".into(), |bits| format!("{bits:.4}"));
    let rate = &metrics.rate;
    html! {
        table {
            tr { th { "bits per dimension" } th { "tokens of all levels" } th { "what the reconstruction misses" } th { "both" } }
            tr {
                td { "estimated" }
                td { (bits(rate.prior_bits_per_dim)) }
                td { (bits(Some(rate.residual_bits_per_dim))) }
                td { (bits(rate.total_bits_per_dim)) }
            }
        }
        p {
            "The rate of a lossless code built of the tokens and of the differences between image and reconstruction, both of 8 bits. \
             The differences are given an ideal code for one discretised Gaussian of the mean squared error above, which takes \
             ½ log2(2πe · error) bits where the error is large against 1/12. An estimate: no coder was run, and it is no bound \
             that was measured directly."
        }
    }
}

fn image(alt: &str, png: &[u8]) -> Markup {
    html! { img alt=(alt) src=(format!("data:image/png;base64,{}", STANDARD.encode(png))); }
}

fn read_picture(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(PipelineError::io("read", path, source)),
    }
}

/// One logged figure over the steps of its stage.
struct Curve {
    title: String,
    points: Vec<(f64, f64)>,
}

fn curves(run: &Run) -> Result<Vec<Curve>> {
    let mut curves: Vec<Curve> = Vec::new();
    for line in log::read(run.path())? {
        let (Some(stage), Some(step)) = (line.get("stage").and_then(Value::as_str), step(&line)) else { continue };
        for (name, value) in &line {
            let (Some(value), false) = (value.as_f64(), ["step", "seconds"].contains(&name.as_str())) else { continue };
            let title = format!("{stage}: {}", name.replace('_', " "));
            match curves.iter_mut().find(|curve| curve.title == title) {
                Some(curve) => curve.points.push((step, value)),
                None => curves.push(Curve { title, points: vec![(step, value)] }),
            }
        }
    }
    Ok(curves)
}

fn step(line: &Map<String, Value>) -> Option<f64> {
    line.get("step").and_then(Value::as_f64)
}

impl Curve {
    fn svg(&self) -> Result<String> {
        charts::with_font();
        let mut text = String::new();
        self.draw(&mut text).map_err(|error| PipelineError::Usage(format!("cannot draw `{}`: {error}", self.title)))?;
        Ok(text)
    }

    fn draw(&self, text: &mut String) -> Result<(), Box<dyn std::error::Error>> {
        let root = SVGBackend::with_string(text, (420, 260)).into_drawing_area();
        let (steps, values) = (self.range(|point| point.0), self.range(|point| point.1));
        let mut chart = ChartBuilder::on(&root)
            .caption(&self.title, (FONT, 15))
            .margin(6)
            .x_label_area_size(26)
            .y_label_area_size(52)
            .build_cartesian_2d(steps.0..steps.1, values.0..values.1)?;
        let whole = |step: &f64| format!("{step:.0}");
        chart
            .configure_mesh()
            .x_labels(5)
            .x_label_formatter(&whole)
            .y_labels(5)
            .light_line_style(TRANSPARENT)
            .draw()?;
        chart.draw_series(LineSeries::new(self.points.iter().copied(), &BLUE))?;
        root.present()?;
        Ok(())
    }

    /// Lowest and highest, with some room; more of it where all are equal.
    fn range(&self, axis: fn(&(f64, f64)) -> f64) -> (f64, f64) {
        let values = self.points.iter().map(axis);
        let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
        let room = if high > low { (high - low) * 0.05 } else { low.abs().max(1.0) * 0.5 };
        (low - room, high + room)
    }
}
