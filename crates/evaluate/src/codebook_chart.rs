//! Charts of one codebook: how often its codes are used, and where they lie.

use std::error::Error;

use plotters::prelude::*;
use tch::{Kind, Tensor};
use vqkit_run::{Canvas, FONT, RgbImage, chart};

use crate::error::Result;

/// Largest number of bars; more would be thinner than a pixel.
const MOST_BARS: usize = 800;
const INK: RGBColor = RGBColor(38, 84, 124);
const MARK: RGBColor = RGBColor(214, 69, 65);
const UNUSED: RGBColor = RGBColor(225, 70, 124);
/// Usage relative to uniform usage: the upper bound of a class, its name, its colour.
const CLASSES: [(f64, &str, RGBColor); 4] = [
    (0.1, "below a tenth of uniform usage", RGBColor(160, 196, 226)),
    (1.0, "up to uniform usage", RGBColor(74, 144, 196)),
    (10.0, "up to ten times", RGBColor(24, 86, 140)),
    (f64::INFINITY, "above ten times", RGBColor(8, 28, 58)),
];

/// Codes sorted by usage, on a logarithmic scale, with a line at uniform usage.
///
/// # Shapes
/// `counts` `[K]`, i64.
///
/// # Errors
/// When it cannot be drawn.
pub fn usage(name: &str, counts: &Tensor) -> Result<RgbImage> {
    let mut sorted = values(counts)?;
    sorted.sort_by(|a, b| b.total_cmp(a));
    Ok(chart::picture(&format!("the usage of {name}"), (900, 480), |canvas| draw_usage(canvas, name, &sorted))?)
}

fn draw_usage(canvas: &Canvas, name: &str, sorted: &[f64]) -> Result<(), Box<dyn Error>> {
    let (size, used) = (sorted.len(), sorted.iter().filter(|count| **count > 0.0).count());
    let even = sorted.iter().sum::<f64>() / size.max(1) as f64;
    let (floor, top) = ((even / 2.0).clamp(1e-3, 0.5), sorted.first().copied().unwrap_or(0.0).max(even).max(1.0));
    let mut chart = ChartBuilder::on(canvas)
        .caption(format!("{name}: {used} of {size} codes used"), (FONT, 22))
        .margin(14)
        .x_label_area_size(46)
        .y_label_area_size(84)
        .build_cartesian_2d(0.0..size.max(1) as f64, (floor..top * 2.0).log_scale())?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc("codes, most used first")
        .y_desc("uses")
        .x_label_formatter(&|value| format!("{value:.0}"))
        .y_label_formatter(&plain)
        .label_style((FONT, 15))
        .axis_desc_style((FONT, 16))
        .draw()?;
    let step = size.div_ceil(MOST_BARS).max(1);
    let bars = (0..used).step_by(step).map(|start| {
        let end = (start + step).min(used);
        Rectangle::new([(start as f64, floor), (end as f64, sorted[start])], INK.filled())
    });
    chart.draw_series(bars)?;
    let line = LineSeries::new([(0.0, even), (size as f64, even)], MARK.stroke_width(2));
    chart.draw_series(line)?.label(format!("uniform usage: {}", plain(&even))).legend(|(x, y)| legend_line(x, y));
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.filled())
        .border_style(BLACK.mix(0.3))
        .label_font((FONT, 15))
        .draw()?;
    Ok(())
}

/// A number, without decimals from 10 on.
fn plain(value: &f64) -> String {
    let rounded = if *value < 10.0 { (value * 100.0).round() / 100.0 } else { value.round() };
    rounded.to_string()
}

fn legend_line(x: i32, y: i32) -> PathElement<(i32, i32)> {
    PathElement::new([(x, y), (x + 18, y)], MARK.stroke_width(2))
}

/// The codes along their first two principal components, coloured by usage.
///
/// # Shapes
/// `codes` `[K, D]`, f32; `counts` `[K]`, i64.
///
/// # Errors
/// When the codes are not finite, or it cannot be drawn.
pub fn map(name: &str, codes: &Tensor, counts: Option<&Tensor>) -> Result<RgbImage> {
    let projection = Projection::of(codes)?;
    let groups = groups(&projection.points, counts.map(values).transpose()?);
    Ok(chart::picture(&format!("the map of {name}"), (900, 820), |canvas| {
        draw_map(canvas, name, &projection, &groups)
    })?)
}

/// Codes projected to the plane that shows most of their variance.
struct Projection {
    points: Vec<(f64, f64)>,
    /// Share of the variance that the plane shows.
    shown: f64,
}

impl Projection {
    fn of(codes: &Tensor) -> Result<Self> {
        let codes = codes.f_to_kind(Kind::Double)?.f_to_device(tch::Device::Cpu)?;
        let centred = &codes - codes.f_mean_dim([0i64].as_slice(), true, Kind::Double)?;
        let (variances, axes) = centred.f_transpose(0, 1)?.f_matmul(&centred)?.f_linalg_eigh("L")?;
        let (width, total) = (axes.size()[1], variances.sum(Kind::Double).double_value(&[]));
        let kept = width.min(2);
        let along = |component: i64| -> Result<Vec<f64>> {
            if component >= width {
                return Ok(vec![0.0; codes.size()[0] as usize]);
            }
            Ok(Vec::try_from(centred.f_mv(&axes.select(1, width - 1 - component).contiguous())?)?)
        };
        let points = along(0)?.into_iter().zip(along(1)?).collect();
        let plane = variances.narrow(0, width - kept, kept).sum(Kind::Double).double_value(&[]);
        Ok(Self { points, shown: if total > 0.0 { plane / total } else { 1.0 } })
    }

