//! Runs side by side: one table, one chart of rate against distortion, their reconstructions.

use std::{fmt, path::PathBuf};

use maud::{Markup, PreEscaped, html};
use plotters::prelude::*;
use serde::Serialize;
use vqkit_evaluate::{LevelMetrics, Metrics};
use vqkit_run::{FONT, RgbImage, RunError, chart};

use crate::{error::Result, page::image, page::note, page::number, page::page, page::table, page::warnings};

/// One run of a comparison.
#[derive(Debug, Serialize)]
pub struct Compared {
    /// Its recipe's name.
    pub name: String,
    /// Its folder.
    pub run: PathBuf,
    /// Its metrics.
    pub metrics: Metrics,
    /// Its originals, reconstructions and their differences.
    #[serde(skip)]
    pub reconstructions: RgbImage,
}

/// Several runs, measured in the same way.
#[derive(Debug, Serialize)]
pub struct Comparison {
    /// The runs, in the requested order.
    pub runs: Vec<Compared>,
    /// Reasons why metrics are not comparable.
    pub warnings: Vec<String>,
}

/// A row of the table: its label, and its cell for a run.
type Row = (&'static str, fn(&Metrics) -> String);

/// The rows of the table.
const ROWS: [Row; 17] = [
    ("validation images", |metrics| metrics.protocol.validation_images.to_string()),
    ("PSNR (dB)", |metrics| format!("{:.2}", metrics.reconstruction_psnr_db)),
    ("SSIM", |metrics| number(metrics.reconstruction_similarity.ssim, 4)),
    ("MS-SSIM", |metrics| number(metrics.reconstruction_similarity.ms_ssim, 4)),
    ("LPIPS", |metrics| number(metrics.reconstruction_similarity.lpips, 4)),
    ("fd_vgg_cifar10, reconstructions", |metrics| number(metrics.reconstruction_fd_vgg_cifar10, 4)),
    ("rFID", |metrics| number(metrics.reconstruction_fid, 3)),
    ("codes in use", |metrics| per_level(metrics, |level| format!("{:.1} %", level.usage * 100.0))),
    ("perplexity", |metrics| per_level(metrics, |level| format!("{:.0}", level.perplexity))),
    ("bits per pixel, fixed", |metrics| format!("{:.3}", metrics.rate.fixed_bits_per_pixel)),
    ("bits per pixel, priors", |metrics| number(metrics.rate.prior_bits_per_pixel, 3)),
    ("prior bits per token", |metrics| per_level(metrics, |level| number(level.prior_bits_per_token, 3))),
    ("samples", |metrics| metrics.samples_as_set.as_ref().map_or_else(|| "–".into(), |set| set.samples.to_string())),
    ("fd_vgg_cifar10, samples", |metrics| of_samples(metrics, "fd_vgg_cifar10", 3)),
    ("precision, recall (vgg_cifar10)", |metrics| {
        let [precision, recall] =
            ["precision", "recall"].map(|name| of_samples(metrics, &format!("{name}_vgg_cifar10"), 3));
        format!("{precision}, {recall}")
    }),
    ("gFID", |metrics| of_samples(metrics, "fid", 3)),
    ("class accuracy of samples", |metrics| {
        metrics.class_accuracy.map_or_else(|| "–".into(), |accuracy| format!("{:.1} %", accuracy.percent()))
    }),
];

fn per_level(metrics: &Metrics, of: impl Fn(&LevelMetrics) -> String) -> String {
    metrics.levels.iter().map(of).collect::<Vec<_>>().join(" / ")
}

fn of_samples(metrics: &Metrics, name: &str, digits: usize) -> String {
    number(metrics.samples_as_set.as_ref().and_then(|set| set.metrics.get(name)?.as_f64()), digits)
}

impl Comparison {
    /// The comparison of these runs.
    pub fn new(runs: Vec<Compared>) -> Self {
        let differ = |of: fn(&Metrics) -> String| {
            let first = runs.first().map(|run| of(&run.metrics));
            runs.iter().any(|run| Some(of(&run.metrics)) != first)
        };
        let mut warnings = Vec::new();
        if differ(|metrics| metrics.protocol.data.clone()) {
            warnings.push(
                "the runs were measured on different validation images: their metrics are not comparable".to_owned(),
            );
        }
        if differ(|metrics| format!("{} {:?}", metrics.protocol.image_size, metrics.protocol.resize)) {
            warnings.push("the runs have images of different sizes, or resized by different filters".to_owned());
        }
        if differ(|metrics| metrics.samples_as_set.as_ref().map_or(0, |set| set.samples).to_string()) {
            warnings.push(
                "the runs have different numbers of samples: their Fréchet distances are not comparable".to_owned(),
            );
        }
        Self { runs, warnings }
    }

    /// The table's head and rows; rows that no run fills are left out.
    fn table(&self) -> (Vec<&str>, Vec<Vec<String>>) {
        let head = [""].into_iter().chain(self.runs.iter().map(|run| run.name.as_str())).collect();
        let row = |(name, cell): &Row| {
            let cells = self.runs.iter().map(|run| cell(&run.metrics));
            [(*name).to_owned()].into_iter().chain(cells).collect::<Vec<_>>()
        };
        let is_filled =
            |row: &Vec<String>| row[1..].iter().any(|cell| cell.chars().any(|letter| letter.is_ascii_digit()));
        (head, ROWS.iter().map(row).filter(is_filled).collect())
    }

    /// The page.
    ///
    /// # Errors
    /// When an image or the chart cannot be drawn.
    pub fn html(&self) -> Result<String> {
        let (head, rows) = self.table();
        let body = html! {
            h1 { "Runs side by side" }
            (warnings(&self.warnings))
            (table(&head, &rows))
            (note("rFID is the FID of reconstructions, gFID that of samples: do not compare the two. Metrics named vgg_cifar10 use a small CIFAR-10 \
                   classifier and are not FID. comparison.json holds the protocol of every column."))
            h2 { "Rate and distortion" }
            p { "Bits per pixel of each run's tokens, from right to left: fixed length, unigram, under its priors." }
            (PreEscaped(self.chart()?))
            h2 { "Reconstructions" }
            p { "Originals, reconstructions, and their differences." }
            @for run in &self.runs { (self.shown(run)?) }
        };
        Ok(page("Runs side by side", &body))
    }

    fn shown(&self, run: &Compared) -> Result<Markup> {
        let picture = image(&format!("reconstructions of {}", run.name), &run.reconstructions.enlarged(2).png()?);
        Ok(html! { h3 { (run.name) } (picture) })
    }

    fn chart(&self) -> Result<String> {
        chart::with_font();
        let mut text = String::new();
        let drawn = self.draw(&mut text);
        drawn.map_err(|error| RunError::Chart { what: "rate and distortion".into(), reason: error.to_string() })?;
        Ok(text)
    }

    fn draw(&self, text: &mut String) -> Result<(), Box<dyn std::error::Error>> {
        let points = |metrics: &Metrics| -> Vec<(f64, f64)> {
            let rates = [
                Some(metrics.rate.fixed_bits_per_pixel),
                Some(metrics.rate.unigram_bits_per_pixel),
                metrics.rate.prior_bits_per_pixel,
            ];
            rates.into_iter().flatten().map(|rate| (rate, metrics.reconstruction_psnr_db)).collect()
        };
        let all: Vec<(f64, f64)> = self.runs.iter().flat_map(|run| points(&run.metrics)).collect();
        let range = |axis: fn(&(f64, f64)) -> f64| {
            let (low, high) =
                all.iter().map(axis).fold((f64::MAX, f64::MIN), |(low, high), x| (low.min(x), high.max(x)));
            let room = ((high - low) * 0.1).max(high.abs() * 0.02).max(1e-3);
            low - room..high + room
        };
        let root = SVGBackend::with_string(text, (760, 420)).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin(10)
            .x_label_area_size(46)
            .y_label_area_size(64)
            .build_cartesian_2d(range(|point| point.0), range(|point| point.1))?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .x_desc("bits per pixel")
            .y_desc("PSNR (dB)")
            .label_style((FONT, 14))
            .axis_desc_style((FONT, 15))
            .draw()?;
        for (index, run) in self.runs.iter().enumerate() {
            let colour = Palette99::pick(index).to_rgba();
            let points = points(&run.metrics);
            chart.draw_series(LineSeries::new(points.iter().copied(), &colour))?;
            let dots = points.into_iter().map(|point| Circle::new(point, 4, colour.filled()));
            chart.draw_series(dots)?.label(&run.name).legend(move |(x, y)| Circle::new((x + 8, y), 4, colour.filled()));
        }
        chart.configure_series_labels().border_style(BLACK.mix(0.3)).label_font((FONT, 14)).draw()?;
        root.present()?;
        Ok(())
    }
}

impl fmt::Display for Comparison {
    /// A table in Markdown.
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let (head, rows) = self.table();
        writeln!(out, "| {} |", head.join(" | "))?;
        writeln!(out, "|{}", "---|".repeat(head.len()))?;
        rows.iter().try_for_each(|row| writeln!(out, "| {} |", row.join(" | ")))?;
        self.warnings.iter().try_for_each(|warning| writeln!(out, "warning: {warning}"))
    }
}
