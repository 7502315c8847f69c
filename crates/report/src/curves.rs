//! Curves of the metrics that a run logged.

use std::iter;

use plotters::prelude::*;
use serde_json::{Map, Value};
use vqkit_run::{FONT, Point, ReferenceCurves, Run, RunError, chart, log};

use crate::error::Result;

/// One logged metric over the steps of its stage.
pub struct Curve {
    title: String,
    points: Vec<(f64, f64)>,
    /// The recipe's reference curve, behind it.
    reference: Vec<Point>,
}

/// Every logged metric of a run, in the order in which they appear.
///
/// # Errors
/// When the log cannot be read.
pub fn of_run(run: &Run) -> Result<Vec<Curve>> {
    let mut curves: Vec<Curve> = Vec::new();
    let references = ReferenceCurves::of_run(run.path())?.unwrap_or_default();
    for line in log::read(run.path())? {
        let (Some(stage), Some(step)) = (line.get("stage").and_then(Value::as_str), step(&line)) else { continue };
        for (name, value) in &line {
            let (Some(value), false) = (value.as_f64(), ["step", "seconds"].contains(&name.as_str())) else { continue };
            let title = format!("{stage}: {}", name.replace('_', " "));
            match curves.iter_mut().find(|curve| curve.title == title) {
                Some(curve) => curve.points.push((step, value)),
                None => {
                    let reference = references.points(stage, name).to_vec();
                    curves.push(Curve { title, points: vec![(step, value)], reference });
                }
            }
        }
    }
    Ok(curves)
}

fn step(line: &Map<String, Value>) -> Option<f64> {
    line.get("step").and_then(Value::as_f64)
}

impl Curve {
    /// The curve as SVG for a page.
    ///
    /// # Errors
    /// When it cannot be drawn.
    pub fn svg(&self) -> Result<String> {
        chart::with_font();
        let mut text = String::new();
        let drawn = self.draw(&mut text);
        drawn.map_err(|error| RunError::Chart { what: format!("`{}`", self.title), reason: error.to_string() })?;
        Ok(text)
    }

    fn draw(&self, text: &mut String) -> Result<(), Box<dyn std::error::Error>> {
        let root = SVGBackend::with_string(text, (420, 260)).into_drawing_area();
        let reference = self.reference.iter().map(|point| point.value);
        let steps = range(self.points.iter().map(|point| point.0));
        let values = range(self.points.iter().map(|point| point.1).chain(reference));
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
        if !self.reference.is_empty() {
            let edge = |of: fn(&Point) -> f64| {
                let inside = self.reference.iter().filter(|point| point.step as f64 <= steps.1);
                inside.map(move |point| (point.step as f64, of(point).clamp(values.0, values.1)))
            };
            let band: Vec<_> = edge(|point| point.low).chain(edge(|point| point.high).rev()).collect();
            chart.draw_series(iter::once(Polygon::new(band, BLACK.mix(0.12))))?;
            chart.draw_series(LineSeries::new(edge(|point| point.value), BLACK.mix(0.5)))?;
        }
        chart.draw_series(LineSeries::new(self.points.iter().copied(), &BLUE))?;
        if let [only] = self.points[..] {
            chart.draw_series(iter::once(Circle::new(only, 3, BLUE.filled())))?;
        }
        root.present()?;
        Ok(())
    }
}

/// Lowest and highest value, with a margin; a larger one where all are equal.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
    let room = if high > low { (high - low) * 0.05 } else { low.abs().max(1.0) * 0.5 };
    (low - room, high + room)
}
