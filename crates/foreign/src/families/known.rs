//! Models that are recognised and not imported: their networks come later, or they are no tokenizer.

use crate::family::Family;
use crate::reading::{Reading, Source};

/// A family that is known by its names alone.
pub struct Known {
    name: &'static str,
    title: &'static str,
    /// Tensors, or beginnings of names that end in a dot, all of which are there.
    names: &'static [&'static str],
}

/// VAR's tokenizer.
pub const VAR_TOKENIZER: Known = Known {
    name: "var-vae",
    title: "multi-scale tokenizer of VAR",
    names: &["quantize.quant_resi.qresi_ls.", "quantize.embedding.weight"],
};

/// VAR.
pub const VAR: Known = Known {
    name: "var",
    title: "next-scale transformer of VAR",
    names: &["word_embed.weight", "lvl_embed.weight", "head_nm."],
};

/// TiTok.
pub const TITOK: Known = Known {
    name: "titok",
    title: "TiTok tokenizer of 1d-tokenizer",
    names: &["latent_tokens", "encoder.latent_token_positional_embedding"],
};

/// RAR.
pub const RAR: Known = Known {
    name: "rar",
    title: "RAR generator of 1d-tokenizer",
    names: &["target_aware_pos_embed", "adaln_before_head."],
};

/// MaskGIT.
pub const MASKGIT: Known = Known {
    name: "maskgit",
    title: "MaskGIT generator of 1d-tokenizer",
    names: &["model.embeddings.word_embeddings.weight"],
};

/// MaskGIT with long skips.
pub const MASKGIT_UVIT: Known = Known {
    name: "maskgit-uvit",
    title: "U-ViT MaskGIT generator of 1d-tokenizer",
    names: &["in_blocks.", "out_blocks.", "embeddings.weight"],
};

/// ViT-VQGAN.
pub const VIT_VQGAN: Known = Known {
    name: "vit-vqgan",
    title: "ViT-VQGAN of enhancing-transformers",
    names: &["decoder.de_pos_embedding", "decoder.to_pixel."],
};

/// LPIPS.
pub const LPIPS: Known = Known {
    name: "lpips",
    title: "LPIPS, a perceptual network",
    names: &["lin0.model.1.weight", "lin1.model.1.weight"],
};

/// FID's Inception.
pub const INCEPTION: Known = Known {
    name: "inception",
    title: "InceptionV3, the network of FID",
    names: &["Mixed_5b.", "Conv2d_1a_3x3.conv.weight"],
};

/// Torchvision's VGG16.
pub const VGG16: Known = Known {
    name: "vgg16",
    title: "VGG16 of torchvision",
    names: &["features.0.weight", "features.28.weight", "classifier.6.weight"],
};

impl Family for Known {
    fn name(&self) -> &'static str {
        self.name
    }

    fn title(&self) -> &'static str {
        self.title
    }

    fn matches(&self, source: &Source) -> bool {
        let has = |name: &&str| if name.ends_with('.') { source.set.has_below(name) } else { source.set.has(name) };
        self.names.iter().all(has)
    }

    fn read<'f>(&self, _source: &Source<'_, 'f>) -> Result<Option<Reading<'f>>, String> {
        Ok(None)
    }
}
