//! A network and one quantizer a level: images to tokens and back.

use tch::{Kind, Tensor, nn};
use vqkit_quantizer::{Mode, Quantized, Quantizer, QuantizerConfig, QuantizerLosses};
use vqkit_torch::TokenGrid;

use crate::TokenizerError;
use crate::network::Network;

/// Encoder, quantizers and decoder.
#[derive(Debug)]
pub struct Tokenizer {
    network: Box<dyn Network>,
    quantizers: Vec<Box<dyn Quantizer>>,
    quantizer_parts: Vec<String>,
}

/// The result of [`Tokenizer::forward`].
#[derive(Debug)]
pub struct Reconstruction {
    /// Images `[B, C, H, W]`, not clamped to `[-1, 1]`.
    pub images: Tensor,
    /// Latents `[B, D, h, w]` of every level, coarse first, as the encoder gave them.
    pub latents: Vec<Tensor>,
    /// What the quantizer of every level made of them, coarse first.
    pub levels: Vec<Quantized>,
}

impl Reconstruction {
    /// What the quantizers add to a training loss, a scalar: the sum over the levels of their weighted losses. The loss of a
    /// tokenizer is this and a reconstruction term.
    pub fn quantizer_loss(&self) -> Tensor {
        self.quantizer_term(|losses| &losses.total)
    }

    /// One term of the quantizers' losses, summed over the levels; a scalar.
    pub fn quantizer_term(&self, term: fn(&QuantizerLosses) -> &Tensor) -> Tensor {
        let terms = self.levels.iter().map(|level| term(&level.losses).shallow_clone());
        let none = || Tensor::zeros([0i64; 0], (Kind::Float, self.images.device()));
        terms.reduce(|sum, term| sum + term).unwrap_or_else(none)
    }

    /// One of several that were made one after the other, of parts of a batch, outside of any graph: what
    /// [`Tokenizer::update`] takes. The losses are those of the first.
    ///
    /// # Errors
    /// When there are none, or they are not one tokenizer's.
    pub fn join(parts: Vec<Self>) -> Result<Self, TokenizerError> {
        let mut parts = parts.into_iter();
        let first = parts.next().ok_or(TokenizerError::Levels { want: 1, got: 0 })?;
        parts.try_fold(first, |joined, part| {
            let images = cat(&joined.images, &part.images);
            let latents = joined.latents.iter().zip(&part.latents).map(|(one, other)| cat(one, other)).collect();
            let levels = joined.levels.into_iter().zip(part.levels).map(|(one, other)| one.join(&other));
            Ok(Self { images, latents, levels: levels.collect::<Result<_, _>>()? })
        })
    }
}

fn cat(one: &Tensor, other: &Tensor) -> Tensor {
    Tensor::cat(&[one.detach(), other.detach()], 0)
}

/// Everything that an encoder's pass gives.
struct Encoded {
    latents: Vec<Tensor>,
    levels: Vec<Quantized>,
    codes: Vec<Tensor>,
}

impl Tokenizer {
    /// Gives every level of `network` a quantizer of its own, at the path of `vs` that `names` has for it, coarse first.
    ///
    /// # Errors
    /// [`vqkit_quantizer::QuantizeError::Config`] when the quantizer cannot be built, and [`TokenizerError::CodeWidth`]
    /// when its codes do not fit the decoder.
    pub fn new(
        network: Box<dyn Network>,
        vs: &nn::Path,
        quantizer: &QuantizerConfig,
        names: &[&str],
    ) -> Result<Self, TokenizerError> {
        let build = |(want, name): (i64, &&str)| {
            let built = quantizer.build(&(vs / *name), want)?;
            let got = built.code_dim();
            if got == want { Ok(built) } else { Err(TokenizerError::CodeWidth { want, got }) }
        };
        let quantizers = network.dims().into_iter().zip(names).map(build).collect::<Result<_, _>>()?;
        let quantizer_parts = names.iter().map(|name| (*name).to_owned()).collect();
        Ok(Self { network, quantizers, quantizer_parts })
    }