    /// The middle of all points, and half the side of the square around it that holds them.
    fn frame(&self) -> ((f64, f64), f64) {
        let ends = |axis: fn(&(f64, f64)) -> f64| {
            let values = self.points.iter().map(axis);
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
        };
        let (x, y) = (ends(|point| point.0), ends(|point| point.1));
        let half = (x.1 - x.0).max(y.1 - y.0) / 2.0;
        let middle = |(low, high): (f64, f64)| f64::midpoint(low, high);
        ((middle(x), middle(y)), if half > 0.0 { half * 1.08 } else { 1.0 })
    }
}

/// Points that are drawn in the same style.
struct Group {
    label: String,
    colour: RGBColor,
    is_unused: bool,
    points: Vec<(f64, f64)>,
}

/// The points grouped by usage, unused ones first, so that they are drawn below the others.
fn groups(points: &[(f64, f64)], counts: Option<Vec<f64>>) -> Vec<Group> {
    let group = |label: &str, colour, is_unused, points: Vec<(f64, f64)>| {
        let label = format!("{label} ({})", points.len());
        Group { label, colour, is_unused, points }
    };
    let Some(counts) = counts else { return vec![group("usage unknown", CLASSES[1].2, false, points.to_vec())] };
    let even = counts.iter().sum::<f64>() / counts.len().max(1) as f64;
    let between = |low: f64, high: f64| -> Vec<(f64, f64)> {
        let within = points.iter().zip(&counts).filter(|(_, count)| **count > low * even && **count <= high * even);
        within.map(|(point, _)| *point).collect()
    };
    let unused = points.iter().zip(&counts).filter(|(_, count)| **count == 0.0).map(|(point, _)| *point).collect();
    let mut groups = vec![group("unused", UNUSED, true, unused)];
    let mut low = 0.0;
    for (high, label, colour) in CLASSES {
        groups.push(group(label, colour, false, between(low, high)));
        low = high;
    }
    groups.retain(|group| !group.points.is_empty());
    groups
}

fn draw_map(canvas: &Canvas, name: &str, projection: &Projection, groups: &[Group]) -> Result<(), Box<dyn Error>> {
    let ((x, y), half) = projection.frame();
    let size: i32 = match projection.points.len() {
        ..=1024 => 4,
        1025..=8192 => 3,
        _ => 2,
    };
    let shown = projection.shown * 100.0;
    let mut chart = ChartBuilder::on(canvas)
        .caption(format!("{name}: its first two principal components, {shown:.0} % of the variance"), (FONT, 20))
        .margin(14)
        .x_label_area_size(34)
        .y_label_area_size(64)
        .build_cartesian_2d(x - half..x + half, y - half..y + half)?;
    chart.configure_mesh().light_line_style(TRANSPARENT).label_style((FONT, 15)).draw()?;
    for group in groups {
        let (colour, points) = (group.colour, group.points.iter().copied());
        let series = match group.is_unused {
            true => chart.draw_series(points.map(|point| Cross::new(point, size, colour.stroke_width(2))))?,
            false => chart.draw_series(points.map(|point| Circle::new(point, size, colour.filled())))?,
        };
        series.label(group.label.clone());
        match group.is_unused {
            true => series.legend(move |place| Cross::new(place, 4, colour.stroke_width(2)).into_dyn()),
            false => series.legend(move |place| Circle::new(place, 5, colour.filled()).into_dyn()),
        };
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .margin(8)
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.3))
        .label_font((FONT, 15))
        .draw()?;
    Ok(())
}

fn values(counts: &Tensor) -> Result<Vec<f64>> {
    Ok(Vec::try_from(counts.f_to_kind(Kind::Double)?.f_to_device(tch::Device::Cpu)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(values: &[f32], dim: i64) -> Tensor {
        Tensor::from_slice(values).view([-1, dim])
    }

    #[test]
    fn the_first_component_is_the_widest() {
        let codes = grid(&[0.0, -5.0, 7.0, 0.0, 5.0, 7.0, 1.0, 0.0, 7.0, -1.0, 0.0, 7.0], 3);
        let projection = Projection::of(&codes).unwrap();
        let along: Vec<f64> = projection.points.iter().map(|point| point.0.abs()).collect();
        assert!((along[0] - 5.0).abs() < 1e-9 && (along[1] - 5.0).abs() < 1e-9, "{along:?}");
        assert!((projection.points[2].1.abs() - 1.0).abs() < 1e-9);
        assert!((projection.shown - 1.0).abs() < 1e-9);
    }

    #[test]
    fn every_code_is_in_one_group() {
        let points = vec![(0.0, 0.0); 5];
        let groups = groups(&points, Some(vec![0.0, 1.0, 10.0, 20.0, 169.0]));
        let labels: Vec<&str> = groups.iter().map(|group| group.label.as_str()).collect();
        assert_eq!(
            labels,
            ["unused (1)", "below a tenth of uniform usage (1)", "up to uniform usage (2)", "up to ten times (1)"]
        );
    }

    #[test]
    fn degenerate_codebooks_are_drawn() {
        for (codes, counts) in [
            (grid(&[1.0], 1), vec![3i64]),
            (grid(&[1.0, 2.0, 3.0], 1), vec![0, 0, 0]),
            (grid(&[2.0; 8], 2), vec![1, 0, 0, 5_000_000]),
        ] {
            let counts = Tensor::from_slice(&counts);
            assert_eq!(map("codebook 0", &codes, Some(&counts)).unwrap().size(), (900, 820));
            assert_eq!(map("codebook 0", &codes, None).unwrap().size(), (900, 820));
            assert_eq!(usage("codebook 0", &counts).unwrap().size(), (900, 480));
        }
    }
}
