//! What decoding takes, counted by the allocator: never more than is set aside for it.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    io::Cursor,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use image::{DynamicImage, ImageFormat};
use vqkit_data::{DataConfig, DataError, Filter, Picture, PictureReader, TemplateKind, Transform, resample};

/// Counts bytes in use, and the most that ever were.
struct Counting;

static USED: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all calls are handed on as they come.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let used = USED.fetch_add(layout.size(), Relaxed) + layout.size();
        MOST.fetch_max(used, Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        USED.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most bytes in use during `work`, beyond those before it.
fn peak<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let before = USED.load(Relaxed);
    MOST.store(before, Relaxed);
    let result = work();
    (MOST.load(Relaxed) - before, result)
}

fn config(decoded_mb: u64) -> DataConfig {
    let text = format!("image_size = 64\nmax_decoded_mb = {decoded_mb}\n[source]\ntype = 'folder'\ntrain = 'x'");
    toml::from_str(&text).unwrap()
}

fn pictures(side: u32) -> Vec<(String, Vec<u8>)> {
    let value = |x: u32, y: u32| [x * 7, y * 13, x ^ y].map(|value| (value * 257) as u16);
    let wide: DynamicImage = image::ImageBuffer::<image::Rgba<u16>, _>::from_fn(side, side, |x, y| {
        let [red, green, blue] = value(x, y);
        image::Rgba([red, green, blue, !red])
    })
    .into();
    let rgb = DynamicImage::from(wide.to_rgb8());
    let images = [
        ("16-bit RGBA PNG", &wide, ImageFormat::Png),
        ("RGB PNG", &rgb, ImageFormat::Png),
        ("16-bit grey PNG", &DynamicImage::from(wide.to_luma16()), ImageFormat::Png),
        ("grey PNG", &DynamicImage::from(wide.to_luma8()), ImageFormat::Png),
        ("JPEG", &rgb, ImageFormat::Jpeg),
        ("WebP", &rgb, ImageFormat::WebP),
        ("WebP with alpha", &DynamicImage::from(wide.to_rgba8()), ImageFormat::WebP),
        ("GIF", &DynamicImage::from(wide.to_rgba8()), ImageFormat::Gif),
        ("BMP", &rgb, ImageFormat::Bmp),
        ("TIFF", &rgb, ImageFormat::Tiff),
        ("16-bit RGBA TIFF", &wide, ImageFormat::Tiff),
        ("float RGBA TIFF", &DynamicImage::from(wide.to_rgba32f()), ImageFormat::Tiff),
        ("PNM", &rgb, ImageFormat::Pnm),
    ]
    .map(|(name, image, format)| {
        let mut bytes = Vec::new();
        image.write_to(&mut Cursor::new(&mut bytes), format).unwrap();
        (format!("{name} of {side}"), bytes)
    });
    let mut images = Vec::from(images);
    images.push((format!("JPEG in passes of {side}"), in_passes(rgb.as_bytes(), side as usize)));
    images
}

/// A progressive JPEG.
fn in_passes(rgb: &[u8], side: usize) -> Vec<u8> {
    let mut encoder = mozjpeg::Compress::new(mozjpeg::ColorSpace::JCS_RGB);
    encoder.set_size(side, side);
    encoder.set_progressive_mode();
    let mut started = encoder.start_compress(Vec::new()).unwrap();
    started.write_scanlines(rgb).unwrap();
    started.finish().unwrap()
}

/// Everything that is done with a picture while its memory is set aside.
fn use_it(reader: &PictureReader, bytes: &[u8], transform: &Transform) -> Result<(), DataError> {
    let held = reader.decode(bytes, "picture")?;
    let picture: &Picture = &held;
    transform.image(picture)?;
    for kind in ["depth", "picture", "gray"] {
        let kind: TemplateKind = toml::from_str(&format!("type = '{kind}'")).unwrap();
        transform.template(picture, &kind)?;
    }
    resample(picture, 64, 64, Filter::Bicubic).map(drop)
}

/// One test, since the allocator counts for all.
#[test]
fn no_more_memory_is_taken_than_is_set_aside() {
    let config = config(3);
    let (reader, transform) = (config.reader(), Transform::new(&config));
    let (mut passed, mut refused) = (0, 0);
    for side in [16, 200, 380, 500, 600, 700, 830] {
        for (name, bytes) in pictures(side) {
            let (most, outcome) = peak(|| use_it(&reader, &bytes, &transform));
            assert!(most <= 3 << 20, "{name} takes {most} bytes");
            match outcome {
                Ok(()) => passed += 1,
                Err(error) => {
                    assert!(error.to_string().contains("raise data.max_decoded_mb"), "{name}: {error}");
                    assert!(most < 1 << 20, "{name} is refused after {most} bytes were taken");
                    refused += 1;
                }
            }
        }
    }
    assert!(passed > 20 && refused > 10, "{passed} passed, {refused} were refused");
    // Three bytes a pixel come out of eight in the file, and hardly more is ever held.
    let (_, bytes) = pictures(600).swap_remove(0);
    let (most, _) = peak(|| PictureReader::default().decode(&bytes, "picture").unwrap());
    assert!(most < 600 * 600 * 3 + (512 << 10), "16-bit RGBA PNG takes {most} bytes");
}
