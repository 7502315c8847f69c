//! The files that are known by name.

use std::borrow::Cow;
use vqkit_recipe::InvalidRequest;

use crate::error::Result;

/// A published file.
#[derive(Clone, Debug)]
pub struct KnownFile {
    /// Its name in recipes and on the command line.
    pub name: Cow<'static, str>,
    /// Its content.
    pub about: Cow<'static, str>,
    /// Its name in the cache folder.
    pub file: Cow<'static, str>,
    /// Where it is published.
    pub url: Cow<'static, str>,
    /// Its SHA-256, in lower-case hexadecimal digits.
    pub sha256: Cow<'static, str>,
    /// Its size in bytes; no more are read from a server.
    pub bytes: u64,
}

static KNOWN: [KnownFile; 3] = [
    // torchvision writes the first digits of the checksum into the file's name.
    KnownFile {
        name: Cow::Borrowed("vgg16"),
        about: Cow::Borrowed("torchvision's VGG16, trained on ImageNet: the features of LPIPS"),
        file: Cow::Borrowed("vgg16-397923af.pth"),
        url: Cow::Borrowed("https://download.pytorch.org/models/vgg16-397923af.pth"),
        sha256: Cow::Borrowed("397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0"),
        bytes: 553_433_881,
    },
    // The same bytes as lpips/weights/v0.1/vgg.pth in the package lpips 0.1.4 on PyPI.
    KnownFile {
        name: Cow::Borrowed("lpips-vgg"),
        about: Cow::Borrowed("the heads of LPIPS 0.1 on VGG16"),
        file: Cow::Borrowed("lpips-0.1-vgg.pth"),
        url: Cow::Borrowed(
            "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1/vgg.pth",
        ),
        sha256: Cow::Borrowed("a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868"),
        bytes: 7289,
    },
    KnownFile {
        name: Cow::Borrowed("fid-inception"),
        about: Cow::Borrowed("InceptionV3 for FID, with the weights of 2015, in the file of pytorch-fid"),
        file: Cow::Borrowed("pt_inception-2015-12-05-6726825d.pth"),
        url: Cow::Borrowed(
            "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
        ),
        sha256: Cow::Borrowed("6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"),
        bytes: 95_628_359,
    },
];

/// All known files.
pub fn known() -> &'static [KnownFile] {
    &KNOWN
}

/// The file of this name.
///
/// # Errors
/// [`InvalidRequest`] that lists the known names.
pub fn find(name: &str) -> Result<&'static KnownFile> {
    KNOWN.iter().find(|file| file.name == name).ok_or_else(|| {
        let names: Vec<_> = KNOWN.iter().map(|file| format!("`{}`", file.name)).collect();
        InvalidRequest::option("name", format!("no weights are known as `{name}`; known are {}", names.join(", ")))
            .into()
    })
}
