//! FoundationVision: VAR.
//!
//! Places: the README of the repository; size and checksum of the tokenizer: the commit of the file on the Hub. Some of
//! the priors were replaced later, so no checksum of theirs stands here.

use super::{Becomes, Family, Published, Row};

const TOKENIZERS: Family = Family { becomes: Becomes::Tokenizer, licence: "MIT", readable: false };
const PRIORS: Family = Family { becomes: Becomes::Prior, ..TOKENIZERS };

const VQ: [Row; 1] = [(
    "var-vae",
    "VAR's multi-scale tokenizer, f16, 10 scales of 4096 codes",
    "hf://FoundationVision/var/vae_ch160v4096z32.pth",
    436_075_834,
    "7c3ec27ae28a3f87055e83211ea8cc8558bd1985d7b51742d074fb4c2fcf186c",
)];

const NEXT_SCALE: [Row; 5] = [
    (
        "var-d16",
        "VAR of depth 16, ImageNet's classes at 256 pixels: gFID 3.55",
        "hf://FoundationVision/var/var_d16.pth",
        0,
        "",
    ),
    (
        "var-d20",
        "VAR of depth 20, ImageNet's classes at 256 pixels: gFID 2.95",
        "hf://FoundationVision/var/var_d20.pth",
        0,
        "",
    ),
    (
        "var-d24",
        "VAR of depth 24, ImageNet's classes at 256 pixels: gFID 2.33",
        "hf://FoundationVision/var/var_d24.pth",
        0,
        "",
    ),
    (
        "var-d30",
        "VAR of depth 30, ImageNet's classes at 256 pixels: gFID 1.97",
        "hf://FoundationVision/var/var_d30.pth",
        0,
        "",
    ),
    (
        "var-d36",
        "VAR of depth 36, ImageNet's classes at 512 pixels: gFID 2.63",
        "hf://FoundationVision/var/var_d36.pth",
        0,
        "",
    ),
];

/// All of them.
pub fn all() -> Vec<Published> {
    TOKENIZERS.entries(&VQ).chain(PRIORS.entries(&NEXT_SCALE)).collect()
}
