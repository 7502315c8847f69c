//! Trained tokenizers side by side: tables of their metrics, and crops of images with every reconstruction.

use std::path::Path;

use maud::{Markup, html};
use vqkit_evaluate::{Better, MetricTable, ShownImage, TokenizerComparison, TokenizerMeasures};
use vqkit_run::{RgbImage, files};

use crate::{error::ReportError, error::Result, page::marked_table, page::note, page::page, page::warnings};

/// The folder of the crops, beside the page.
const CROPS: &str = "crops";
/// Largest side, in pixels, of a crop of the largest images.
const CROP: u32 = 128;
/// About how wide, in pixels, a crop is shown.
const SHOWN: u32 = 256;

/// Writes a comparison as `index.html`, `compare.json` and PNG files in `crops/` into the new folder `out`.
///
/// # Errors
/// When an image cannot be encoded, or a file cannot be written.
pub fn write(comparison: &TokenizerComparison, out: &Path) -> Result<()> {
    let crops = crops(comparison);
    let text = html(comparison, &crops);
    files::create(out, |folder| {
        files::write_json(&folder.join("compare.json"), comparison)?;
        files::make_inside(folder, Path::new(CROPS))?;
        for crop in crops.iter().flat_map(|shown| shown.rows.iter().flatten()) {
            crop.pixels.write(&folder.join(&crop.file))?;
        }
        files::write(&folder.join("index.html"), text.as_bytes())?;
        Ok::<_, ReportError>(())
    })
}

/// One image.
struct Shown {
    key: String,
    /// As it was got and reconstructed, one row for the tokenizers that got it in the same way.
    rows: Vec<Vec<Crop>>,
}

/// A crop in its own pixels, and how it is shown.
struct Crop {
    file: String,
    pixels: RgbImage,
    title: String,
    detail: String,
    is_best: bool,
    width: u32,
}

/// The crops of all images that are shown, in the order in which the first tokenizer saw them: the middle square of each, in
/// which every tokenizer shows the same part.
fn crops(comparison: &TokenizerComparison) -> Vec<Shown> {
    let groups = comparison.groups();
    let sizes = comparison.tokenizers.iter().map(|measures| measures.preparation.image_size);
    let frame = Frame::of(sizes.max().unwrap_or(CROP));
    let mut keys: Vec<&str> = Vec::new();
    for shown in comparison.tokenizers.iter().flat_map(|measures| &measures.shown) {
        if !keys.contains(&shown.key.as_str()) {
            keys.push(&shown.key);
        }
    }
    let of_key = |(number, key): (usize, &&str)| {
        let rows = groups.iter().enumerate().map(|(group, members)| {
            let of_group = members.iter().map(|index| &comparison.tokenizers[*index]);
            frame.of_group(&format!("{CROPS}/{number:03}"), group, key, &of_group.collect::<Vec<_>>())
        });
        Shown { key: (*key).to_owned(), rows: rows.collect() }
    };
    keys.iter().enumerate().map(of_key).collect()
}

/// Which part of an image is shown, and how large.
struct Frame {
    /// Of the side, in the middle.
    share: f64,
    /// Width in pixels of the page.
    width: u32,
}

impl Frame {
    /// For images of which the largest have this size.
    fn of(largest: u32) -> Self {
        let side = largest.clamp(1, CROP);
        Self { share: f64::from(side) / f64::from(largest.max(1)), width: side * (SHOWN / side).clamp(2, 4) }
    }

    /// The original of an image and the reconstructions of tokenizers that got it in the same way.
    fn of_group(&self, file: &str, group: usize, key: &str, members: &[&TokenizerMeasures]) -> Vec<Crop> {
        let of_key = |measures: &&TokenizerMeasures| measures.shown.iter().position(|shown| shown.key == key);
        let found: Vec<(&TokenizerMeasures, &ShownImage)> =
            members.iter().filter_map(|measures| Some((*measures, &measures.shown[of_key(measures)?]))).collect();
        let Some((first, shown)) = found.first() else { return Vec::new() };
        let original = Crop {
            file: format!("{file}-original-{group}.png"),
            pixels: self.cut(&shown.original),
            title: "original".into(),
            detail: first.preparation.to_string(),
            is_best: false,
            width: self.width,
        };
        let best = best(&found.iter().map(|(_, shown)| shown.psnr_db).collect::<Vec<_>>());
        let reconstructions = found.iter().zip(best).enumerate().map(|(number, ((measures, shown), is_best))| Crop {
            file: format!("{file}-reconstruction-{group}-{number}.png"),
            pixels: self.cut(&shown.reconstruction),
            title: measures.name.clone(),
            detail: shown.psnr_db.map_or_else(|| "exact".into(), |psnr_db| format!("{psnr_db:.2} dB")),
            is_best,
            width: self.width,
        });
        std::iter::once(original).chain(reconstructions).collect()
    }

