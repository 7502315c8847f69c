//! Decoding, beyond what the corpus of bad files holds.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, RgbImage};
use proptest::prelude::*;

use super::{Encoded, How, decode, decode_labels, raster};
use crate::Pixels;

/// A picture with detail everywhere, so that every byte of a file matters.
fn busy(width: u32, height: u32) -> DynamicImage {
    RgbImage::from_fn(width, height, |x, y| {
        image::Rgb([(x * 7) ^ (y * 13), x * y, x * 31 + y * 17].map(|value| value as u8))
    })
    .into()
}

/// All formats that are read.
const FORMATS: [ImageFormat; 7] = {
    use ImageFormat::{Bmp, Gif, Jpeg, Png, Pnm, Tiff, WebP};
    [Jpeg, Png, WebP, Gif, Bmp, Tiff, Pnm]
};

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Vec::new();
    image.write_to(&mut Cursor::new(&mut bytes), format).unwrap();
    bytes
}

#[test]
fn a_jpeg_cut_anywhere_is_refused() {
    for (width, height) in [(5, 5), (37, 53), (64, 48)] {
        let bytes = encoded(&busy(width, height), ImageFormat::Jpeg);
        assert!(decode(&bytes, "whole").is_ok());
        for len in 1..bytes.len() {
            assert!(decode(&bytes[..len], "cut").is_err(), "{width}x{height} cut to {len} of {} bytes", bytes.len());
        }
    }
}

#[test]
fn bytes_after_the_end_of_an_image_do_no_harm() {
    for format in FORMATS {
        let mut bytes = encoded(&busy(20, 20), format);
        let picture = decode(&bytes, "plain").unwrap();
        bytes.extend([0; 64]);
        assert_eq!(decode(&bytes, "padded").unwrap(), picture, "{format:?}");
    }
}

#[test]
fn lossless_formats_keep_every_value() {
    let image = busy(19, 7);
    for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Bmp, ImageFormat::Tiff, ImageFormat::Pnm] {
        let picture = decode(&encoded(&image, format), "lossless").unwrap();
        assert_eq!(picture.pixels(), &Pixels::Rgb8(image.to_rgb8().into_raw()), "{format:?}");
    }
}

#[test]
fn grey_of_16_bits_keeps_its_bits() {
    let image = DynamicImage::from(image::ImageBuffer::<image::Luma<u16>, _>::from_fn(3, 1, |x, _| {
        image::Luma([x as u16 * 30_001])
    }));
    for format in [ImageFormat::Png, ImageFormat::Tiff, ImageFormat::Pnm] {
        let picture = decode(&encoded(&image, format), "depth").unwrap();
        assert_eq!(picture.pixels(), &Pixels::Gray16(vec![0, 30_001, 60_002]), "{format:?}");
    }
}

#[test]
fn palette_label_maps_give_indices_and_images_colours() {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 3, 1);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_palette(vec![10, 20, 30, 40, 50, 60, 70, 80, 90]);
    encoder.write_header().unwrap().write_image_data(&[2, 0, 1]).unwrap();
    assert_eq!(decode_labels(&bytes, "labels").unwrap().pixels(), &Pixels::Gray8(vec![2, 0, 1]));
    assert_eq!(decode(&bytes, "image").unwrap().rgb(0, 0), [70, 80, 90]);
    let error = decode_labels(&bytes[..bytes.len() - 20], "labels").unwrap_err().to_string();
    assert!(error.contains("labels: truncated or damaged PNG"), "{error}");
}

/// A palette or grey PNG of these values, `bits` each.
fn labels_png(values: &[u8], width: u32, bits: u8, palette: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, values.len() as u32 / width);
    encoder.set_color(if palette { png::ColorType::Indexed } else { png::ColorType::Grayscale });
    encoder.set_depth(png::BitDepth::from_u8(bits).unwrap());
    if palette {
        encoder.set_palette((0..3 << bits).map(|value| value as u8).collect::<Vec<u8>>());
    }
    let packed = values.chunks(width as usize).flat_map(|row| {
        row.chunks(8 / bits as usize)
            .map(|pixels| pixels.iter().zip(1..).fold(0, |byte, (value, place)| byte | value << (8 - place * bits)))
            .collect::<Vec<u8>>()
    });
    encoder.write_header().unwrap().write_image_data(&packed.collect::<Vec<u8>>()).unwrap();
    bytes
}