    /// Images `[B, C, H, W]` in `[-1, 1]` to what the quantizers make of them, one a level, coarse first.
    ///
    /// # Errors
    /// When the images have another number of channels or a size that the downsampling does not divide.
    pub fn encode(&self, images: &Tensor, mode: Mode) -> Result<Vec<Quantized>, TokenizerError> {
        Ok(self.run_encoder(images, mode)?.levels)
    }

    /// Images `[B, C, H, W]` in `[-1, 1]` to tokens, one grid `[B, Q, h, w]` a level, coarse first; as in evaluation, and
    /// outside of any graph. Sides need not be equal, but the [downsampling](Self::downsampling) has to divide them.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn tokens(&self, images: &Tensor) -> Result<Vec<TokenGrid>, TokenizerError> {
        let levels = tch::no_grad(|| self.encode(images, Mode::Eval))?;
        Ok(levels.into_iter().map(|level| level.grid).collect())
    }

    /// Tokens, one grid a level, coarse first, to images `[B, C, H, W]`, not clamped to `[-1, 1]`.
    ///
    /// # Errors
    /// When the tokens have other levels or codebooks, or grids that do not belong together.
    pub fn decode(&self, tokens: &[TokenGrid]) -> Result<Tensor, TokenizerError> {
        self.check_tokens(tokens)?;
        let codes: Vec<_> = self
            .quantizers
            .iter()
            .zip(tokens)
            .map(|(quantizer, grid)| quantizer.lookup(grid))
            .collect::<Result<_, _>>()?;
        Ok(self.network.decode(&codes, false))
    }

    /// Images `[B, C, H, W]` in `[-1, 1]`, encoded, quantized and decoded; nothing but statistics of batch
    /// normalisation changes, and those under [`Mode::Train`] alone.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn forward(&self, images: &Tensor, mode: Mode) -> Result<Reconstruction, TokenizerError> {
        let Encoded { latents, levels, codes } = self.run_encoder(images, mode)?;
        Ok(Reconstruction { images: self.network.decode(&codes, is_training(mode)), latents, levels })
    }

    /// As [`forward`](Self::forward), for training the decoder alone: encoder and codebooks are used as in evaluation, and
    /// no gradient reaches them.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn forward_decoder(&self, images: &Tensor) -> Result<Reconstruction, TokenizerError> {
        let Encoded { latents, levels, codes } = tch::no_grad(|| self.run_encoder(images, Mode::Eval))?;
        Ok(Reconstruction { images: self.network.decode(&codes, true), latents, levels })
    }

    /// Moves the codebooks toward a batch; only the training loop calls it.
    ///
    /// # Errors
    /// When the reconstruction is not this tokenizer's.
    pub fn update(&mut self, reconstruction: &Reconstruction) -> Result<(), TokenizerError> {
        let Reconstruction { latents, levels, .. } = reconstruction;
        self.check_levels(levels.len())?;
        for ((quantizer, latents), quantized) in self.quantizers.iter_mut().zip(latents).zip(levels) {
            quantizer.update(latents, quantized)?;
        }
        Ok(())
    }

    /// Gives the codebooks their first values from a batch of images; once, before the first step.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn initialize(&mut self, images: &Tensor) -> Result<(), TokenizerError> {
        self.check_images(images)?;
        let Self { network, quantizers, .. } = self;
        tch::no_grad(|| {
            network.encode(images, true, &mut |level, latents| {
                quantizers[level].initialize(&latents)?;
                Ok(quantizers[level].quantize(&latents, None, Mode::Eval)?.codes)
            })
        })?;
        Ok(())
    }

    /// Height and width `[h, w]` of every level's grid, coarse first, for square images of this size: what a prior over that
    /// level's tokens is built for, together with its [`codebook_sizes`](Self::codebook_sizes).
    ///
    /// # Errors
    /// [`TokenizerError::Size`] when the downsampling does not divide the size.
    pub fn grid_shapes(&self, image_size: i64) -> Result<Vec<[i64; 2]>, TokenizerError> {
        self.check_size(image_size, image_size)?;
        Ok(self.network.strides().iter().map(|stride| [image_size / stride; 2]).collect())
    }

    /// By how much the coarsest level is coarser than the image.
    pub fn downsampling(&self) -> i64 {
        self.network.strides().iter().copied().max().unwrap_or(1)
    }

    /// The number of codes of every codebook of every level, coarse first: the [`sizes`](TokenGrid::sizes) of the grids.
    pub fn codebook_sizes(&self) -> Vec<Vec<i64>> {
        self.quantizers.iter().map(|quantizer| quantizer.codebook_sizes()).collect()
    }

    /// What the names of the decoder's variables begin with, up to the first dot; all others are needed to encode.
    pub fn decoder_parts(&self) -> &'static [&'static str] {
        self.network.decoder_parts()
    }

    /// What the names of the quantizers' variables begin with, up to the first dot, coarse first.
    pub fn quantizer_parts(&self) -> &[String] {
        &self.quantizer_parts
    }

    /// Channels of what the decoder gives. Where they are not the images', no loss compares the two.
    pub fn out_channels(&self) -> i64 {
        self.network.out_channels()
    }

    /// The weight of the decoder's last convolution, at which the gradients of two losses are compared
    /// (Esser et al. 2021, equation 7).
    pub fn last_layer(&self) -> &Tensor {
        self.network.last_layer()
    }

    /// The quantizers, one a level, coarse first.
    pub fn quantizers(&self) -> &[Box<dyn Quantizer>] {
        &self.quantizers
    }

    /// The quantizers, one a level, coarse first.
    pub fn quantizers_mut(&mut self) -> &mut [Box<dyn Quantizer>] {
        &mut self.quantizers
    }

    fn run_encoder(&self, images: &Tensor, mode: Mode) -> Result<Encoded, TokenizerError> {
        self.check_images(images)?;
        let (mut latents, mut levels) = (Vec::new(), Vec::new());
        let codes = self.network.encode(images, is_training(mode), &mut |level, of_level| {
            let quantized = self.quantizers[level].quantize(&of_level, None, mode)?;
            let codes = quantized.codes.shallow_clone();
            latents.push(of_level);
            levels.push(quantized);
            Ok(codes)
        })?;
        Ok(Encoded { latents, levels, codes })
    }

    fn check_images(&self, images: &Tensor) -> Result<(), TokenizerError> {
        match *images.size() {
            [_, channels, height, width] if channels == self.network.channels() => self.check_size(height, width),
            _ => Err(TokenizerError::Shape { channels: self.network.channels(), got: images.size() }),
        }
    }

    fn check_size(&self, height: i64, width: i64) -> Result<(), TokenizerError> {
        let factor = self.downsampling();
        let fits = |side: i64| side > 0 && side % factor == 0;
        if fits(height) && fits(width) { Ok(()) } else { Err(TokenizerError::Size { height, width, factor }) }
    }

    fn check_levels(&self, got: usize) -> Result<(), TokenizerError> {
        let want = self.quantizers.len();
        if got == want { Ok(()) } else { Err(TokenizerError::Levels { want, got }) }
    }

    fn check_tokens(&self, tokens: &[TokenGrid]) -> Result<(), TokenizerError> {
        self.check_levels(tokens.len())?;
        let strides = self.network.strides();
        let grids: Vec<_> = tokens.iter().map(TokenGrid::spatial).collect();
        let picture = |(grid, stride): (&Vec<i64>, &i64)| grid.iter().map(|side| side * stride).collect::<Vec<_>>();
        let mut pictures = grids.iter().zip(strides).map(picture);
        let first = pictures.next().unwrap_or_default();
        if first.len() == 2 && pictures.all(|other| other == first) {
            return Ok(());
        }
        Err(TokenizerError::Grids { want: strides.to_vec(), got: grids })
    }
}

fn is_training(mode: Mode) -> bool {
    !matches!(mode, Mode::Eval)
}
