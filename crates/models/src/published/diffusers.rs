//! Tokenizers in the form of diffusers' `VQModel`.
//!
//! Places and licences: the pages of the repositories on the Hub.

use super::{Becomes, Family, Published, Row};

const APACHE: Family = Family { becomes: Becomes::Tokenizer, licence: "Apache-2.0", readable: false };
const OPENRAIL: Family = Family { licence: "openrail++", ..APACHE };
const UNKNOWN: Family = Family { licence: "", ..APACHE };

const AMUSED: [Row; 2] = [
    (
        "amused-256-vq",
        "aMUSEd's VQGAN of 256 pixels, f16, 8192 codes",
        "hf://amused/amused-256/vqvae/diffusion_pytorch_model.safetensors",
        0,
        "",
    ),
    (
        "amused-512-vq",
        "aMUSEd's VQGAN of 512 pixels, f16, 8192 codes",
        "hf://amused/amused-512/vqvae/diffusion_pytorch_model.safetensors",
        0,
        "",
    ),
];

const KANDINSKY_2_1: [Row; 1] = [(
    "kandinsky-2-1-movq",
    "Kandinsky 2.1's MoVQ, f8, 16384 codes",
    "hf://kandinsky-community/kandinsky-2-1/movq/diffusion_pytorch_model.safetensors",
    271_380_364,
    "43a5860fea195a7116f2471396c5cc9535fade9b63c4857d8a192ffd924b7002",
)];

const PERMISSIVE: [Row; 2] = [
    (
        "kandinsky-2-2-movq",
        "Kandinsky 2.2's MoVQ, f8, 16384 codes",
        "hf://kandinsky-community/kandinsky-2-2-decoder/movq/diffusion_pytorch_model.safetensors",
        0,
        "",
    ),
    (
        "ldm-super-resolution-vq",
        "the VQ-f4 of LDM's super-resolution, 8192 codes",
        "hf://CompVis/ldm-super-resolution-4x-openimages/vqvae/diffusion_pytorch_model.bin",
        0,
        "",
    ),
];

/// All of them.
pub fn all() -> Vec<Published> {
    OPENRAIL
        .with_config(&AMUSED)
        .chain(UNKNOWN.with_config(&KANDINSKY_2_1))
        .chain(APACHE.with_config(&PERMISSIVE))
        .collect()
}
