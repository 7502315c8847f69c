//! Which tokenizers to compare, on which images, and how.

use std::path::PathBuf;

use vqkit_fidelity::{Features, Protocol};

/// Which tokenizers to compare, on which images, and how.
#[derive(Debug, Clone)]
pub struct TokenizerRequest {
    /// Run folders, each with a trained tokenizer of images; one may occur several times.
    pub tokenizers: Vec<PathBuf>,
    /// A folder of images, tar archives, or single images and patterns.
    pub data: Vec<PathBuf>,
    /// Width and height, in pixels, at which every tokenizer gets the images: their largest middle square, resized by the
    /// bicubic filter. Default: every tokenizer gets them as its own recipe says.
    pub size: Option<u32>,
    /// The network in whose features reconstructions and images are compared as sets.
    pub features: Features,
    /// Its weights, where it does not come with them. Default: those that were downloaded before; nothing is downloaded.
    pub weights: Option<PathBuf>,
    /// How images are prepared for that network. Default: the usual protocol of the network.
    pub protocol: Option<Protocol>,
    /// Files that together hold trunk and heads of LPIPS. Default: those that were downloaded before.
    pub lpips: Vec<PathBuf>,
    /// Number of images that are encoded and decoded at once; at least 1.
    pub batch_size: usize,
    /// Number of images that are shown, evenly spread over the data.
    pub shown: usize,
}

impl TokenizerRequest {
    /// A comparison in batches of 16 images, of which 8 are shown, by Inception's features where its weights were
    /// downloaded before.
    pub fn new(tokenizers: Vec<PathBuf>, data: Vec<PathBuf>) -> Self {
        Self {
            tokenizers,
            data,
            size: None,
            features: Features::default(),
            weights: None,
            protocol: None,
            lpips: Vec::new(),
            batch_size: 16,
            shown: 8,
        }
    }
}
