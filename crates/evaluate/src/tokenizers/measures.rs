//! What was measured of one tokenizer.

use std::path::PathBuf;

use serde::Serialize;
use tch::nn::VarStore;
use vqkit_quantizer::Usage;
use vqkit_run::RgbImage;
use vqkit_vqvae::Tokenizer;

use crate::{
    similarity::Similarity,
    tokenizers::{set_distance::SetDistance, subject::Preparation},
};

/// The metrics of one tokenizer.
#[derive(Debug, Clone, Serialize)]
pub struct TokenizerMeasures {
    /// Its recipe's name, with a number where another tokenizer of the comparison has the same.
    pub name: String,
    /// Its run folder.
    pub run: PathBuf,
    /// Fingerprint of its weights.
    pub fingerprint: String,
    /// The type of its network.
    pub network: &'static str,
    /// The type of its quantizer.
    pub quantizer: &'static str,
    /// How it got the images.
    pub preparation: Preparation,
    /// Number format of its computations: `fp32` or `bf16`.
    pub precision: &'static str,
    /// Number of images that were measured.
    pub images: usize,
    /// Number of images that were left out because they could not be read, as its recipe allows.
    pub skipped: usize,
    /// By how much its coarsest level is coarser than the images.
    pub downsampling: i64,
    /// Number of tokens of an image, over all levels and codebooks.
    pub tokens: i64,
    /// Numbers of parameters.
    pub parameters: Parameters,
    /// PSNR in dB, mean over the images; `None` where an image is reconstructed exactly, whose PSNR is infinite.
    pub psnr_db: Option<f64>,
    /// PSNR in dB of the mean squared error over all images; `None` where nothing differs.
    pub psnr_of_mean_error_db: Option<f64>,
    /// Similarity of each image and its reconstruction.
    pub similarity: Similarity,
    /// Fréchet distance between the reconstructions and the images as sets.
    pub set_distance: Option<SetDistance>,
    /// Every level of tokens, coarse first.
    pub levels: Vec<LevelMeasures>,
    /// Bits per pixel of the tokens.
    pub bits_per_pixel: BitsPerPixel,
    /// Time per image.
    pub milliseconds: Milliseconds,
    /// Images that are shown, with their reconstructions.
    pub shown: Vec<ShownImage>,
}

/// Numbers of parameters without those of the quantizers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Parameters {
    /// Of all that is needed to encode; in VQ-VAE-2 also the decoder of the top level.
    pub encoder: u64,
    /// Of what is needed to decode alone.
    pub decoder: u64,
}

impl Parameters {
    /// Those of a tokenizer with these variables; the quantizers' do not count.
    pub(super) fn of(tokenizer: &Tokenizer, vs: &VarStore) -> Self {
        let mut parameters = Self { encoder: 0, decoder: 0 };
        for (name, variable) in vs.variables() {
            let part = name.split('.').next().unwrap_or_default();
            let is_quantizer = tokenizer.quantizer_parts().iter().any(|quantizer| quantizer == part);
            let count = match tokenizer.decoder_parts().contains(&part) {
                true => &mut parameters.decoder,
                false => &mut parameters.encoder,
            };
            if variable.requires_grad() && !is_quantizer {
                *count += variable.numel() as u64;
            }
        }
        parameters
    }

    /// Of both, in millions.
    pub fn millions(&self) -> f64 {
        (self.encoder + self.decoder) as f64 / 1e6
    }
}

/// The tokens of one level.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LevelMeasures {
    /// Height and width of its grid.
    pub grid: [i64; 2],
    /// Its codebooks, each of which assigns a code to every position.
    pub codebooks: Vec<CodebookMeasures>,
}

/// The usage of one codebook over all images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CodebookMeasures {
    /// Number of codes.
    pub codes: i64,
    /// Tokens counted.
    pub counted: i64,
    /// Share of the codes that were used.
    pub usage: f64,
    /// Perplexity of the codes: the number of equally frequent codes of the same entropy.
    pub perplexity: f64,
    /// Entropy of the codes, in bits.
    pub entropy_bits: f64,
}

