//! Everything that a custom training loop needs, in one line: `use vqkit::prelude::*;`.

pub use tch::{Device, Kind, Reduction, Tensor, nn::VarStore};
pub use vqkit_data::{Batch, DataConfig, Loader, LoaderConfig, SourceConfig};
pub use vqkit_priors::{Condition, Gpt2Config, Prior, PriorSpec, SampleOptions};
pub use vqkit_quantizer::{EmaVectorQuantizerConfig, Mode, QuantizerConfig};
pub use vqkit_run::RgbImage;
pub use vqkit_torch::{
    images,
    optim::{Adam, AdamConfig},
};
pub use vqkit_vqvae::VqVaeConfig;
