//! Which format the bytes of a file are in; the content decides, not the name.

use image::ImageFormat;

/// Bytes that files of formats which are not read begin with, at a place.
const UNREAD: [(usize, &[u8], &str); 21] = [
    (4, b"ftypavif", "an AVIF picture"),
    (4, b"ftypavis", "an AVIF picture"),
    (4, b"ftypheic", "a HEIC picture"),
    (4, b"ftypheix", "a HEIC picture"),
    (4, b"ftyphev", "a HEIC picture"),
    (4, b"ftypmif1", "a HEIF picture"),
    (4, b"ftypmsf1", "a HEIF picture"),
    (4, b"ftypcrx ", "a raw photograph"),
    (4, b"ftyp", "a film"),
    (0, b"\xff\x0a", "a JPEG XL picture"),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL picture"),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 picture"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (0, b"II+\0", "a BigTIFF picture"),
    (0, b"MM\0+", "a BigTIFF picture"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"qoif", "a QOI picture"),
    (0, b"\x76\x2f\x31\x01", "an OpenEXR picture"),
    (0, b"%PDF", "a PDF document"),
    (0, b"\x1f\x8b", "a file compressed with gzip"),
    (0, b"PK\x03\x04", "a ZIP archive"),
];

/// The format of a file, where it is read.
///
/// # Errors
/// In words: what the file holds instead.
pub(super) fn of(bytes: &[u8]) -> Result<ImageFormat, String> {
    use ImageFormat::{Bmp, Gif, Jpeg, Png, Pnm, Tiff, WebP};
    if bytes.is_empty() {
        return Err("the file is empty".into());
    }
    let known = UNREAD.iter().find(|(at, magic, _)| bytes.get(*at..).is_some_and(|rest| rest.starts_with(magic)));
    match (known, image::guess_format(bytes)) {
        (Some((_, _, name)), _) => Err(refusal(name)),
        (_, Ok(format @ (Jpeg | Png | WebP | Gif | Bmp | Tiff | Pnm))) => Ok(format),
        (_, Ok(other)) => Err(refusal(&format!("a {} file", other.extensions_str().first().unwrap_or(&"strange")))),
        _ if is_page(bytes) => Err(refusal("a web page, which servers send in place of a file that is gone")),
        _ => Err("the content is not an image (JPEG, PNG, WebP, GIF, BMP, TIFF and PNM are read)".into()),
    }
}

fn refusal(found: &str) -> String {
    format!("is {found}; JPEG, PNG, WebP, GIF, BMP, TIFF and PNM are read")
}

/// Whether this is HTML.
fn is_page(bytes: &[u8]) -> bool {
    let head = bytes[..bytes.len().min(64)].trim_ascii_start().to_ascii_lowercase();
    [b"<!doctype html".as_slice(), b"<html"].iter().any(|start| head.starts_with(start))
}
