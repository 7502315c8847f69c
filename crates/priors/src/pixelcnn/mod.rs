//! Gated PixelCNN (van den Oord et al. 2016, "Conditional Image Generation with PixelCNN Decoders").
//!
//! A vertical stack covers all rows above, a horizontal stack the positions to the left and, layer by layer, what the
//! vertical stack computed from the rows above; so there is no blind spot. Names of parameters and order of operations
//! are those of ritheshkumar95/pytorch-vqvae: no residual in the first layer, none in the vertical stack, the class
//! added to both gates of every layer. Differences: grids need not be squares, kernels and the width of the head are
//! parameters, and there may be a null class and condition grids.

mod build;
mod config;
mod context;
mod cost;
mod cursor;
mod grid_encoder;
mod init;
mod layer;
mod model;
mod network;

pub use config::GatedPixelCnnConfig;
pub use model::GatedPixelCnn;
