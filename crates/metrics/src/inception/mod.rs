//! InceptionV3 as FID takes it.

mod block;
mod convolution;

use std::collections::BTreeMap;

use tch::{Device, Kind, Tensor, no_grad};

use self::{
    block::{Block, Builder, Layer},
    convolution::{Convolution, State, channels_last},
};
use crate::MetricsError;

/// Height and width at which the network looks at pictures.
const SIZE: i64 = 299;
/// Width of the pooled features.
const WIDTH: i64 = 2048;
/// Outputs of the classifier: ImageNet's thousand classes and eight that mean nothing.
const CLASSES: i64 = 1008;

/// The network of FID: InceptionV3 with the weights that were published with the Inception Score (Szegedy et al. 2016; Heusel et
/// al. 2017), as pytorch-fid has it.
///
/// It differs from torchvision's in that averages leave the padding out and that the last block takes maxima. Batch
/// normalization is folded into the convolutions, and the 1 by 1 convolutions of a block's input are one.
///
/// ```no_run
/// use tch::{Device, Tensor};
/// use vqkit_metrics::FidInception;
/// use vqkit_torch::weights;
///
/// let state = weights::read_any("pt_inception-2015-12-05-6726825d.pth".as_ref())?;
/// let network = FidInception::from_tensors(&state, Device::Cpu)?;
/// let features = network.features(&Tensor::zeros([2, 3, 32, 32], (tch::Kind::Float, Device::Cpu)))?;
/// assert_eq!(features.size(), [2, 2048]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct FidInception {
    /// Up to each of the two first maxima.
    stems: [Vec<Convolution>; 2],
    /// Up to the auxiliary classifier, and from there on.
    mixed: [Vec<Block>; 2],
    /// `[1008, 2048]`
    classifier: Option<Tensor>,
    device: Device,
}

impl FidInception {
    /// Width of [`features`](Self::features).
    pub const WIDTH: i64 = WIDTH;

    /// From a state dict with the names of torchvision's inception, as pytorch-fid publishes it. The classifier `fc` may be
    /// missing; then there are no [`probabilities`](Self::probabilities).
    ///
    /// # Errors
    /// [`MetricsError::Weights`] naming the tensor that is missing, has another shape, or does not belong there.
    pub fn from_tensors(tensors: &BTreeMap<String, Tensor>, device: Device) -> Result<Self, MetricsError> {
        let mut state = State::new(tensors, device);
        let mut plain = |name: &str, channels, kernel, stride, padding: i64| {
            state.convolution(name, channels, [kernel; 2], stride, [padding; 2])
        };
        let stems = [
            vec![
                plain("Conv2d_1a_3x3", [3, 32], 3, 2, 0)?,
                plain("Conv2d_2a_3x3", [32, 32], 3, 1, 0)?,
                plain("Conv2d_2b_3x3", [32, 64], 3, 1, 1)?,
            ],
            vec![plain("Conv2d_3b_1x1", [64, 80], 1, 1, 0)?, plain("Conv2d_4a_3x3", [80, 192], 3, 1, 0)?],
        ];
        let (coarse, channels) = up_to_the_auxiliary_classifier(&mut state, 192)?;
        let fine = to_the_end(&mut state, channels)?;
        let classifier = match tensors.contains_key("fc.weight") {
            true => Some((state.take("fc.weight", &[CLASSES, WIDTH])?, state.take("fc.bias", &[CLASSES])?).0),
            false => None,
        };
        match state.stranger() {
            None => Ok(Self { stems, mixed: [coarse, fine], classifier, device }),
            Some(name) => Err(MetricsError::Weights(format!("`{name}` does not belong to FID's InceptionV3"))),
        }
    }

    /// Pictures at the size of the network: bilinear without antialiasing, pixel centres at halves, as the network itself does
    /// where nobody did it before.
    ///
    /// # Shapes
    /// `[B, 3, H, W]` in any range to `[B, 3, 299, 299]`, fp32, on the network's device.
    ///
    /// # Errors
    /// [`MetricsError::Shape`] for pictures that are not in colour.
    pub fn resized(&self, images: &Tensor) -> Result<Tensor, MetricsError> {
        let [_, 3, height, width] = images.size()[..] else {
            let want = "[B, 3, H, W]".to_owned();
            return Err(MetricsError::Shape { what: "images", want, got: images.size() });
        };
        let images = images.to_device(self.device).to_kind(Kind::Float);
        match [height, width] == [SIZE; 2] {
            true => Ok(images),
            false => Ok(images.f_upsample_bilinear2d([SIZE; 2], false, None, None)?),
        }
    }