    fn cut(&self, image: &RgbImage) -> RgbImage {
        image.center(((f64::from(image.size().0) * self.share).round() as u32).max(1))
    }
}

/// Which of several PSNRs is the largest; none of a single one. An exact reconstruction has none, and is the best.
fn best(psnr_db: &[Option<f64>]) -> Vec<bool> {
    let values = || psnr_db.iter().map(|value| value.unwrap_or(f64::INFINITY));
    let largest = values().fold(f64::NEG_INFINITY, f64::max);
    values().map(|value| psnr_db.len() > 1 && value == largest).collect()
}

fn html(comparison: &TokenizerComparison, crops: &[Shown]) -> String {
    let body = html! {
        h1 { "Tokenizers side by side" }
        (warnings(&comparison.warnings))
        @for metrics in &comparison.tables() { (table(comparison, metrics)) }
        (note("Bold: the best value among tokenizers that got the images in the same way (↑ larger is better, ↓ smaller). PSNR, SSIM, \
               MS-SSIM and LPIPS are means over images, both sides in 8 bits. Codes in use and perplexity are means over the codebooks. Bits per \
               pixel: a token takes log2(number of codes) bits, or the entropy of its codebook's codes. Parameters are those of encoder and \
               decoder. compare.json holds all numbers and the protocol."))
        (note(&comparison.protocol.to_string()))
        @for line in comparison.several_codebooks() { p.note { (line) } }
        h2 { "Reconstructions" }
        p { "The middle of images that are evenly spread over the data: as the tokenizers got it, and every reconstruction with the PSNR of the \
             whole image. A pixel of the largest images is enlarged, not smoothed." }
        @for shown in crops { (row(shown)) }
        h2 { "Tokenizers" }
        @for measures in &comparison.tokenizers {
            p {
                (measures.name) ": " (measures.network) " with quantizer " (measures.quantizer) ", "
                code { (measures.run.display()) }
            }
        }
    };
    page("Tokenizers side by side", &body)
}

fn table(comparison: &TokenizerComparison, metrics: &MetricTable) -> Markup {
    let arrow = |better: Option<Better>| match better {
        None => "",
        Some(Better::Larger) => " ↑",
        Some(Better::Smaller) => " ↓",
    };
    let names = metrics.columns.iter().map(|column| format!("{}{}", column.name, arrow(column.better)));
    let head: Vec<String> = std::iter::once("tokenizer".to_owned()).chain(names).collect();
    let row = |(index, measures): (usize, &TokenizerMeasures)| {
        let cells =
            metrics.columns.iter().map(|column| (column.cells[index].text.clone(), column.cells[index].is_best));
        std::iter::once((measures.name.clone(), false)).chain(cells).collect()
    };
    let rows: Vec<Vec<(String, bool)>> = comparison.tokenizers.iter().enumerate().map(row).collect();
    html! { h2 { (metrics.title) } (marked_table(&head, &rows)) }
}

fn row(shown: &Shown) -> Markup {
    html! {
        h3 { (shown.key) }
        @for crops in &shown.rows {
            div.crops { @for crop in crops { (figure(&shown.key, crop)) } }
        }
    }
}

fn figure(key: &str, crop: &Crop) -> Markup {
    html! {
        figure style=(format!("width: {}px", crop.width)) {
            a href=(crop.file) {
                img src=(crop.file) width=(crop.width) alt=(format!("{key}: {}, {}", crop.title, crop.detail));
            }
            figcaption { (crop.title) br; span class=[crop.is_best.then_some("best")] { (crop.detail) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_part_of_every_size_is_shown_at_one_width() {
        for (largest, width) in [(24, 96), (32, 128), (64, 256), (96, 192), (128, 256), (256, 256), (1024, 256)] {
            assert_eq!(Frame::of(largest).width, width, "{largest}");
        }
        let frame = Frame::of(256);
        let image = |side: u32| RgbImage::from_rgb(vec![0; 3 * (side * side) as usize], side, side);
        assert_eq!(frame.cut(&image(256)).size(), (128, 128));
        assert_eq!(frame.cut(&image(64)).size(), (32, 32));
    }

    #[test]
    fn the_best_psnr_is_marked_where_there_are_several() {
        assert_eq!(best(&[Some(20.0), Some(30.0), Some(30.0)]), [false, true, true]);
        assert_eq!(best(&[Some(20.0), None]), [false, true]);
        assert_eq!(best(&[Some(20.0)]), [false]);
    }
}
