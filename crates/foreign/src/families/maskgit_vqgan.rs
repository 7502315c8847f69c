//! The tokenizer of MaskGIT in PyTorch, which RAR and TiTok's first stage use; its names are ours.
//!
//! Source: bytedance/1d-tokenizer, `modeling/modules/maskgit_vqgan.py` (`Encoder`, `Decoder`, `VectorQuantizer`).

use super::vqgan::{check_codes, factors};
use crate::family::Family;
use crate::reading::{Change, Divided, Needs, Network, Part, Reading, Shapes, Source};
use crate::section::{table, vector_quantizer};

/// Tokens on a side of the published model's pictures.
const USUAL_GRID: i64 = 16;

/// `maskgit-vqgan-imagenet-f16-256.bin`.
pub struct MaskGitVqgan;

impl Family for MaskGitVqgan {
    fn name(&self) -> &'static str {
        "maskgit-vqgan"
    }

    fn title(&self) -> &'static str {
        "MaskGIT-VQGAN tokenizer of 1d-tokenizer"
    }

    fn matches(&self, source: &Source) -> bool {
        let set = source.set;
        set.has("encoder.mid.0.conv1.weight")
            && set.has("decoder.up.0.block.0.conv1.weight")
            && set.has("quantize.embedding.weight")
            && !set.has("quant_conv.weight")
    }

    fn read<'f>(&self, source: &Source<'_, 'f>) -> Result<Option<Reading<'f>>, String> {
        let is_weight = |name: &str| {
            let parts = ["encoder.", "decoder.", "quantize."];
            parts.iter().any(|part| name.starts_with(part)).then(|| (name.to_owned(), Change::None))
        };
        let Divided { uses, left_over } = Divided::of(source.set, is_weight, |_| None);
        let shapes = Shapes::of(&uses);
        let hidden = shapes.length("encoder.conv_in.weight", 0)?;
        let factors = factors(&shapes, "encoder.down", hidden)?;
        let downsampling = 1i64 << (factors.len() - 1);
        let codes = shapes.length("quantize.embedding.weight", 0)?;
        check_codes(source.config, "num_embeddings", codes)?;
        let mut inferred = Vec::new();
        let image_size = source.config.integer("resolution").unwrap_or_else(|| {
            inferred.push(format!("images of {0} x {0} pixels; the weights fit any size", USUAL_GRID * downsampling));
            USUAL_GRID * downsampling
        });
        let commitment = source.config.number("commitment_cost").unwrap_or(0.25);
        let quantizer = vector_quantizer(codes, commitment, 1.0);
        let section = table([
            ("type", "maskgit-vqgan".into()),
            ("hidden_channels", hidden.into()),
            ("channel_mult", factors.into()),
            ("num_res_blocks", (shapes.count("encoder.down.0.block.#.") as i64).into()),
            ("z_channels", shapes.length("quantize.embedding.weight", 1)?.into()),
            ("quantizer", quantizer.into()),
        ]);
        let needs = Needs {
            image_size: Some(image_size),
            channels: Some(shapes.length("encoder.conv_in.weight", 1)?),
            downsampling: Some(downsampling),
            ..Needs::default()
        };
        let network = Network { part: Part::Tokenizer, section, needs, uses, discriminator: None };
        let quirks = vec![
            "pixels are 0 to 1 inside of the network, which converts them".to_owned(),
            "a residual block's shortcut is computed from its output".to_owned(),
            "legacy beta, as in taming-transformers: the commitment has weight 1".to_owned(),
        ];
        Ok(Some(Reading { networks: vec![network], left_over, inferred, quirks }))
    }
}