    /// The four outputs of pytorch-fid: after the first and the second maximum, before the auxiliary classifier, and the pooled
    /// features.
    ///
    /// # Shapes
    /// `[B, 3, H, W]` in `[-1, 1]` to `[B, 64, 73, 73]`, `[B, 192, 35, 35]`, `[B, 768, 17, 17]` and `[B, 2048]`.
    ///
    /// # Errors
    /// [`MetricsError::Shape`] for pictures that are not in colour.
    pub fn blocks(&self, images: &Tensor) -> Result<[Tensor; 4], MetricsError> {
        let halved = |x: Tensor| x.max_pool2d([3, 3], [2, 2], [0, 0], [1, 1], false);
        no_grad(|| {
            let images = channels_last(&self.resized(images)?);
            let [first, second] = &self.stems;
            let first = halved(first.iter().fold(images, |x, convolution| convolution.forward(&x)));
            let second = halved(second.iter().fold(first.shallow_clone(), |x, convolution| convolution.forward(&x)));
            let [coarse, fine] = &self.mixed;
            let third = coarse.iter().fold(second.shallow_clone(), |x, block| block.forward(&x));
            let last = fine.iter().fold(third.shallow_clone(), |x, block| block.forward(&x));
            Ok([first, second, third, last.mean_dim([2i64, 3].as_slice(), false, Kind::Float)])
        })
    }

    /// The pooled features, of which FID is made: `[B, 3, H, W]` in `[-1, 1]` to `[B, 2048]`.
    ///
    /// # Errors
    /// [`MetricsError::Shape`] for pictures that are not in colour.
    pub fn features(&self, images: &Tensor) -> Result<Tensor, MetricsError> {
        let [_, _, _, features] = self.blocks(images)?;
        Ok(features)
    }

    /// The probabilities of the classes, of which the Inception Score is made: `[B, 2048]` to `[B, 1008]`; `None` where the
    /// weights had no classifier. Its bias is left out, as the score's authors do.
    pub fn probabilities(&self, features: &Tensor) -> Option<Tensor> {
        let logits = |classifier: &Tensor| features.matmul(&classifier.tr());
        self.classifier.as_ref().map(|classifier| logits(classifier).softmax(-1, Kind::Float))
    }
}

/// Mixed_5b to Mixed_6e, and their channels.
fn up_to_the_auxiliary_classifier(state: &mut State, channels: i64) -> Result<(Vec<Block>, i64), MetricsError> {
    let (mut blocks, mut channels) = (Vec::new(), channels);
    let mut push = |(block, width): (Block, i64)| {
        blocks.push(block);
        width
    };
    for (name, pooled) in [("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)] {
        let block = Builder::new(state, name, channels)
            .branch(("branch1x1", 64), &[])?
            .branch(("branch5x5_1", 48), &[Layer::Same("branch5x5_2", 64, [5, 5])])?
            .branch(
                ("branch3x3dbl_1", 64),
                &[Layer::Same("branch3x3dbl_2", 96, [3, 3]), Layer::Same("branch3x3dbl_3", 96, [3, 3])],
            )?
            .average(pooled)?;
        channels = push(block);
    }
    let halved = Builder::new(state, "Mixed_6a", channels)
        .straight(&[Layer::Halving("branch3x3", 384)])?
        .branch(
            ("branch3x3dbl_1", 64),
            &[Layer::Same("branch3x3dbl_2", 96, [3, 3]), Layer::Halving("branch3x3dbl_3", 96)],
        )?
        .halve();
    channels = push(halved);
    for (name, inner) in [("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)] {
        let block = Builder::new(state, name, channels)
            .branch(("branch1x1", 192), &[])?
            .branch(
                ("branch7x7_1", inner),
                &[Layer::Same("branch7x7_2", inner, [1, 7]), Layer::Same("branch7x7_3", 192, [7, 1])],
            )?
            .branch(
                ("branch7x7dbl_1", inner),
                &[
                    Layer::Same("branch7x7dbl_2", inner, [7, 1]),
                    Layer::Same("branch7x7dbl_3", inner, [1, 7]),
                    Layer::Same("branch7x7dbl_4", inner, [7, 1]),
                    Layer::Same("branch7x7dbl_5", 192, [1, 7]),
                ],
            )?
            .average(192)?;
        channels = push(block);
    }
    Ok((blocks, channels))
}

/// Mixed_7a to Mixed_7c.
fn to_the_end(state: &mut State, channels: i64) -> Result<Vec<Block>, MetricsError> {
    let (halved, channels) = Builder::new(state, "Mixed_7a", channels)
        .branch(("branch3x3_1", 192), &[Layer::Halving("branch3x3_2", 320)])?
        .branch(
            ("branch7x7x3_1", 192),
            &[
                Layer::Same("branch7x7x3_2", 192, [1, 7]),
                Layer::Same("branch7x7x3_3", 192, [7, 1]),
                Layer::Halving("branch7x7x3_4", 192),
            ],
        )?
        .halve();
    let (averaged, channels) = wide(state, "Mixed_7b", channels)?.average(192)?;
    let (maximal, _) = wide(state, "Mixed_7c", channels)?.maximum(192)?;
    Ok(vec![halved, averaged, maximal])
}

/// The branches that the last two blocks share.
fn wide<'a, 'b>(state: &'a mut State<'b>, name: &'static str, channels: i64) -> Result<Builder<'a, 'b>, MetricsError> {
    Builder::new(state, name, channels)
        .branch(("branch1x1", 320), &[])?
        .branch(("branch3x3_1", 384), &[Layer::Fork(["branch3x3_2a", "branch3x3_2b"], 384)])?
        .branch(
            ("branch3x3dbl_1", 448),
            &[Layer::Same("branch3x3dbl_2", 384, [3, 3]), Layer::Fork(["branch3x3dbl_3a", "branch3x3dbl_3b"], 384)],
        )
}
