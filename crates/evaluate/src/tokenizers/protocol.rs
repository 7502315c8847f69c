//! How a comparison of tokenizers was made.

use std::{fmt, path::PathBuf};

use serde::Serialize;
use vqkit_data::Crop;
use vqkit_fidelity::{Features, Protocol};
use vqkit_run::Context;
use vqkit_torch::{device, libtorch_version, threads};

use crate::tokenizers::{request::TokenizerRequest, set_distance::SetComparer};

/// The name of this protocol; a different way of measuring will have a different name.
const NAME: &str = "vqkit-compare-1";

/// How the metrics were computed, for all tokenizers alike.
#[derive(Debug, Clone, Serialize)]
pub struct ComparisonProtocol {
    /// `vqkit-compare-1`: all images, in order, not mirrored; both sides of a comparison rounded to 8 bits.
    pub name: &'static str,
    /// Where the images lie.
    pub data: Vec<PathBuf>,
    /// Fingerprint of the images' names and sizes.
    pub fingerprint: String,
    /// Which square is cropped from an image.
    pub crop: Crop,
    /// The size that was requested for all tokenizers; `None` where every one gets its own.
    pub size: Option<u32>,
    /// Range of the values of both sides of a comparison.
    pub value_range: &'static str,
    /// What PSNR, SSIM, MS-SSIM and LPIPS are averaged over.
    pub mean_over: &'static str,
    /// The network that compares sets; `None` where its weights are missing.
    pub features: Option<FeaturesProtocol>,
    /// The network of LPIPS; `None` where its weights are missing.
    pub lpips: Option<&'static str>,
    /// Number of images that were encoded and decoded at once.
    pub batch_size: usize,
    /// The device.
    pub device: String,
    /// Threads of libtorch within an operation.
    pub threads: i32,
    /// Versions of vqkit and libtorch.
    pub versions: [String; 2],
}

/// The network that compares sets.
#[derive(Debug, Clone, Serialize)]
pub struct FeaturesProtocol {
    /// The network.
    pub network: Features,
    /// BLAKE3 of its weights.
    pub weights: String,
    /// The protocol by which images were prepared for it.
    pub protocol: Protocol,
    /// How images were resized for it, after they had the tokenizer's size.
    pub resize: &'static str,
    /// How a value `v` of 0 to 255 was scaled for it.
    pub value_range: &'static str,
}

impl ComparisonProtocol {
    /// That of a request, over images of this fingerprint.
    pub(super) fn of(
        request: &TokenizerRequest,
        fingerprint: String,
        sets: Option<&SetComparer>,
        has_lpips: bool,
        context: &Context,
    ) -> Self {
        Self {
            name: NAME,
            data: request.data.clone(),
            fingerprint,
            crop: Crop::Center,
            size: request.size,
            value_range: "8 bits, 0 to 255",
            mean_over: "images",
            features: sets.map(FeaturesProtocol::of),
            lpips: has_lpips.then_some("LPIPS 0.1, VGG16"),
            batch_size: request.batch_size,
            device: device::name(context.device),
            threads: threads::count(),
            versions: [env!("CARGO_PKG_VERSION").into(), libtorch_version()],
        }
    }
}

impl FeaturesProtocol {
    fn of(sets: &SetComparer) -> Self {
        Self {
            network: sets.extractor.kind(),
            weights: sets.extractor.weights().to_owned(),
            protocol: sets.protocol,
            resize: sets.protocol.resize(),
            value_range: sets.protocol.value_range(),
        }
    }
}

impl fmt::Display for ComparisonProtocol {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let Self { name, device, threads, batch_size, .. } = self;
        write!(
            out,
            "protocol {name}: middle squares, 8 bits; PSNR, SSIM and LPIPS are means over images; times are medians over batches of \
             {batch_size} images (device {device}, threads {threads})"
        )
    }
}
