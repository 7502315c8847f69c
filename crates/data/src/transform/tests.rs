//! What a model sees of known pictures.

use super::*;
use crate::{DepthMap, PictureTemplate};

fn transform(size: u32, color: Color, filter: Filter) -> Transform {
    Transform { size, template_size: size, short_side: None, color, crop: Crop::Random, filter, flip: true }
}

fn gray(width: u32, height: u32, value: impl Fn(u32, u32) -> u8) -> Picture {
    let values = (0..width * height).map(|place| value(place % width, place / width)).collect();
    Picture::new(width, height, Pixels::Gray8(values)).unwrap()
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().map(|value| ((value + 1.0) * 127.5).round() as u8).collect()
}

// Image.fromarray(a).resize((3, 3), filter) in Pillow 13.0.0, a[y, x] = (37 x + 91 y) % 256 of 8x8.
#[test]
fn filters_are_pillows() {
    let picture = gray(8, 8, |x, y| ((37 * x + 91 * y) % 256) as u8);
    for (filter, want) in [
        (Filter::Bilinear, [102, 132, 117, 119, 111, 126, 127, 126, 99]),
        (Filter::Bicubic, [96, 134, 117, 119, 108, 128, 129, 127, 98]),
        (Filter::Lanczos, [92, 138, 117, 121, 106, 129, 131, 128, 95]),
    ] {
        let found = bytes(&transform(3, Color::Gray, filter).image(&picture).unwrap());
        assert!(found.iter().zip(want).all(|(a, b)| a.abs_diff(b) <= 1), "{filter:?}: {found:?}, want {want:?}");
    }
}

#[test]
fn a_fine_checkerboard_becomes_grey_not_moire() {
    let picture = gray(64, 64, |x, y| if (x + y) % 2 == 0 { 0 } else { 255 });
    for filter in [Filter::Bilinear, Filter::Bicubic, Filter::Lanczos] {
        let values = transform(10, Color::Gray, filter).image(&picture).unwrap();
        assert!(values.iter().all(|value| value.abs() < 0.05), "{filter:?}: {values:?}");
    }
}

#[test]
fn values_run_from_minus_one_to_one_in_planes() {
    let picture = Picture::new(2, 2, Pixels::Rgb8(vec![255, 0, 51, 255, 0, 51, 255, 0, 51, 255, 0, 51])).unwrap();
    let values = transform(2, Color::Rgb, Filter::Bilinear).image(&picture).unwrap();
    assert_eq!(values, [[1.0; 4], [-1.0; 4], [-0.6; 4]].concat());
    let gray = transform(2, Color::Gray, Filter::Bilinear).image(&picture).unwrap();
    assert_eq!(bytes(&gray), [82; 4]);
}

#[test]
fn the_middle_square_is_taken_whatever_the_shape() {
    let stripes = |at: u32| if (10..20).contains(&at) { 200 } else { 0 };
    for picture in [gray(30, 10, |x, _| stripes(x)), gray(10, 30, |_, y| stripes(y))] {
        let values = transform(10, Color::Gray, Filter::Bilinear).image(&picture).unwrap();
        assert_eq!(bytes(&values), [200; 100]);
    }
}

#[test]
fn a_single_pixel_and_a_sliver_are_enlarged() {
    let pixel = Picture::new(1, 1, Pixels::Rgb8(vec![200, 100, 50])).unwrap();
    let values = transform(8, Color::Rgb, Filter::Lanczos).image(&pixel).unwrap();
    assert_eq!(bytes(&values), [[200; 64], [100; 64], [50; 64]].concat());
    let sliver = gray(60_000, 1, |_, _| 9);
    assert_eq!(bytes(&transform(64, Color::Gray, Filter::Lanczos).image(&sliver).unwrap()), [9; 64 * 64]);
}

#[test]
fn image_and_template_are_cut_and_mirrored_alike() {
    let picture = gray(32, 16, |x, y| (8 * x).wrapping_add(y) as u8);
    let kind = TemplateKind::Labels(LabelMap { count: 256, offset: 0 });
    let transform = transform(16, Color::Gray, Filter::Bilinear);
    let mut cuts = Vec::new();
    for key in 0..20 {
        let cut = transform.augmentation(&[key]);
        let (mut image, mut template) = (vec![0.0; 256], vec![0.0; 256]);
        transform.write_image(&picture, cut, &mut Workspace::default(), &mut image).unwrap();
        transform.write_template("t", &picture, &kind, cut, &mut Workspace::default(), &mut template).unwrap();
        let labels: Vec<u8> = template.iter().map(|value| *value as u8).collect();
        assert_eq!(bytes(&image), labels);
        cuts.push((cut.mirrored, image[0] > image[15]));
        assert_eq!(cut, transform.augmentation(&[key]));
    }
    assert!(cuts.contains(&(true, true)) && cuts.contains(&(false, false)), "{cuts:?}");
    assert!(cuts.iter().all(|(mirrored, falls)| mirrored == falls), "{cuts:?}");
}

#[test]
fn labels_are_never_mixed_and_unknown_ones_are_named() {
    let picture = gray(30, 30, |x, _| if x < 13 { 3 } else { 255 });
    let transform = transform(7, Color::Rgb, Filter::Bicubic);
    let wrapped = TemplateKind::Labels(LabelMap { count: 5, offset: 1 });
    let values = transform.template(&picture, &wrapped).unwrap();
    assert!(values.iter().all(|value| [4.0, 0.0].contains(value)), "{values:?}");
    let plain = TemplateKind::Labels(LabelMap { count: 5, offset: 0 });
    let error = transform.template(&picture, &plain).unwrap_err().to_string();
    assert!(error.contains("holds 255, which is label 255, but `template` declares 5 labels"), "{error}");
    for (pixels, found) in [(Pixels::Gray16(vec![1; 4]), "16-bit grey"), (Pixels::Rgb8(vec![1; 12]), "in colour")] {
        let picture = Picture::new(2, 2, pixels).unwrap();
        for outcome in [transform.template(&picture, &plain), transform.whole_template("it", &picture, &plain)] {
            let error = outcome.unwrap_err().to_string();
            assert!(error.contains(&format!("its label map is {found}; label maps are grey of at most 8")), "{error}");
        }
    }
}

#[test]
fn depths_are_stretched_over_the_whole_picture() {
    let depths = vec![1000, 3000, 2000, 1000, 3000, 2000, 1000, 3000];
    let picture = Picture::new(4, 2, Pixels::Gray16(depths)).unwrap();
    let transform = transform(2, Color::Rgb, Filter::Bicubic);
    let values = transform.template(&picture, &TemplateKind::Depth(DepthMap {})).unwrap();
    assert_eq!(values, [1.0, 0.0, 0.0, -1.0]);
    let flat = transform.template(&gray(2, 2, |_, _| 7), &TemplateKind::Depth(DepthMap {})).unwrap();
    assert_eq!(flat, [-1.0; 4]);
}

#[test]
fn a_picture_as_template_has_three_channels() {
    let kind = TemplateKind::Picture(PictureTemplate {});
    let values = transform(4, Color::Gray, Filter::Bicubic).template(&gray(4, 4, |x, _| 80 * x as u8), &kind).unwrap();
    assert_eq!(values.len(), kind.channels() * 16);
    assert_eq!(bytes(&values[16..20]), [0, 80, 160, 240]);
}
