//! LPIPS with the VGG16 trunk.

use tch::{Kind, Tensor, nn};

use super::Perceptual;
use super::features::Features;
use super::vgg16::{CHANNELS, LEAST_SIZE, Vgg16, unset};
use crate::LossError;

/// Mean and deviation of ImageNet's channels after images were moved from `[0, 1]` to `[-1, 1]`, as lpips rounds them.
pub(super) const SHIFT: [f32; 3] = [-0.030, -0.088, -0.188];
pub(super) const SCALE: [f32; 3] = [0.458, 0.448, 0.450];

/// LPIPS v0.1 (Zhang et al. 2018) on VGG16: lpips' `LPIPS(net="vgg")`, in evaluation.
///
/// Its variables have lpips' names and take no gradient: `net.slice1.0.weight` and the rest of [`Vgg16`],
/// `lin0.model.1.weight` to `lin4.model.1.weight` `[1, C, 1, 1]`, `scaling_layer.shift` and `scaling_layer.scale`
/// `[1, 3, 1, 1]`. [`lpips_state`](super::lpips_state) finds them in the files that go about; until they are loaded, every
/// distance is NaN. Put them in a `VarStore` of their own, apart from what is trained and saved.
///
/// ```
/// use tch::{Device, Kind, Tensor, nn};
/// use vqkit_losses::{Lpips, Perceptual};
///
/// let mut vs = nn::VarStore::new(Device::Cpu);
/// let lpips = Lpips::new(&vs.root());
/// # tch::no_grad(|| vs.variables().values_mut().for_each(|variable| { let _ = variable.fill_(0.01); }));
/// // Here: vqkit_torch::weights::assign(&lpips_state(read(path)?)?, &mut vs)?;
/// let images = Tensor::rand([2, 3, 32, 32], (Kind::Float, Device::Cpu)) * 2.0 - 1.0;
/// let reference = lpips.features(&images)?;
/// let distance = lpips.distance_to(&(&images * 0.9), &reference)?;
/// assert_eq!(distance.size(), [2]);
/// assert_eq!(lpips.distance_to(&images, &reference)?.max().double_value(&[]), 0.0);
/// # Ok::<(), vqkit_losses::LossError>(())
/// ```
#[derive(Debug)]
pub struct Lpips {
    net: Vgg16,
    heads: Vec<Tensor>,
    shift: Tensor,
    scale: Tensor,
}

impl Lpips {
    /// The shortest side of images that it takes.
    pub const LEAST_SIZE: i64 = LEAST_SIZE;

    /// A network to be loaded, with its variables at `vs`.
    pub fn new(vs: &nn::Path) -> Self {
        let head = |(k, channels): (usize, &i64)| {
            unset(&(vs / format!("lin{k}") / "model" / 1), "weight", &[1, *channels, 1, 1])
        };
        let scaling = vs / "scaling_layer";
        let constant = |name, values: &[f32]| scaling.add(name, channels(values).to_device(vs.device()), false);
        Self {
            net: Vgg16::new(&(vs / "net")),
            heads: CHANNELS.iter().enumerate().map(head).collect(),
            shift: constant("shift", &SHIFT),
            scale: constant("scale", &SCALE),
        }
    }
}

impl Perceptual for Lpips {
    /// relu1_2, relu2_2, relu3_3, relu4_3 and relu5_3 of images with three channels, or one, which then stands for all.
    fn features(&self, images: &Tensor) -> Result<Features, LossError> {
        if !matches!(images.size()[..], [_, 1 | 3, _, _]) {
            let want = "[B, 3, H, W] or [B, 1, H, W]".to_owned();
            return Err(LossError::Shape { what: "images", want, got: images.size() });
        }
        self.net.features(&((images.to_kind(Kind::Float) - &self.shift) / &self.scale))
    }

    fn prepare(&mut self, kind: Kind) {
        self.net.prepare(kind);
    }

    fn weights(&self) -> &[Tensor] {
        &self.heads
    }
}

/// One value for each channel of images.
pub(super) fn channels(values: &[f32]) -> Tensor {
    Tensor::from_slice(values).view([1, -1, 1, 1])
}
