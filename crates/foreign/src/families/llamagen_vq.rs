//! The tokenizer of LlamaGen (Sun et al. 2024, "Autoregressive Model Beats Diffusion: Llama for Scalable Image
//! Generation", section 2.1): the network of taming's VQGAN under other names.
//!
//! Source: FoundationVision/LlamaGen, `tokenizer/tokenizer_image/vq_model.py` (`VQModel`).
//!
//! | LlamaGen | taming, and ours |
//! |---|---|
//! | `encoder.conv_blocks.I` | `encoder.down.I` |
//! | `decoder.conv_blocks.I`, coarse first | `decoder.up.(levels - 1 - I)`, fine first |
//! | `.res.J` of these | `.block.J` |
//! | `encoder.mid.0`, `.1`, `.2`, and the decoder's | `encoder.mid.block_1`, `.attn_1`, `.block_2` |
//! | everything else | the same |

use vqkit_vqvae::{LLAMAGEN_USAGE, taming_name};

use super::{discriminator, vqgan};
use crate::family::Family;
use crate::reading::{Change, Divided, Network, Part, Reading, Shapes, Source};
use crate::section::vector_quantizer;

/// `VQModel`.
pub struct LlamaGenVq;

impl Family for LlamaGenVq {
    fn name(&self) -> &'static str {
        "llamagen-vq"
    }

    fn title(&self) -> &'static str {
        "tokenizer of LlamaGen"
    }

    fn matches(&self, source: &Source) -> bool {
        let set = source.set;
        set.has_below("encoder.conv_blocks.0.") && set.has("quantize.embedding.weight")
    }

    fn read<'f>(&self, source: &Source<'_, 'f>) -> Result<Option<Reading<'f>>, String> {
        let levels = source.set.count("encoder.conv_blocks.#.");
        let ours = |name: &str| taming_name(name, levels).map(|name| (name, Change::None));
        let usage =
            |name: &str| (name == LLAMAGEN_USAGE).then_some("the codes that training chose last, for statistics");
        let Divided { uses, left_over } = Divided::of(source.set, ours, usage);
        let shapes = Shapes::of(&uses);
        let mut sizes = vqgan::sizes(&shapes, source.config)?;
        let codes = shapes.length("quantize.embedding.weight", 0)?;
        vqgan::check_codes(source.config, "codebook_size", codes)?;
        let is_normalised =
            source.config.flag("codebook_l2_norm").or(source.values.flag("codebook_l2_norm")).unwrap_or_else(|| {
                sizes.inferred.push("codes and latents are compared on the unit sphere, upstream's default".into());
                true
            });
        let number =
            |key: &str, default: f64| source.config.number(key).or(source.values.number(key)).unwrap_or(default);
        let mut quantizer = vector_quantizer(codes, 1.0, number("commit_loss_beta", 0.25));
        if is_normalised {
            quantizer.insert("metric".into(), "cosine".into());
        }
        let entropy = number("entropy_loss_ratio", 0.0);
        if entropy > 0.0 {
            quantizer.insert("entropy_weight".into(), entropy.into());
        }
        sizes.section.insert("quantizer".into(), quantizer.into());
        let discriminator =
            discriminator::patchgan(&source.discriminator, source.values, |name| format!("discriminator.{name}"));
        let quirk = "codes are normalised when they are used; the table is kept as it is, so that training can go on";
        Ok(Some(Reading {
            networks: vec![Network {
                part: Part::Tokenizer,
                section: sizes.section,
                needs: sizes.needs,
                uses,
                discriminator,
            }],
            left_over,
            inferred: sizes.inferred,
            quirks: if is_normalised { vec![quirk.into()] } else { Vec::new() },
        }))
    }
}
