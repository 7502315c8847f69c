//! What the tokenizers of MaskGIT and Open-MAGVIT2 share: residual blocks whose convolutions have no bias, and the encoder.

mod blocks;
mod encoder;

pub(crate) use blocks::{BlockForm, Blocks, GROUPS, Shortcut, least_parameters};
pub(crate) use encoder::{Encoder, EncoderForm};
