#![doc = include_str!("../README.md")]

mod blocks;
mod config;
mod error;
mod llamagen;
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
pub use network::{Network, Quantize};
pub use registry::TokenizerConfig;
pub use tokenizer::{Reconstruction, Tokenizer};
pub use vqgan::VqganConfig;
pub use vqvae::{Output, VqVaeConfig};
pub use vqvae2::VqVae2Config;