proptest! {
    #[test]
    fn label_maps_of_few_bits_keep_their_values(
        (exponent, palette) in (0u32..4, any::<bool>()),
        size in [1u32..40, 1u32..9],
        seed in any::<u64>(),
    ) {
        let bits = 1u8 << exponent;
        let mut random = crate::random::Random::keyed(&[seed]);
        let values: Vec<u8> = (0..size[0] * size[1]).map(|_| random.below(1 << bits) as u8).collect();
        let bytes = labels_png(&values, size[0], bits, palette);
        let file = Encoded { bytes: &bytes, name: "labels", how: How::Labels };
        let picture = file.decode(file.measure(1 << 20).unwrap()).unwrap();
        prop_assert_eq!(picture.pixels(), &Pixels::Gray8(values));
    }

    /// All kinds of PNG, interlaced ones too: what has labels has the values that lie there.
    #[test]
    fn label_maps_are_indices_or_grey_as_it_lies(
        (color, depth) in (0usize..5, 0usize..5),
        size in [1u32..40, 1u32..40],
        (transparent, seed) in any::<(bool, u64)>(),
    ) {
        let [flat, interlaced] = [false, true].map(|interlaced| {
            let bytes = any_png(color, depth, size, interlaced, transparent, seed);
            decode_labels(&bytes, "labels").unwrap()
        });
        prop_assert_eq!((flat.width(), flat.height()), (interlaced.width(), interlaced.height()));
        if let (Pixels::Gray8(values), [few, 1, ..]) = (flat.pixels(), [depth % COLORS[color].1.len(), size[1] as usize]) {
            let bits = COLORS[color].1[few] as usize;
            prop_assert!(values.iter().all(|value| usize::from(*value) < 1 << bits));
            // A single row has no passes but for the first, second, fourth and sixth; both hold `size[0]` values.
            prop_assert_eq!(values.len(), size[0] as usize);
        }
    }
}

#[test]
fn label_maps_that_would_be_stretched_are_refused() {
    let pnm = |greatest: u8| [format!("P5 2 1 {greatest}\n").as_bytes(), &[0, greatest]].concat();
    assert_eq!(decode_labels(&pnm(255), "labels").unwrap().pixels(), &Pixels::Gray8(vec![0, 255]));
    assert_eq!(decode(&pnm(20), "image").unwrap().pixels(), &Pixels::Gray8(vec![0, 255]));
    for (bytes, part) in
        [(pnm(20), "greatest value is 20, not 255"), (b"P1 2 1 0 1".to_vec(), "greatest value is 1, not 255")]
    {
        let error = decode_labels(&bytes, "labels").unwrap_err().to_string();
        assert!(error.contains(part) && error.contains("save the label map as an 8-bit PNG"), "{error}");
    }
}

#[test]
fn what_is_not_read_is_called_by_its_name() {
    for (bytes, part) in [
        (b"\0\0\0\x1cftypavif".as_slice(), "is an AVIF picture"),
        (b"\0\0\0\x1cftypheic", "is a HEIC picture"),
        (b"\0\0\0\x1cftypmif1", "is a HEIF picture"),
        (b"\0\0\0\x1cftypmp42", "is a film"),
        (b"\xff\x0a\0\0", "is a JPEG XL picture"),
        (b"  <!DOCTYPE html><html>", "is a web page"),
        (b"8BPS\0\x01", "is a Photoshop file"),
        (b"some words", "not an image"),
    ] {
        let error = decode(bytes, "it").unwrap_err().to_string();
        assert!(error.contains(part) && error.contains("TIFF and PNM are read"), "{error}");
    }
}

