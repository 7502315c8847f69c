//! Finite scalar quantization (Mentzer et al. 2023, "Finite Scalar Quantization: VQ-VAE Made Simple").

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor, nn};
use vqkit_torch::{TokenGrid, autocast};

use crate::config::{MOST_CODES, check_dim};
use crate::gradient::with_gradient;
use crate::latents::FlatLatents;
use crate::member::{Assignment, Member};
use crate::projection::Projection;
use crate::quantized::one_codebook;
use crate::{CodebookView, Mode, QuantizeError, Quantized, Quantizer, QuantizerLosses};

/// How far beyond the outermost level a channel is bounded, so that this level can be reached.
const MARGIN: f64 = 1e-3;
/// With more levels, that margin reaches a level beyond the outermost.
const MOST_LEVELS: i64 = 1000;
/// The most points in a row, as a power of two.
const MOST_TOGETHER: u32 = 6;

/// `type = "fsq"`: every channel is rounded to one of a few levels; there is no codebook and no loss.
///
/// ```
/// use tch::{Device, Kind, Tensor, nn};
/// use vqkit_quantizer::{FiniteScalarQuantizerConfig, Mode, Quantizer};
///
/// let vs = nn::VarStore::new(Device::Cpu);
/// let quantizer = FiniteScalarQuantizerConfig::new(&[8, 5, 5, 5]).build(&vs.root(), 8)?;
/// let latents = Tensor::randn([2, 8, 4, 4], (Kind::Float, Device::Cpu));
/// let quantized = quantizer.quantize(&latents, None, Mode::Eval)?;
/// assert_eq!(quantized.grid.sizes, [1000]);
/// assert_eq!(quantizer.level_indices(&quantized.grid)?.size(), [2, 4, 4, 4]);
/// # Ok::<(), vqkit_quantizer::QuantizeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FiniteScalarQuantizerConfig {
    /// Number of levels of each channel, at least 2; their product is the number of codes K. The paper uses `[8, 5, 5,
    /// 5]` for about 2^10 codes, `[7, 5, 5, 5, 5]` for 2^12, `[8, 8, 8, 6, 5]` for 2^14 and `[8, 8, 8, 5, 5, 5]` for
    /// 2^16.
    pub levels: Vec<i64>,
    /// Whether the levels are symmetric around zero even where their number is even. Default false, as in the paper.
    #[serde(default)]
    pub preserve_symmetry: bool,
}

impl FiniteScalarQuantizerConfig {
    /// Channels with these numbers of levels, and the default of every other key.
    pub fn new(levels: &[i64]) -> Self {
        Self { levels: levels.to_vec(), preserve_symmetry: false }
    }

    /// Creates the quantizer for latents of width `dim`. Where that differs from the number of channels, linear maps
    /// project to the channels and back, with their variables at `vs`.
    ///
    /// # Errors
    /// [`QuantizeError::Config`] for the first value out of range, and when `dim` is not positive.
    pub fn build(&self, vs: &nn::Path, dim: i64) -> Result<FiniteScalarQuantizer, QuantizeError> {
        self.validate()?;
        check_dim(dim)?;
        let channels = self.levels.len() as i64;
        let scalars = Scalars::new(&self.levels, self.preserve_symmetry, vs.device());
        Ok(FiniteScalarQuantizer { projection: Projection::new(vs, dim, channels), scalars })
    }
}

impl Member for FiniteScalarQuantizerConfig {
    fn validate(&self) -> Result<(), QuantizeError> {
        let wrong = |reason| Err(QuantizeError::Config { field: "levels", reason });
        let most = if self.preserve_symmetry { MOST_CODES } else { MOST_LEVELS };
        if let Some(level) = self.levels.iter().find(|level| !(2..=most).contains(*level)) {
            return wrong(format!("{level} levels of a channel; it takes at least 2 and at most {most}"));
        }
        match self.levels.iter().try_fold(1i64, |product, &level| product.checked_mul(level)) {
            Some(1) => wrong("is empty; it takes at least one channel".into()),
            Some(codes) if codes <= MOST_CODES => Ok(()),
            _ => wrong(format!("{:?} make more than {MOST_CODES} codes", self.levels)),
        }
    }

    fn quantizer(&self, vs: &nn::Path, dim: i64) -> Result<Box<dyn Quantizer>, QuantizeError> {
        Ok(Box::new(self.build(vs, dim)?))
    }

    fn least_parameters(&self, _dim: i64) -> i64 {
        0
    }

    fn assignment(&self) -> Assignment {
        Assignment::Rule
    }
}

