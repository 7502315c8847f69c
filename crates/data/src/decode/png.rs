//! PNG, row by row, so that little more is held than the picture that comes out.

use std::io::Cursor;

use image::metadata::Orientation;
use png::{BitDepth, ColorType, Decoder, DecodingError, InterlaceInfo, Limits, Reader, Transformations};

use super::{alpha::over_white, measure::Measure, turn::turn};
use crate::{Picture, Pixels, picture::to_8_bits};

/// The largest row and the largest chunk, in bytes.
const MAX_ALLOC: usize = 1 << 29;

/// Bytes per pixel of one row that are held beside the picture: 16-bit RGBA filtered, unfiltered, and as it comes out.
const ROW: u64 = 32;

type Png<'a> = Reader<Cursor<&'a [u8]>>;

/// What decoding takes, from the headers alone; `labels` asks for the indices of a palette, and for grey of few bits as it lies.
pub(super) fn measure(bytes: &[u8], labels: bool) -> Result<Measure, String> {
    let reader = open(bytes, labels)?;
    let (width, height) = reader.info().size();
    let out = match reader.output_color_type() {
        (ColorType::Grayscale, BitDepth::Sixteen) => 2,
        (ColorType::Grayscale | ColorType::Indexed, _) => 1,
        _ => 3,
    };
    Ok(Measure::new(width.into(), height.into(), out, ROW * u64::from(width)))
}

pub(super) fn decode(bytes: &[u8], labels: bool) -> Result<Picture, String> {
    let mut reader = open(bytes, labels)?;
    let (width, height) = reader.info().size();
    let (color, depth) = reader.output_color_type();
    let copied = |row: &[u8], out: &mut Vec<u8>| out.extend_from_slice(row);
    let pixels = match (color, depth) {
        (ColorType::Grayscale, BitDepth::Sixteen) => {
            let bytes = rows(&mut reader, 2, copied)?;
            Pixels::Gray16(bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect())
        }
        (ColorType::Grayscale | ColorType::Indexed, BitDepth::Eight) => Pixels::Gray8(rows(&mut reader, 1, copied)?),
        (ColorType::Grayscale | ColorType::Indexed, few) => {
            Pixels::Gray8(rows(&mut reader, 1, |row, out| unpack(few, row, out))?)
        }
        _ => Pixels::Rgb8(rows(&mut reader, 3, |row, out| to_rgb(color, depth, row, out))?),
    };
    let picture = Picture::new(width, height, pixels).map_err(|error| error.to_string())?;
    // The values of a label map have always stood as they lie.
    let exif = reader.info().exif_metadata.as_deref().filter(|_| color != ColorType::Indexed);
    let orientation = exif.and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms);
    turn(picture, orientation)
}

fn open(bytes: &[u8], labels: bool) -> Result<Png<'_>, String> {
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: MAX_ALLOC });
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let info = decoder.read_header_info().map_err(damaged)?;
    let has_labels = match info.color_type {
        ColorType::Indexed => true,
        ColorType::Grayscale => info.bit_depth != BitDepth::Sixteen,
        _ => false,
    };
    decoder.set_transformations(match labels && has_labels {
        true => Transformations::IDENTITY,
        false => Transformations::EXPAND,
    });
    decoder.read_info().map_err(damaged)
}

/// All rows of the first frame, of `pixel` bytes per pixel, as `convert` appends them.
fn rows(reader: &mut Png, pixel: usize, convert: impl Fn(&[u8], &mut Vec<u8>)) -> Result<Vec<u8>, String> {
    let (width, height) = reader.info().size();
    let stride = width as usize * pixel;
    let len = stride.checked_mul(height as usize).ok_or("damaged PNG: its size is none")?;
    let mut out = Vec::new();
    // Rows of few bits end in a byte that may hold more pixels than they have.
    out.try_reserve_exact(len.saturating_add(8))
        .map_err(|_| format!("there is no memory for its {width}x{height} pixels"))?;
    let mut passes = Vec::new();
    while let Some(row) = reader.next_interlaced_row().map_err(damaged)? {
        match row.interlace() {
            InterlaceInfo::Null(_) => {
                let end = out.len() + stride;
                convert(row.data(), &mut out);
                out.truncate(end);
            }
            InterlaceInfo::Adam7(place) => {
                out.resize(len, 0);
                passes.clear();
                convert(row.data(), &mut passes);
                png::expand_interlaced_row(&mut out, stride, &passes, place, 8 * pixel as u8);
            }
        }
    }
    Ok(out)
}

/// Appends the values of a row of less than 8 bits each, and those that fill up its last byte.
fn unpack(depth: BitDepth, row: &[u8], out: &mut Vec<u8>) {
    let bits = depth as usize;
    let mask = (1u8 << bits) - 1;
    out.extend(row.iter().flat_map(|byte| (0..8 / bits).rev().map(move |place| byte >> (place * bits) & mask)));
}

/// Appends a row as 8-bit RGB over white.
fn to_rgb(color: ColorType, depth: BitDepth, row: &[u8], out: &mut Vec<u8>) {
    match depth {
        BitDepth::Sixteen => {
            let value = |place: usize| to_8_bits(u16::from_be_bytes([row[2 * place], row[2 * place + 1]]));
            append_rgb(color, row.len() / 2, value, out);
        }
        _ if color == ColorType::Rgb => out.extend_from_slice(row),
        _ => append_rgb(color, row.len(), |place| row[place], out),
    }
}

/// Appends `count` values as RGB over white.
fn append_rgb(color: ColorType, count: usize, value: impl Fn(usize) -> u8, out: &mut Vec<u8>) {
    let pixels = (0..count).step_by(color.samples());
    match color {
        ColorType::Rgba => {
            out.extend(pixels.flat_map(|at| over_white([0, 1, 2, 3].map(|channel| value(at + channel)))))
        }
        ColorType::GrayscaleAlpha => out.extend(pixels.flat_map(|at| over_white([0, 0, 0, 1].map(|c| value(at + c))))),
        _ => out.extend(pixels.flat_map(|at| [0, 1, 2].map(|channel| value(at + channel)))),
    }
}

fn damaged(error: DecodingError) -> String {
    format!("truncated or damaged PNG ({error})")
}
