//! Learned image tokenizers, and priors that generate images with them.
#![doc = include_str!("../README.md")]

pub use vqkit_config as config;
pub use vqkit_data as data;
pub use vqkit_evaluate as evaluate;
pub use vqkit_fidelity as fidelity;
pub use vqkit_foreign as foreign;
pub use vqkit_graph as graph;
pub use vqkit_guard as guard;
pub use vqkit_interop as interop;
pub use vqkit_losses as losses;
pub use vqkit_metrics as metrics;
pub use vqkit_models as models;
pub use vqkit_pipeline as pipeline;
pub use vqkit_pretrained as pretrained;
pub use vqkit_priors as priors;
pub use vqkit_quantizer as quantizer;
pub use vqkit_recipe as recipe;
pub use vqkit_report as report;
pub use vqkit_run as run;
pub use vqkit_sample as sample;
pub use vqkit_tokens as tokens;
pub use vqkit_torch as torch;
pub use vqkit_train as train;
pub use vqkit_vqvae as vqvae;

pub use tch;

pub mod prelude;
