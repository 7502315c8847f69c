//! JPEG, strictly: what a lenient decoder would fill with grey is an error here.

use image::metadata::Orientation;
use zune_jpeg::{
    JpegDecoder,
    zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions},
};

use super::{measure::Measure, turn::turn};
use crate::{Picture, Pixels};

/// Pixels across and down of the largest unit that a JPEG is coded in: four blocks of eight.
const UNIT: u64 = 32;

/// What the segments of a JPEG say of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Frame {
    width: u16,
    height: u16,
    components: u8,
    /// Whether its components come one by one, or in several passes: then all coefficients are held at once.
    in_passes: bool,
}

/// What decoding takes, from the headers alone.
pub(super) fn measure(bytes: &[u8]) -> Result<Measure, String> {
    let frame = frame(bytes)?;
    let (width, height) = (u64::from(frame.width), u64::from(frame.height));
    let out = if frame.components == 1 { 1 } else { 3 };
    let padded = width.next_multiple_of(UNIT) * height.next_multiple_of(UNIT);
    // Coefficients are 16-bit numbers.
    let working = if frame.in_passes { 2 * u64::from(frame.components) * padded } else { 0 };
    Ok(Measure::new(width, height, out, working))
}

pub(super) fn decode(bytes: &[u8]) -> Result<Picture, String> {
    let frame = frame(bytes)?;
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX));
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    let damaged = |error| format!("truncated or damaged JPEG ({error:?})");
    decoder.decode_headers().map_err(damaged)?;
    let (width, height) = decoder.dimensions().ok_or("a JPEG without a size")?;
    frame.check(width, height)?;
    let gray = decoder.input_colorspace() == Some(ColorSpace::Luma);
    let wanted = if gray { ColorSpace::Luma } else { ColorSpace::RGB };
    decoder.set_options(options.jpeg_set_out_colorspace(wanted));
    let values = decoder.decode().map_err(damaged)?;
    let pixels = if gray { Pixels::Gray8(values) } else { Pixels::Rgb8(values) };
    let picture = Picture::new(width as u32, height as u32, pixels).map_err(|error| error.to_string())?;
    let orientation = decoder.exif().and_then(|exif| Orientation::from_exif_chunk(exif));
    drop(decoder);
    turn(picture, orientation.unwrap_or(Orientation::NoTransforms))
}

/// Refuses a size that is not the one which memory was set aside for.
pub(super) fn check_size(bytes: &[u8], width: usize, height: usize) -> Result<(), String> {
    frame(bytes)?.check(width, height)
}

impl Frame {
    fn check(&self, width: usize, height: usize) -> Result<(), String> {
        match (width, height) == (usize::from(self.width), usize::from(self.height)) {
            true => Ok(()),
            false => Err("damaged JPEG: it declares two sizes".into()),
        }
    }
}

/// The frame (ITU-T T.81, annex B) of a JPEG whose segments lead to the mark of the end, EOI: what is missing at the very end of an
/// image can be filled up without the decoder's noticing.
fn frame(bytes: &[u8]) -> Result<Frame, String> {
    let mut frame: Option<Frame> = None;
    let mut at = 2;
    while let Some(&[first, second]) = bytes.get(at..at + 2) {
        at += match (first, second) {
            (0xff, 0xd9) => return frame.ok_or_else(|| "damaged JPEG: it declares no size".into()),
            // Fill bytes, and marks without content: stuffing, TEM, RST0 to RST7, SOI.
            (0xff, 0xff) => 1,
            (0xff, 0x00 | 0x01 | 0xd0..=0xd8) => 2,
            (0xff, mark) => {
                let Some(&[high, low]) = bytes.get(at + 2..at + 4) else { break };
                take(&mut frame, mark, &bytes[at + 4..]);
                2 + usize::from(u16::from_be_bytes([high, low]))
            }
            _ => 1,
        };
    }
    Err("truncated JPEG: the mark of its end is missing".into())
}

/// Learns from a segment of this content: a start of frame (SOF) or the first start of scan (SOS).
fn take(frame: &mut Option<Frame>, mark: u8, content: &[u8]) {
    match (mark, content, frame) {
        // DHT, JPG and DAC are no frames.
        (0xc4 | 0xc8 | 0xcc, _, _) => {}
        (0xc0..=0xcf, &[_, y1, y0, x1, x0, components, ..], frame @ None) => {
            let [height, width] = [[y1, y0], [x1, x0]].map(u16::from_be_bytes);
            // SOF2, SOF6, SOF10 and SOF14 are progressive.
            *frame = Some(Frame { width, height, components, in_passes: mark & 3 == 2 });
        }
        (0xda, &[components, ..], Some(frame)) => frame.in_passes |= components < frame.components,
        _ => {}
    }
}