/// With `L` levels and `l = (L - 1) (1 + 1e-3) / 2`, a channel `z` becomes
///
/// ```text
/// round(l tanh(z + atanh(o / l)) - o) / floor(L / 2),     o = 1/2 for even L, else 0
/// ```
///
/// and with `preserve_symmetry`, `2 / (L - 1) floor((L - 1) (tanh(z) + 1) / 2 + 1/2) - 1`. The gradient passes the rounding
/// unchanged. An index is a number whose digits are the levels, the first channel's the fastest. Codes lie in `[-1, 1]`.
#[derive(Debug)]
pub struct FiniteScalarQuantizer {
    projection: Projection,
    scalars: Scalars,
}

/// What each channel is counted with; all `[C]`, f32 where nothing else is said.
#[derive(Debug)]
struct Scalars {
    /// `[C]`, i64.
    levels: Tensor,
    /// `[C]`, i64: by how much a step of each digit moves the index.
    basis: Tensor,
    shift: Tensor,
    scale: Tensor,
    offset: Tensor,
    /// The digit of the code 0.
    centre: Tensor,
    /// Codes between neighbouring digits.
    step: Tensor,
    symmetric: bool,
    size: i64,
}

impl Scalars {
    fn new(levels: &[i64], symmetric: bool, device: Device) -> Self {
        let column = |value: &dyn Fn(f64) -> f64| {
            let values: Vec<f32> = levels.iter().map(|&level| value(level as f64) as f32).collect();
            Tensor::from_slice(&values).to_device(device)
        };
        let reach = |level: f64| (level - 1.0) * if symmetric { 0.5 } else { 0.5 * (1.0 + MARGIN) };
        let is_even = |level: f64| level % 2.0 == 0.0;
        let offset = |level: f64| if !symmetric && is_even(level) { 0.5 } else { 0.0 };
        let centre = |level: f64| if symmetric { (level - 1.0) / 2.0 } else { (level / 2.0).floor() };
        let basis = levels.iter().scan(1, |next, level| {
            let this = *next;
            *next *= level;
            Some(this)
        });
        Self {
            levels: Tensor::from_slice(levels).to_device(device),
            basis: Tensor::from_slice(&basis.collect::<Vec<_>>()).to_device(device),
            shift: column(&|level| (offset(level) / reach(level)).atanh()),
            scale: column(&reach),
            offset: column(&|level| if symmetric { centre(level) } else { -offset(level) }),
            centre: column(&centre),
            step: column(&|level| 1.0 / centre(level)),
            symmetric,
            size: levels.iter().product(),
        }
    }

    /// Codes `[N, C]`, with the gradient of the bounded channels, and indices `[N]`, of points `[N, C]`.
    fn round(&self, points: &Tensor) -> Result<(Tensor, Tensor), QuantizeError> {
        let wide = self.widened(points.size()[0]);
        let bounded = tch::no_grad(|| (points.detach().reshape(wide.shape) + &wide.shift).tanh_());
        let (codes, indices) = wide.choose(&bounded);
        // Latents that are not finite still get indices, so that the check of the loss finds the error.
        let indices = indices.clamp(0, self.size - 1);
        let slope = &wide.scale * &wide.step;
        let codes = with_gradient(&codes.view_as(points), points, move |gradient| {
            gradient * slope.addcmul(&bounded.square(), &-&slope).view_as(gradient)
        })?;
        Ok((codes, indices))
    }

    /// These scalars for several points in a row: a vector of few numbers is added to many rows slowly.
    fn widened(&self, points: i64) -> Wide<'_> {
        let together = 1 << points.trailing_zeros().min(MOST_TOGETHER);
        let [shift, scale, offset, step] =
            [&self.shift, &self.scale, &self.offset, &self.step].map(|scalars| scalars.repeat([together]));
        let shape = [points / together, together * self.levels.size()[0]];
        Wide { scalars: self, shape, shift, scale, offset, step }
    }

    /// The indices `0..K`.
    fn all_indices(&self) -> Tensor {
        Tensor::arange(self.size, (Kind::Int64, self.basis.device()))
    }

    /// Codes `[.., C]` of digits `[.., C]`.
    fn codes(&self, digits: &Tensor) -> Tensor {
        (digits - &self.centre) * &self.step
    }

    /// Indices `[..]` of digits `[.., C]`, f32; exact, since no index is beyond what f32 counts.
    fn indices_of(&self, digits: &Tensor) -> Tensor {
        let product = || digits.matmul(&self.basis.to_kind(Kind::Float));
        autocast::disabled(digits.device(), product).to_kind(Kind::Int64)
    }

    /// Digits `[.., C]`, i64, of indices `[..]`.
    fn digits_of(&self, indices: &Tensor) -> Tensor {
        indices.unsqueeze(-1).floor_divide(&self.basis).remainder_tensor(&self.levels)
    }

    /// Codes `[.., C]` of indices `[..]`.
    fn codes_of(&self, indices: &Tensor) -> Tensor {
        self.codes(&self.digits_of(indices).to_kind(Kind::Float))
    }
}

