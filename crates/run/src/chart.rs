//! What every chart needs: a font that is there on every machine, and a picture to draw on.

use std::{error::Error, sync::Once};

use plotters::{coord::Shift, prelude::*, style::register_font};

use crate::{error::Result, error::RunError, rgb_image::RgbImage};

/// A chart in pixels, while it is drawn.
pub type Canvas<'a> = DrawingArea<BitMapBackend<'a>, Shift>;

/// The family of every chart's text; plotters measures text with it, and draws pixels with it.
pub const FONT: &str = "sans-serif";

/// Makes [`FONT`] known; charts fail without it.
pub fn with_font() {
    static ONCE: Once = Once::new();
    // The one way to fail is a font that cannot be read, which the first chart then says.
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
