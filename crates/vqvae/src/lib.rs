#![doc = include_str!("../README.md")]

mod bias_free;
mod blocks;
mod config;
mod error;
mod layers;
mod llamagen;
mod magvit2;
mod maskgit_vqgan;
mod member;
mod network;
mod registry;
mod tokenizer;
mod vqgan;
mod vqvae;
mod vqvae2;

pub use blocks::{NormKind, Residual};
pub use error::TokenizerError;
pub use llamagen::{LLAMAGEN_USAGE, llamagen_name, taming_name};
pub use magvit2::Magvit2Config;
pub use maskgit_vqgan::MaskgitVqganConfig;
pub use network::{Network, Quantize};
pub use registry::TokenizerConfig;
pub use tokenizer::{Reconstruction, Tokenizer};
pub use vqgan::{DecoderNorm, VqganConfig};
pub use vqvae::{Output, VqVaeConfig};
pub use vqvae2::VqVae2Config;
