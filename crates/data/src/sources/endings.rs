//! What the ending of a file's name says of its content.

/// Endings of images; which format it is, their content says.
const IMAGES: [&str; 19] = [
    "jpg", "jpeg", "jpe", "jfif", "jif", "pjpeg", "pjp", "png", "apng", "webp", "gif", "bmp", "dib", "tif", "tiff",
    "pnm", "ppm", "pgm", "pbm",
];

/// Endings of pictures that are not read.
const UNREAD: [(&str, &str); 27] = [
    ("avif", "AVIF"),
    ("avifs", "AVIF"),
    ("heic", "HEIC"),
    ("heif", "HEIF"),
    ("hif", "HEIF"),
    ("jxl", "JPEG XL"),
    ("jp2", "JPEG 2000"),
    ("j2k", "JPEG 2000"),
    ("jpf", "JPEG 2000"),
    ("jpx", "JPEG 2000"),
    ("jxr", "JPEG XR"),
    ("tga", "TGA"),
    ("qoi", "QOI"),
    ("exr", "OpenEXR"),
    ("hdr", "Radiance"),
    ("pfm", "a map of floats"),
    ("pam", "PAM"),
    ("psd", "Photoshop"),
    ("dng", "a raw photograph"),
    ("cr2", "a raw photograph"),
    ("cr3", "a raw photograph"),
    ("nef", "a raw photograph"),
    ("arw", "a raw photograph"),
    ("orf", "a raw photograph"),
    ("raf", "a raw photograph"),
    ("rw2", "a raw photograph"),
    ("jng", "JNG"),
];

/// What a file is by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// An image.
    Image,
    /// A picture in a format that is not read.
    Unread(&'static str),
    /// No picture.
    Other,
}

impl Ending {
    /// Of a file of this name; the case does not matter.
    pub(super) fn of(name: &str) -> Self {
        let Some((_, ending)) = name.rsplit_once('.') else { return Self::Other };
        let ending = ending.to_ascii_lowercase();
        let unread = UNREAD.iter().find(|(known, _)| *known == ending);
        match unread {
            _ if IMAGES.contains(&ending.as_str()) => Self::Image,
            Some((_, format)) => Self::Unread(format),
            None => Self::Other,
        }
    }

    /// Why a picture of this format cannot be used.
    pub(super) fn refusal(format: &str) -> String {
        format!("is {format}, which is not read; convert it to PNG or JPEG")
    }
}
