//! ByteDance's 1d-tokenizer: MaskGIT's VQGAN in PyTorch, TiTok, RAR.
//!
//! Places: the READMEs of the repository; sizes and checksums: the commits of the files on the Hub.

use super::{Becomes, Family, Published, Row};

const TOKENIZERS: Family = Family { becomes: Becomes::Tokenizer, licence: "Apache-2.0", readable: false };
const PRIORS: Family = Family { becomes: Becomes::Prior, ..TOKENIZERS };

const MASKGIT: [Row; 1] = [(
    "maskgit-vqgan",
    "MaskGIT's VQGAN of ImageNet, f16, 1024 codes: rFID 2.28",
    "hf://fun-research/TiTok/maskgit-vqgan-imagenet-f16-256.bin",
    218_124_077,
    "424e7f2b11d1d63691ae3fbab74cf6c417ecbe0d8f86187b71f3538c7b56f6d2",
)];

/// Files of the repository of all TiToks; their sizes are in the project's configurations.
const TITOK_FILES: [Row; 3] = [
    (
        "titok-l32-bin",
        "as titok-l32, as a file of PyTorch",
        "hf://fun-research/TiTok/tokenizer_titok_l32.bin",
        2_564_477_610,
        "b8f0bf61e9ee1791d8b76fa723bdcb2c85a039a7d027e597f685db492935c31f",
    ),
    (
        "titok-b64-bin",
        "as titok-b64, as a file of PyTorch",
        "hf://fun-research/TiTok/tokenizer_titok_b64.bin",
        0,
        "f268a71c815328cb40772a8ef71456072eefbe74e0236e7e7d1cdea174aa8c41",
    ),
    (
        "titok-l32-generator-bin",
        "as titok-l32-generator, as a file of PyTorch",
        "hf://fun-research/TiTok/generator_titok_l32.bin",
        708_972_198,
        "3c5938a01658e8886d994fd9885b19d73bf4311cc5a86945d117be46d4b32233",
    ),
];

const TITOK: [Row; 6] = [
    (
        "titok-l32",
        "TiTok-L, 32 tokens: rFID 2.21",
        "hf://yucornetto/tokenizer_titok_l32_imagenet/model.safetensors",
        0,
        "",
    ),
    (
        "titok-b64",
        "TiTok-B, 64 tokens: rFID 1.70",
        "hf://yucornetto/tokenizer_titok_b64_imagenet/model.safetensors",
        0,
        "",
    ),
    (
        "titok-s128",
        "TiTok-S, 128 tokens: rFID 1.71",
        "hf://yucornetto/tokenizer_titok_s128_imagenet/model.safetensors",
        0,
        "",
    ),
    (
        "titok-bl64-vq8k",
        "TiTok-BL, 64 tokens of 8192: rFID 2.06",
        "hf://yucornetto/tokenizer_titok_bl64_vq8k_imagenet/model.safetensors",
        0,
        "",
    ),
    (
        "titok-bl128-vq8k",
        "TiTok-BL, 128 tokens of 8192: rFID 1.49",
        "hf://yucornetto/tokenizer_titok_bl128_vq8k_imagenet/model.safetensors",
        0,
        "",
    ),
    (
        "titok-sl256-vq8k",
        "TiTok-SL, 256 tokens of 8192: rFID 1.03",
        "hf://yucornetto/tokenizer_titok_sl256_vq8k_imagenet/model.safetensors",
        0,
        "",
    ),
];

const GENERATORS: [Row; 3] = [
    (
        "titok-l32-generator",
        "MaskGIT on titok-l32: gFID 2.77",
        "hf://yucornetto/generator_titok_l32_imagenet/model.safetensors",
        0,
        "",
    ),
    (
        "titok-b64-generator",
        "MaskGIT on titok-b64: gFID 2.48",
        "hf://yucornetto/generator_titok_b64_imagenet/model.safetensors",
        0,
        "",
    ),
    (
        "titok-s128-generator",
        "MaskGIT on titok-s128: gFID 1.97",
        "hf://yucornetto/generator_titok_s128_imagenet/model.safetensors",
        0,
        "",
    ),
];

const RAR: [Row; 4] = [
    (
        "rar-b",
        "RAR-B on maskgit-vqgan: gFID 1.95",
        "hf://yucornetto/RAR/rar_b.bin",
        1_043_822_726,
        "cbbf4b27dc36afae77fdb2fe0d6b9b5b7446eae45f1a9f91d442ab0b315b9ebf",
    ),
    (
        "rar-l",
        "RAR-L on maskgit-vqgan: gFID 1.70",
        "hf://yucornetto/RAR/rar_l.bin",
        1_846_801_542,
        "edad8e9905e20a5df14eeee0d5d04c1be48b16a7751b4b3f4954a6dec8ad87d5",
    ),
    (
        "rar-xl",
        "RAR-XL on maskgit-vqgan: gFID 1.50",
        "hf://yucornetto/RAR/rar_xl.bin",
        3_821_901_843,
        "7b4cec5c76f18dc7a3ea055a6b0cc4c5748c533768eed71564a88d897c762bc8",
    ),
    ("rar-xxl", "RAR-XXL on maskgit-vqgan: gFID 1.48", "hf://yucornetto/RAR/rar_xxl.bin", 0, ""),
];

/// All of them.
pub fn all() -> Vec<Published> {
    let mut all: Vec<_> = TOKENIZERS.entries(&MASKGIT).chain(TOKENIZERS.with_config(&TITOK)).collect();
    all.extend(TOKENIZERS.entries(&TITOK_FILES[..2]));
    all.extend(PRIORS.with_config(&GENERATORS));
    all.extend(PRIORS.entries(&TITOK_FILES[2..]));
    all.extend(PRIORS.entries(&RAR));
    all
}
