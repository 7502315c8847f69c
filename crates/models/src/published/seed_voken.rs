//! Tencent's SEED-Voken: IBQ and Open-MAGVIT2.
//!
//! Places: the pages of both in the repository; sizes and checksums: the commits of the files on the Hub.

use super::{Becomes, Family, Published, Row};

const TOKENIZERS: Family = Family { becomes: Becomes::Tokenizer, licence: "Apache-2.0", readable: false };
const PRIORS: Family = Family { becomes: Becomes::Prior, ..TOKENIZERS };

const VQ: [Row; 10] = [
    (
        "ibq-1024",
        "IBQ of ImageNet, f16, 1024 codes: rFID 2.24",
        "hf://TencentARC/IBQ-Tokenizer-1024/imagenet256_1024.ckpt",
        0,
        "68f6d2949a5a646acf0a384941e2ac03f3fbabf8babbe3e0a8659f6368750294",
    ),
    (
        "ibq-8192",
        "IBQ of ImageNet, f16, 8192 codes: rFID 1.87",
        "hf://TencentARC/IBQ-Tokenizer-8192/imagenet256_8192.ckpt",
        871_429_166,
        "264ef1e25fcecb951435fd84dcc7bd318ae6729cd42215e97c4fac253c74381f",
    ),
    (
        "ibq-16384",
        "IBQ of ImageNet, f16, 16384 codes: rFID 1.37",
        "hf://TencentARC/IBQ-Tokenizer-16384/imagenet256_16384.ckpt",
        0,
        "26ecf8be32c2796edd03d9b1aec1fe1fc18e9dae2ded51ef54b504cc32d05144",
    ),
    (
        "ibq-262144",
        "IBQ of ImageNet, f16, 262144 codes: rFID 1.00",
        "hf://TencentARC/IBQ-Tokenizer-262144/imagenet256_262144.ckpt",
        0,
        "",
    ),
    (
        "ibq-16384-pretrain",
        "IBQ of captioned images, f16, 16384 codes",
        "hf://TencentARC/IBQ-Tokenizer-16384-Pretrain/IBQ_pretrain_16384.ckpt",
        0,
        "",
    ),
    (
        "ibq-262144-pretrain",
        "IBQ of captioned images, f16, 262144 codes",
        "hf://TencentARC/IBQ-Tokenizer-262144-Pretrain/IBQ_pretrain_262144.ckpt",
        0,
        "",
    ),
    (
        "open-magvit2-256",
        "Open-MAGVIT2 of ImageNet, f16, 2^18 codes: rFID 1.17",
        "hf://TencentARC/Open-MAGVIT2-Tokenizer-256-resolution/imagenet_256_L.ckpt",
        921_240_234,
        "a0e27c4a5ab21db0f38cba484e717584e8a8ea7d9fda9a729d058bc8d68d0922",
    ),
    (
        "open-magvit2-128",
        "Open-MAGVIT2 of ImageNet at 128 pixels, f8, 2^18 codes: rFID 1.18",
        "hf://TencentARC/Open-MAGVIT2-Tokenizer-128-resolution/imagenet_128_L.ckpt",
        0,
        "",
    ),
    (
        "open-magvit2-16384-pretrain",
        "Open-MAGVIT2 of captioned images, f16, 2^14 codes",
        "hf://TencentARC/Open-MAGVIT2-Tokenizer-16384-Pretrain/pretrain256_16384.ckpt",
        0,
        "",
    ),
    (
        "open-magvit2-262144-pretrain",
        "Open-MAGVIT2 of captioned images, f16, 2^18 codes",
        "hf://TencentARC/Open-MAGVIT2-Tokenizer-262144-Pretrain/pretrain256_262144.ckpt",
        0,
        "",
    ),
];

const AR: [Row; 7] = [
    (
        "ibq-ar-b",
        "IBQ's autoregressive prior B of ImageNet's classes: gFID 2.88",
        "hf://TencentARC/IBQ-AR-B/AR_256_B.ckpt",
        0,
        "",
    ),
    (
        "ibq-ar-l",
        "IBQ's autoregressive prior L of ImageNet's classes: gFID 2.45",
        "hf://TencentARC/IBQ-AR-L/AR_256_L.ckpt",
        0,
        "",
    ),
    (
        "ibq-ar-xl",
        "IBQ's autoregressive prior XL of ImageNet's classes: gFID 2.14",
        "hf://TencentARC/IBQ-AR-XL/AR_256_XL.ckpt",
        0,
        "",
    ),
    (
        "ibq-ar-xxl",
        "IBQ's autoregressive prior XXL of ImageNet's classes: gFID 2.05",
        "hf://TencentARC/IBQ-AR-XXL/AR_256_XXL.ckpt",
        0,
        "",
    ),
    (
        "open-magvit2-ar-b",
        "Open-MAGVIT2's prior B of ImageNet's classes: gFID 3.08",
        "hf://TencentARC/Open-MAGVIT2-AR-B-256-resolution/AR_256_B.ckpt",
        0,
        "",
    ),
    (
        "open-magvit2-ar-l",
        "Open-MAGVIT2's prior L of ImageNet's classes: gFID 2.51",
        "hf://TencentARC/Open-MAGVIT2-AR-L-256-resolution/AR_256_L.ckpt",
        0,
        "",
    ),
    (
        "open-magvit2-ar-xl",
        "Open-MAGVIT2's prior XL of ImageNet's classes: gFID 2.33",
        "hf://TencentARC/Open-MAGVIT2-AR-XL-256-resolution/AR_256_XL.ckpt",
        0,
        "",
    ),
];

/// All of them.
pub fn all() -> Vec<Published> {
    TOKENIZERS.entries(&VQ).chain(PRIORS.entries(&AR)).collect()
}
