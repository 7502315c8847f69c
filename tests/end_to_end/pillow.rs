//! Pictures of sets, as they are decoded and resized, against Pillow, which the Python tools read with.

use std::{fs, process::Command};

use tempfile::TempDir;
use vqkit_data::{Filter, decode, decode_as_libjpeg, resample};
use vqkit_testing::needed_in_ci;

/// Writes JPEGs of every subsampling into a folder, each with the pixels that Pillow reads of it beside.
const WRITE: &str = r#"
import random, sys
from PIL import Image
random.seed(1)
width, height = 61, 43
pixels = bytes(min(255, (x * 4 if c == 0 else y * 5 if c == 1 else (x * y) // 9) % 256 // 2 + random.randrange(90))
               for y in range(height) for x in range(width) for c in range(3))
picture = Image.frombytes("RGB", (width, height), pixels)
for name, mode, options in [
    ("444", "RGB", {"subsampling": 0}), ("422", "RGB", {"subsampling": 1}), ("420", "RGB", {"subsampling": 2}),
    ("progressive", "RGB", {"progressive": True, "quality": 60}), ("gray", "L", {"quality": 90}),
]:
    path = f"{sys.argv[1]}/{name}.jpg"
    picture.convert(mode).save(path, **options)
    open(f"{sys.argv[1]}/{name}.rgb", "wb").write(Image.open(path).convert("RGB").tobytes())
"#;

/// What a program writes into a folder; `None` where there is no Python with Pillow and need not be.
fn written(program: &str) -> Option<TempDir> {
    let what = "Python with Pillow that VQKIT_TEST_PYTHON names; `cargo xtask test` makes one";
    let python = needed_in_ci(std::env::var_os("VQKIT_TEST_PYTHON"), what)?;
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(python).args(["-c", program]).arg(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(folder)
}

#[test]
fn every_pixel_is_pillow_s() {
    let Some(folder) = written(WRITE) else { return };
    let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
    for name in ["444", "422", "420", "progressive", "gray"] {
        let picture = decode_as_libjpeg(&read(&format!("{name}.jpg")), name).unwrap();
        assert!(picture.to_rgb8() == read(&format!("{name}.rgb")), "{name}: other pixels than Pillow's");
    }
    let other = decode(&read("420.jpg"), "420").unwrap().to_rgb8();
    assert_ne!(other, read("420.rgb"), "the faster decoder rounds alike by now, so that one is enough");
}

/// Writes a PNG, and beside it what clean-fid makes of it: channel by channel in floats, bicubic, cut to 0 to 255.
const RESIZE: &str = r#"
import sys
import numpy as np
from PIL import Image
pixels = np.random.default_rng(3).integers(0, 256, (50, 70, 3), dtype=np.uint8)
for name, picture in [("smaller", Image.fromarray(pixels)), ("larger", Image.fromarray(pixels).resize((420, 380)))]:
    picture.save(f"{sys.argv[1]}/{name}.png")
    channels = np.asarray(picture).astype(np.float32).transpose(2, 0, 1)
    resized = [np.asarray(Image.fromarray(c, mode="F").resize((299, 299), Image.BICUBIC)).clip(0, 255) for c in channels]
    np.stack(resized).astype("<f4").tofile(f"{sys.argv[1]}/{name}.f32")
"#;

#[test]
fn pictures_are_resized_as_clean_fid_does() {
    let Some(folder) = written(RESIZE) else { return };
    for name in ["smaller", "larger"] {
        let read = |extension: &str| fs::read(folder.path().join(format!("{name}.{extension}"))).unwrap();
        let picture = decode_as_libjpeg(&read("png"), name).unwrap();
        let ours = resample(&picture, 299, 299, Filter::Bicubic).unwrap();
        let bytes = read("f32");
        let theirs = bytes.chunks_exact(4).map(|number| f32::from_le_bytes(number.try_into().unwrap()));
        assert_eq!(ours.len(), bytes.len() / 4);
        let worst = ours.iter().zip(theirs).map(|(ours, theirs)| (ours - theirs).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-3, "{name}: {worst} of 255");
    }
}

#[test]
fn damage_is_an_error() {
    let mut bytes = Vec::new();
    let picture = image::RgbImage::from_fn(40, 30, |x, y| image::Rgb([x as u8 * 6, y as u8 * 8, 77]));
    picture.write_to(&mut std::io::Cursor::new(&mut bytes), image::ImageFormat::Jpeg).unwrap();
    assert!(decode_as_libjpeg(&bytes, "whole").is_ok());
    for length in [0, 2, 20, 200, bytes.len() - 2] {
        assert!(decode_as_libjpeg(&bytes[..length], "cut").is_err(), "{length} bytes");
    }
    let tables = bytes.windows(2).position(|pair| pair == [0xff, 0xdb]).unwrap();
    bytes[tables + 1] = 0xe5;
    assert!(decode_as_libjpeg(&bytes, "tables").is_err(), "without tables");
}