impl LevelMeasures {
    /// Those of a level with this grid, whose codes were used so often.
    pub(super) fn of(grid: [i64; 2], usage: &Usage) -> Self {
        let codebooks = usage.codebooks().iter().map(|codebook| CodebookMeasures {
            codes: codebook.counts().size()[0],
            counted: codebook.tokens(),
            usage: codebook.usage(),
            perplexity: codebook.perplexity(),
            entropy_bits: codebook.entropy() / std::f64::consts::LN_2,
        });
        Self { grid, codebooks: codebooks.collect() }
    }

    /// Number of positions of its grid.
    pub fn positions(&self) -> i64 {
        self.grid[0] * self.grid[1]
    }

    /// Number of tokens of an image on this level.
    pub fn tokens(&self) -> i64 {
        self.positions() * self.codebooks.len() as i64
    }
}

/// Bits per pixel of the tokens of all levels and codebooks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct BitsPerPixel {
    /// Every token takes log2 K bits, where its codebook has K codes.
    pub fixed: f64,
    /// Every token takes the entropy of its codebook's codes over all images.
    pub entropy: f64,
}

impl BitsPerPixel {
    /// Those of images with this many pixels.
    pub(super) fn of(levels: &[LevelMeasures], pixels: f64) -> Self {
        let sum = |bits: fn(&CodebookMeasures) -> f64| {
            let of_level =
                |level: &LevelMeasures| level.positions() as f64 * level.codebooks.iter().map(bits).sum::<f64>();
            levels.iter().map(of_level).sum::<f64>() / pixels
        };
        Self { fixed: sum(|codebook| (codebook.codes as f64).log2()), entropy: sum(|codebook| codebook.entropy_bits) }
    }
}

/// Time per image in milliseconds: the median over the batches, without the reading of images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Milliseconds {
    /// From images to tokens.
    pub encode: f64,
    /// From tokens to images.
    pub decode: f64,
    /// Number of batches that were timed: all full ones, or the only one. Both were computed once before, untimed.
    pub batches: usize,
    /// Number of images of each of them.
    pub batch_size: usize,
}

/// An image, and its reconstruction.
#[derive(Debug, Clone, Serialize)]
pub struct ShownImage {
    /// Its name in the data.
    pub key: String,
    /// PSNR of the reconstruction, in dB; `None` where nothing differs.
    pub psnr_db: Option<f64>,
    /// The image as the tokenizer got it.
    #[serde(skip)]
    pub original: RgbImage,
    /// Its reconstruction.
    #[serde(skip)]
    pub reconstruction: RgbImage,
}

/// A PSNR; `None` where nothing differs, and it is infinite.
pub(super) fn finite(psnr_db: f64) -> Option<f64> {
    psnr_db.is_finite().then_some(psnr_db)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(grid: [i64; 2], codebooks: &[(i64, f64)]) -> LevelMeasures {
        let codebook = |&(codes, entropy_bits): &(i64, f64)| CodebookMeasures {
            codes,
            counted: 1000,
            usage: 1.0,
            perplexity: entropy_bits.exp2(),
            entropy_bits,
        };
        LevelMeasures { grid, codebooks: codebooks.iter().map(codebook).collect() }
    }

    #[test]
    fn bits_per_pixel_add_up_over_levels_and_codebooks() {
        let levels = [level([2, 2], &[(16, 3.0)]), level([4, 4], &[(8, 2.5), (32, 4.0)])];
        assert_eq!((levels[0].tokens(), levels[1].tokens()), (4, 32));
        let BitsPerPixel { fixed, entropy } = BitsPerPixel::of(&levels, 64.0);
        assert_eq!(fixed, (4.0 * 4.0 + 16.0 * (3.0 + 5.0)) / 64.0);
        assert_eq!(entropy, (4.0 * 3.0 + 16.0 * (2.5 + 4.0)) / 64.0);
    }
}
