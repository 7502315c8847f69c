//! FoundationVision: LlamaGen.
//!
//! Places: the README of the repository; sizes and checksums: the commits of the files on the Hub.

use super::{Becomes, Family, Published, Row};

const TOKENIZERS: Family = Family { becomes: Becomes::Tokenizer, licence: "MIT", readable: true };
/// Two sets of weights beside optimizers in one file.
const TRAINING: Family = Family { readable: false, ..TOKENIZERS };
const PRIORS: Family = Family { becomes: Becomes::Prior, ..TRAINING };

const VQ: [Row; 3] = [
    (
        "llamagen-vq-ds16",
        "tokenizer of ImageNet, f16, 16384 codes of 8 values: rFID 2.19",
        "hf://FoundationVision/LlamaGen/vq_ds16_c2i.pt",
        287_920_306,
        "109aa8afb2cf3761eec23cdc8644154cb498f5ab7eef2a35264d25e5e0499f7d",
    ),
    (
        "llamagen-vq-ds8",
        "tokenizer of ImageNet, f8, 16384 codes of 8 values: rFID 0.59",
        "hf://FoundationVision/LlamaGen/vq_ds8_c2i.pt",
        0,
        "c70d2966ec012f378793214ff0755087e7c5fe6f035b469995143325dca4a4e3",
    ),
    (
        "llamagen-vq-ds16-t2i",
        "tokenizer of captioned images, f16, 16384 codes of 8 values",
        "hf://peizesun/llamagen_t2i/vq_ds16_t2i.pt",
        0,
        "",
    ),
];

const VQ_TRAINING: [Row; 1] = [(
    "llamagen-vq-ds16-training",
    "the same with its discriminator and optimizers, to train it further",
    "hf://FoundationVision/LlamaGen/vq_ds16_c2i_training.pt",
    896_513_067,
    "75e6492ac6fe32414bc07cbf1ad65e854845ef356eede4afbe758ab1c766f1f8",
)];

const GPT: [Row; 7] = [
    (
        "llamagen-b-256",
        "GPT-B of ImageNet's classes, 16 x 16 tokens: gFID 5.46",
        "hf://FoundationVision/LlamaGen/c2i_B_256.pt",
        0,
        "",
    ),
    (
        "llamagen-b-384",
        "GPT-B of ImageNet's classes, 24 x 24 tokens: gFID 6.09",
        "hf://FoundationVision/LlamaGen/c2i_B_384.pt",
        443_736_709,
        "7ddf3a659b180e4339e4dab8802183ede1ea8f44c5cfd4359ab27bef979c17ad",
    ),
    (
        "llamagen-l-256",
        "GPT-L of ImageNet's classes, 16 x 16 tokens: gFID 3.80",
        "hf://FoundationVision/LlamaGen/c2i_L_256.pt",
        1_371_712_314,
        "15fe788b9c0e8dfe36f3e3fd701b44d0c934e4fd94a0ab599b69669aa8f44a55",
    ),
    (
        "llamagen-l-384",
        "GPT-L of ImageNet's classes, 24 x 24 tokens: gFID 3.07",
        "hf://FoundationVision/LlamaGen/c2i_L_384.pt",
        1_371_860_346,
        "9b8cb63634d11e684b4a68017abffff6698752ef715058a77e5e089539ebc39a",
    ),
    (
        "llamagen-xl-384",
        "GPT-XL of ImageNet's classes, 24 x 24 tokens: gFID 2.62",
        "hf://FoundationVision/LlamaGen/c2i_XL_384.pt",
        3_099_048_319,
        "736cb92bebdcb16737dbd35210a07ae4f7fd001cdfd55b26205d89182d1807ba",
    ),
    (
        "llamagen-xxl-384",
        "GPT-XXL of ImageNet's classes, 24 x 24 tokens: gFID 2.34",
        "hf://FoundationVision/LlamaGen/c2i_XXL_384.pt",
        0,
        "cba5a780b9d2394386e7410c630bced3a70e109cf7107e1783c9a986e9e7754e",
    ),
    (
        "llamagen-3b-384",
        "GPT-3B of ImageNet's classes, 24 x 24 tokens: gFID 2.18",
        "hf://FoundationVision/LlamaGen/c2i_3B_384.pt",
        12_386_725_354,
        "1e9173ecbe81295b1d80b021b2bf57ed4ef089601b6745336ff20a9f382c4cac",
    ),
];

/// All of them.
pub fn all() -> Vec<Published> {
    TOKENIZERS.entries(&VQ).chain(TRAINING.entries(&VQ_TRAINING)).chain(PRIORS.entries(&GPT)).collect()
}