/// [`Scalars`] repeated for several points, `[P C]`; points lie as `[N / P, P C]`.
struct Wide<'a> {
    scalars: &'a Scalars,
    shape: [i64; 2],
    shift: Tensor,
    scale: Tensor,
    offset: Tensor,
    step: Tensor,
}

impl Wide<'_> {
    /// Codes `[N / P, P C]` and indices `[N]` of channels in `(-1, 1)`.
    fn choose(&self, bounded: &Tensor) -> (Tensor, Tensor) {
        let scalars = self.scalars;
        let narrow = |wide: &Tensor| wide.view([-1, scalars.levels.size()[0]]);
        let scaled = self.offset.addcmul(bounded, &self.scale);
        if scalars.symmetric {
            let digits = (scaled + 0.5).floor_();
            return (scalars.codes(&narrow(&digits)), scalars.indices_of(&narrow(&digits)));
        }
        let from_centre = scaled.round();
        let indices = scalars.indices_of(&narrow(&from_centre)) + scalars.indices_of(&scalars.centre);
        (from_centre * &self.step, indices)
    }
}

impl FiniteScalarQuantizer {
    /// Indices `[B, 1, *S]` of codes `[B, C, *S]` as they are before a projection leads back to the latents.
    ///
    /// # Errors
    /// When the codes have another number of channels.
    pub fn codes_to_indices(&self, codes: &Tensor) -> Result<TokenGrid, QuantizeError> {
        let rows = FlatLatents::of(codes, self.scalars.levels.size()[0])?;
        let digits = (&rows.points / &self.scalars.step + &self.scalars.centre).round();
        Ok(TokenGrid::new(rows.restore_indices(&self.scalars.indices_of(&digits)), self.codebook_sizes())?)
    }

    /// The level of every channel, `[B, C, *S]`, i64, of a grid.
    ///
    /// # Errors
    /// When the grid was not written by a quantizer of this size.
    pub fn level_indices(&self, grid: &TokenGrid) -> Result<Tensor, QuantizeError> {
        Ok(self.scalars.digits_of(&one_codebook(grid, self.scalars.size)?).movedim_int(-1, 1))
    }
}

impl Quantizer for FiniteScalarQuantizer {
    /// Does nothing but check the latents.
    fn initialize(&mut self, latents: &Tensor) -> Result<(), QuantizeError> {
        FlatLatents::of(latents, self.dim()).map(drop)
    }

    fn quantize(&self, latents: &Tensor, mask: Option<&Tensor>, mode: Mode) -> Result<Quantized, QuantizeError> {
        let rows = FlatLatents::of(latents, self.dim())?;
        rows.weights(mask)?;
        let train = matches!(mode, Mode::Train { .. });
        autocast::disabled(latents.device(), || {
            let (codes, indices) = self.scalars.round(&self.projection.enter(&rows.points, train))?;
            let codes = rows.restore(&self.projection.leave(&codes, train));
            let grid = TokenGrid::new(rows.restore_indices(&indices), self.codebook_sizes())?;
            let losses = QuantizerLosses::none(latents.device());
            Ok(Quantized::new(codes, grid, losses, mask))
        })
    }

    /// Does nothing: the optimizer trains the projections, where there are any.
    fn update(&mut self, _latents: &Tensor, _quantized: &Quantized) -> Result<(), QuantizeError> {
        Ok(())
    }

    fn lookup(&self, grid: &TokenGrid) -> Result<Tensor, QuantizeError> {
        let indices = one_codebook(grid, self.scalars.size)?;
        let leave = || self.projection.leave(&self.scalars.codes_of(&indices), false);
        Ok(autocast::disabled(indices.device(), leave).movedim_int(-1, 1))
    }

    fn codebooks(&self) -> Vec<CodebookView> {
        vec![CodebookView { codes: self.scalars.codes_of(&self.scalars.all_indices()), ages: None }]
    }

    fn has_tables(&self) -> bool {
        false
    }

    fn codebook_sizes(&self) -> Vec<i64> {
        vec![self.scalars.size]
    }

    fn dim(&self) -> i64 {
        self.projection.dim()
    }
}
