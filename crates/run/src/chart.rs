//! Shared by all charts: a font that is available on every machine, and an image to draw on.

use std::{error::Error, sync::Once};

use plotters::{coord::Shift, prelude::*, style::register_font};

use crate::{error::Result, error::RunError, rgb_image::RgbImage};

/// A chart in pixels, to draw on.
pub type Canvas<'a> = DrawingArea<BitMapBackend<'a>, Shift>;

/// The font family of all text in charts; plotters uses it to measure and to draw text.
pub const FONT: &str = "sans-serif";

/// Registers [`FONT`]; charts fail without it.
pub fn with_font() {
    static ONCE: Once = Once::new();
    // The only possible failure is a font that cannot be read, which the first chart then reports.
    ONCE.call_once(|| drop(register_font(FONT, FontStyle::Normal, dejavu::sans::regular())));
}

/// Draws on white.
///
/// # Errors
/// When `draw` fails; `what` names the chart.
pub fn picture(
    what: &str,
    (width, height): (u32, u32),
    draw: impl FnOnce(&Canvas) -> Result<(), Box<dyn Error>>,
) -> Result<RgbImage> {
    with_font();
    let mut pixels = vec![255u8; (width * height * 3) as usize];
    let drawn = {
        let canvas = BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area();
        draw(&canvas).and_then(|()| Ok(canvas.present()?))
    };
    drawn.map_err(|error| RunError::Chart { what: what.to_owned(), reason: error.to_string() })?;
    Ok(RgbImage::from_rgb(pixels, width, height))
}
