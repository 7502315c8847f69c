//! The convolutions of VGG16, up to relu5_3.

use tch::nn::{self, Path};
use tch::{Kind, Tensor};
use vqkit_torch::autocast;

use super::features::Features;
use crate::LossError;

/// Convolutions in each of the five slices, all but the first of which open with a 2 by 2 maximum.
const CONVOLUTIONS: [i64; 5] = [2, 2, 3, 3, 3];
/// Four halvings leave one position.
pub(super) const LEAST_SIZE: i64 = 16;

/// Channels of the five feature maps.
pub(super) const CHANNELS: [i64; 5] = [64, 128, 256, 512, 512];

/// Torchvision's `vgg16.features` without its last maximum (Simonyan & Zisserman 2015, configuration D), in the five
/// slices and with the names that lpips gives them: `slice1.0.weight` to `slice5.28.bias`.
///
/// It takes no gradient, and has to be loaded: until then its weights are NaN.
#[derive(Debug)]
pub struct Vgg16 {
    slices: Vec<Vec<Convolution>>,
}

#[derive(Debug)]
struct Convolution {
    /// `[out, in, 3, 3]`.
    weight: Tensor,
    /// `[out]`.
    bias: Tensor,
    /// Weight and bias in the kind of autocast.
    prepared: Option<[Tensor; 2]>,
}

impl Vgg16 {
    /// A trunk with its variables at `vs`.
    pub fn new(vs: &Path) -> Self {
        let mut channels_in = 3;
        let slices = layout().into_iter().zip(CHANNELS).enumerate().map(|(slice, (places, channels))| {
            let vs = vs / format!("slice{}", slice + 1);
            let convolutions = places.into_iter().map(|place| {
                let convolution = Convolution::new(&(&vs / place), channels_in, channels);
                channels_in = channels;
                convolution
            });
            convolutions.collect()
        });
        Self { slices: slices.collect() }
    }

    /// Keeps a copy of the weights in `kind`, which passes under autocast of that kind use; else these cast the weights
    /// every time.
    pub fn prepare(&mut self, kind: Kind) {
        self.slices.iter_mut().flatten().for_each(|convolution| convolution.prepare(kind));
    }

    /// relu1_2, relu2_2, relu3_3, relu4_3 and relu5_3.
    ///
    /// # Shapes
    /// `[B, 3, H, W]`, both sides at least 16, normalised as torchvision's models want it, to `[B, 64, H, W]`,
    /// `[B, 128, H/2, W/2]`, `[B, 256, H/4, W/4]`, `[B, 512, H/8, W/8]`, `[B, 512, H/16, W/16]`, rounded down; in the
    /// precision of autocast where that is on.
    ///
    /// # Errors
    /// [`LossError::Shape`] and [`LossError::Size`] for other images.
    pub fn features(&self, images: &Tensor) -> Result<Features, LossError> {
        check(images)?;
        let mut maps: Vec<Tensor> = Vec::new();
        for slice in &self.slices {
            let mut x = match maps.last() {
                None => images.shallow_clone(),
                Some(map) => map.f_max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false)?,
            };
            for convolution in slice {
                x = convolution.forward(&x)?.f_relu_()?;
            }
            maps.push(x);
        }
        Ok(Features::new(maps))
    }
}

impl Convolution {
    fn new(vs: &Path, channels_in: i64, channels_out: i64) -> Self {
        // The channels of a tap side by side: of images laid out so, convolutions would else copy the weights every time.
        let laid_out = Tensor::full([channels_out, 3, 3, channels_in], f64::NAN, (Kind::Float, vs.device()));
        let weight = vs.add("weight", laid_out.permute([0, 3, 1, 2]), false);
        Self { weight, bias: unset(vs, "bias", &[channels_out]), prepared: None }
    }

    fn prepare(&mut self, kind: Kind) {
        let differs = kind != self.weight.kind();
        self.prepared = differs.then(|| [&self.weight, &self.bias].map(|tensor| tensor.to_kind(kind)));
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor, tch::TchError> {
        let autocast = autocast::current(x.device());
        let prepared = self.prepared.as_ref().filter(|[weight, _]| Some(weight.kind()) == autocast);
        let (weight, bias) = prepared.map_or((&self.weight, &self.bias), |[weight, bias]| (weight, bias));
        x.f_conv2d(weight, Some(bias), [1, 1], [1, 1], [1, 1], 1)
    }
}

/// A variable without gradient that shows wherever it is used before it is loaded.
pub(super) fn unset(vs: &nn::Path, name: &str, shape: &[i64]) -> Tensor {
    vs.add(name, Tensor::full(shape, f64::NAN, (Kind::Float, vs.device())), false)
}

/// The places of the convolutions of every slice in torchvision's `features`, where ReLUs and maxima count too.
pub(super) fn layout() -> Vec<Vec<i64>> {
    let mut next = 0;
    let slices = CONVOLUTIONS.iter().map(|convolutions| {
        let places = (0..*convolutions).map(|n| next + 2 * n).collect();
        next += 2 * convolutions + 1;
        places
    });
    slices.collect()
}

fn check(images: &Tensor) -> Result<(), LossError> {
    let size = images.size();
    let [_, 3, height, width] = size[..] else {
        return Err(LossError::Shape { what: "images", want: "[B, 3, H, W]".to_owned(), got: size });
    };
    if height.min(width) < LEAST_SIZE {
        let network = "VGG16, which halves them four times".to_owned();
        return Err(LossError::Size { height, width, network, least: LEAST_SIZE });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn convolutions_stand_where_torchvision_has_them() {
        let expected = [vec![0, 2], vec![5, 7], vec![10, 12, 14], vec![17, 19, 21], vec![24, 26, 28]];
        assert_eq!(layout(), expected);
    }

    #[test]
    fn images_that_it_cannot_take_are_refused() {
        let vgg = Vgg16::new(&nn::VarStore::new(Device::Cpu).root());
        let refuse =
            |shape: &[i64]| vgg.features(&Tensor::zeros(shape, (Kind::Float, Device::Cpu))).unwrap_err().to_string();
        assert_eq!(refuse(&[1, 4, 32, 32]), "images must have shape [B, 3, H, W], got [1, 4, 32, 32]");
        let message = "images of 15 by 40 pixels are too small for VGG16, which halves them four times: \
                       it needs at least 16 by 16";
        assert_eq!(refuse(&[1, 3, 15, 40]), message);
    }
}
