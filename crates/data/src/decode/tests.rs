//! Decoding, beyond what the corpus of bad files holds.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, RgbImage};
use proptest::prelude::*;

use super::{decode, decode_labels};
use crate::Pixels;

/// A picture with detail everywhere, so that every byte of a file matters.
fn busy(width: u32, height: u32) -> DynamicImage {
    RgbImage::from_fn(width, height, |x, y| {
        image::Rgb([(x * 7) ^ (y * 13), x * y, x * 31 + y * 17].map(|value| value as u8))
    })
    .into()
}

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
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif, ImageFormat::Bmp] {
        let mut bytes = encoded(&busy(20, 20), format);
        let picture = decode(&bytes, "plain").unwrap();
        bytes.extend([0; 64]);
        assert_eq!(decode(&bytes, "padded").unwrap(), picture, "{format:?}");
    }
}

#[test]
fn lossless_formats_keep_every_value() {
    let image = busy(19, 7);
    for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Bmp] {
        let picture = decode(&encoded(&image, format), "lossless").unwrap();
        assert_eq!(picture.pixels(), &Pixels::Rgb8(image.to_rgb8().into_raw()), "{format:?}");
    }
}

#[test]
fn grey_of_16_bits_keeps_its_bits() {
    let image = DynamicImage::from(image::ImageBuffer::<image::Luma<u16>, _>::from_fn(3, 1, |x, _| {
        image::Luma([x as u16 * 30_001])
    }));
    let picture = decode(&encoded(&image, ImageFormat::Png), "depth").unwrap();
    assert_eq!(picture.pixels(), &Pixels::Gray16(vec![0, 30_001, 60_002]));
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damage_is_an_error_or_a_picture_but_no_panic(
        format in prop::sample::select(vec![ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Gif, ImageFormat::WebP]),
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