#[test]
fn a_tiff_or_pnm_that_is_cut_is_refused() {
    for format in [ImageFormat::Tiff, ImageFormat::Pnm] {
        let bytes = encoded(&busy(20, 9), format);
        assert!(decode(&bytes, "whole").is_ok());
        for len in 1..bytes.len() {
            assert!(decode(&bytes[..len], "cut").is_err(), "{format:?} cut to {len} of {} bytes", bytes.len());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damage_is_an_error_or_a_picture_but_no_panic(
        format in prop::sample::select(FORMATS.to_vec()),
        hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = encoded(&busy(24, 16), format);
        for (place, value) in hits {
            *place.get_mut(&mut bytes) = value;
        }
        if let Err(error) = decode(&bytes, "damaged") {
            prop_assert!(error.to_string().starts_with("damaged: "));
        }
    }
}

/// Bytes as a zlib stream that compresses nothing.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let mut stream = vec![0x78, 0x01];
    let pieces: Vec<&[u8]> = bytes.chunks(u16::MAX.into()).collect();
    for (place, piece) in pieces.iter().enumerate() {
        let len = piece.len() as u16;
        stream.push(u8::from(place + 1 == pieces.len()));
        stream.extend([len.to_le_bytes(), (!len).to_le_bytes()].concat());
        stream.extend_from_slice(piece);
    }
    let (a, b) = bytes.iter().fold((1u32, 0u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    stream.extend((b << 16 | a).to_be_bytes());
    stream
}

/// Bytes of the rows of a PNG, with the number of a filter before each; interlaced, those of the seven passes.
fn filtered_rows(info: &png::Info, interlaced: bool) -> Vec<usize> {
    let bits = info.color_type.samples() * info.bit_depth as usize;
    let (width, height) = (info.width as usize, info.height as usize);
    let passes = match interlaced {
        false => vec![(0, 0, 1, 1)],
        true => vec![(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)],
    };
    let rows = passes.into_iter().flat_map(|(left, top, across, down)| {
        let columns = width.saturating_sub(left).div_ceil(across);
        let rows = if columns == 0 { 0 } else { height.saturating_sub(top).div_ceil(down) };
        std::iter::repeat_n((columns * bits).div_ceil(8), rows)
    });
    rows.collect()
}

const COLORS: [(png::ColorType, &[png::BitDepth]); 5] = {
    use png::{BitDepth::*, ColorType::*};
    [
        (Grayscale, &[One, Two, Four, Eight, Sixteen]),
        (Rgb, &[Eight, Sixteen]),
        (Indexed, &[One, Two, Four, Eight]),
        (GrayscaleAlpha, &[Eight, Sixteen]),
        (Rgba, &[Eight, Sixteen]),
    ]
};

/// A PNG of any kind, whose values `seed` makes up.
fn any_png(
    color: usize,
    depth: usize,
    [width, height]: [u32; 2],
    interlaced: bool,
    transparent: bool,
    seed: u64,
) -> Vec<u8> {
    let (color, depths) = COLORS[color % COLORS.len()];
    let mut random = crate::random::Random::keyed(&[seed]);
    let mut info = png::Info::with_size(width, height);
    (info.color_type, info.bit_depth, info.interlaced) = (color, depths[depth % depths.len()], interlaced);
    let entries = 1usize << (info.bit_depth as usize).min(8);
    info.palette = (color == png::ColorType::Indexed).then(|| (0..3 * entries).map(|_| random.bits() as u8).collect());
    info.trns = match color {
        png::ColorType::Indexed if transparent => Some((0..entries).map(|_| random.bits() as u8).collect()),
        png::ColorType::Grayscale if transparent => Some(vec![0, 1].into()),
        png::ColorType::Rgb if transparent => Some(vec![0, 1, 0, 2, 0, 3].into()),
        _ => None,
    };
    let rows = filtered_rows(&info, interlaced);
    let data: Vec<u8> = rows
        .iter()
        .flat_map(|len| std::iter::once(0).chain((0..*len).map(|_| random.bits() as u8)).collect::<Vec<u8>>())
        .collect();
    let mut bytes = Vec::new();
    let mut writer = png::Encoder::with_info(&mut bytes, info).unwrap().write_header().unwrap();
    writer.write_chunk(png::chunk::IDAT, &stored(&data)).unwrap();
    drop(writer);
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// The `image` crate, which holds the whole of it at 8 bytes a pixel, says what comes out.
    #[test]
    fn png_row_by_row_is_what_it_is_as_a_whole(
        (color, depth) in (0usize..5, 0usize..5),
        size in [1u32..40, 1u32..40],
        (interlaced, transparent) in any::<(bool, bool)>(),
        seed in any::<u64>(),
    ) {
        let bytes = any_png(color, depth, size, interlaced, transparent, seed);
        let whole = raster::decode(&bytes, ImageFormat::Png, 1 << 20).unwrap();
        prop_assert_eq!(decode(&bytes, "rows").unwrap(), whole);
        let cut = &bytes[..bytes.len() - 13 - (seed % 20) as usize];
        prop_assert!(decode(cut, "cut").is_err());
    }

    #[test]
    fn what_takes_more_than_it_may_is_refused_before_it_is_taken(
        format in prop::sample::select(FORMATS.to_vec()),
        size in [1u32..400, 1u32..400],
    ) {
        let bytes = encoded(&busy(size[0], size[1]), format);
        for how in [How::Fast, How::AsLibjpeg, How::Labels] {
            let file = Encoded { bytes: &bytes, name: "large", how };
            let measure = file.measure(u64::MAX).unwrap();
            prop_assert_eq!([measure.width, measure.height], size.map(u64::from));
            prop_assert!(file.measure(measure.peak).is_ok());
            let error = file.measure(measure.peak - 1).unwrap_err().to_string();
            let shown = format!("declares {}x{} pixels", size[0], size[1]);
            let advice = format!("raise data.max_decoded_mb to {} to read it", measure.peak.div_ceil(1 << 20));
            prop_assert!(error.contains(&advice) && error.contains(&shown), "{}", error);
        }
    }
}

#[test]
fn pictures_of_a_hundred_megapixels_pass_by_default() {
    let mut bytes = encoded(&busy(16, 16), ImageFormat::Jpeg);
    let frame = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    for mark in [0xc0, 0xc2] {
        bytes[frame + 1] = mark;
        for (side, passes) in [(10_000u16, true), (16_000, false)] {
            bytes[frame + 5..frame + 9].copy_from_slice(&[side.to_be_bytes(), side.to_be_bytes()].concat());
            let measured = Encoded { bytes: &bytes, name: "large", how: How::Fast }.measure(1 << 30);
            assert_eq!(measured.is_ok(), passes, "{measured:?}");
        }
    }
}
