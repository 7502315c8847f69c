//! A small VGG for use: convolutions with bias, no normalisation, nothing trainable.

use std::collections::BTreeMap;

use tch::{Device, Kind, Tensor};

use super::pooling::{halve, mean_over_space};
use crate::{Features, LossError, Perceptual};

const CLASSIFIER: [&str; 2] = ["classifier.weight", "classifier.bias"];

/// The network of [`SmallVgg::freeze`](super::SmallVgg::freeze): classes, features and their means, without a gradient of
/// its own.
#[derive(Debug)]
pub struct FrozenVgg {
    /// Weight `[to, from, 3, 3]` and bias `[to]` of every convolution of every stage.
    stages: Vec<Vec<(Tensor, Tensor)>>,
    /// Weight `[classes, width]` and bias `[classes]`.
    classifier: (Tensor, Tensor),
    /// What the channels of every stage weigh in a distance: `[1, C, 1, 1]`.
    weights: Vec<Tensor>,
}

impl FrozenVgg {
    pub(super) fn new(stages: Vec<Vec<(Tensor, Tensor)>>, classifier: (Tensor, Tensor)) -> Self {
        let share = 1.0 / stages.len() as f64;
        let weights = stages.iter().filter_map(|stage| Some(stage.last()?.1.full_like(share).view([1, -1, 1, 1])));
        let weights = weights.collect();
        Self { stages, classifier, weights }
    }

    /// From named tensors, as [`tensors`](Self::tensors) gives them, in whatever precision they are kept.
    ///
    /// # Errors
    /// [`LossError::Weights`] when a tensor is missing, has another shape than its neighbours ask for, or is none of these.
    pub fn from_tensors(tensors: &BTreeMap<String, Tensor>, device: Device) -> Result<Self, LossError> {
        let mut left: BTreeMap<&str, Tensor> = tensors
            .iter()
            .map(|(name, tensor)| (name.as_str(), tensor.to_device(device).to_kind(Kind::Float).detach()))
            .collect();
        let mut take = |name: &str| left.remove(name);
        let mut stages: Vec<Vec<(Tensor, Tensor)>> = Vec::new();
        loop {
            let layers = (0..).map_while(|index| {
                let name = format!("stages.{}.{index}", stages.len());
                match (take(&format!("{name}.weight")), take(&format!("{name}.bias"))) {
                    (Some(weight), Some(bias)) => Some(Ok((weight, bias))),
                    (None, None) => None,
                    _ => Some(Err(LossError::Weights(format!("`{name}` needs both weight and bias")))),
                }
            });
            let stage = layers.collect::<Result<Vec<_>, LossError>>()?;
            if stage.is_empty() {
                break;
            }
            stages.push(stage);
        }
        let [weight, bias] = CLASSIFIER.map(&mut take);
        let (Some(weight), Some(bias)) = (weight, bias) else {
            return Err(LossError::Weights(format!("a small VGG's classifier is missing: {}", CLASSIFIER.join(", "))));
        };
        if let Some(name) = left.keys().next() {
            return Err(LossError::Weights(format!(
                "`{name}` does not belong to a small VGG, or a layer before it is missing"
            )));
        }
        let network = Self::new(stages, (weight, bias));
        network.check()?;
        Ok(network)
    }

    /// Whether every layer takes what the layer before it gives.
    fn check(&self) -> Result<(), LossError> {
        let convolutions = || self.stages.iter().flatten();
        let (weight, bias) = &self.classifier;
        let mut width = None;
        for (weight, bias) in convolutions() {
            match (weight.size().as_slice(), bias.size().as_slice()) {
                (&[to, from, 3, 3], &[of]) if of == to && width.is_none_or(|width| width == from) => width = Some(to),
                (weight, bias) => return Err(misfit("convolution", weight, bias, width)),
            }
        }
        match (weight.size().as_slice(), bias.size().as_slice()) {
            (&[classes, from], &[of]) if of == classes && width == Some(from) => Ok(()),
            (weight, bias) => Err(misfit("classifier", weight, bias, width)),
        }
    }

    /// All weights by name: `stages.S.I.weight`, `stages.S.I.bias`, `classifier.weight` and `classifier.bias`.
    pub fn tensors(&self) -> BTreeMap<String, Tensor> {
        let mut tensors = BTreeMap::new();
        for (stage, layers) in self.stages.iter().enumerate() {
            for (index, (weight, bias)) in layers.iter().enumerate() {
                tensors.insert(format!("stages.{stage}.{index}.weight"), weight.shallow_clone());
                tensors.insert(format!("stages.{stage}.{index}.bias"), bias.shallow_clone());
            }
        }
        let (weight, bias) = &self.classifier;
        tensors.extend(CLASSIFIER.map(str::to_owned).into_iter().zip([weight.shallow_clone(), bias.shallow_clone()]));
        tensors
    }

    /// Channels that images have.
    pub fn in_channels(&self) -> i64 {
        self.stages[0][0].0.size()[1]
    }

    /// The shortest side that reaches the last stage.
    pub fn least_size(&self) -> i64 {
        1 << (self.stages.len() - 1)
    }

    /// Width of [`pooled`](Self::pooled).
    pub fn width(&self) -> i64 {
        self.classifier.0.size()[1]
    }

    /// The last features, averaged over the picture: `[B, C, H, W]` in `[-1, 1]` to `[B, width]`, f32.
    ///
    /// # Errors
    /// [`LossError::Shape`] and [`LossError::Size`] for images that the network cannot take.
    pub fn pooled(&self, images: &Tensor) -> Result<Tensor, LossError> {
        let features = self.features(images)?;
        let last = &features.maps()[self.stages.len() - 1];
        Ok(mean_over_space(last).to_kind(Kind::Float))
    }

    fn check_images(&self, images: &Tensor) -> Result<(), LossError> {
        let (size, least) = (images.size(), self.least_size());
        match size[..] {
            [_, channels, height, width] if channels == self.in_channels() && height.min(width) >= least => Ok(()),
            [_, channels, height, width] if channels == self.in_channels() => {
                let network = format!("a small VGG of {} stages", self.stages.len());
                Err(LossError::Size { height, width, network, least })
            }
            _ => {
                let want = format!("[B, {}, H, W]", self.in_channels());
                Err(LossError::Shape { what: "images", want, got: size })
            }
        }
    }

    /// Logits `[B, classes]` of pooled features `[B, width]`.
    pub fn classify(&self, pooled: &Tensor) -> Tensor {
        pooled.linear(&self.classifier.0, Some(&self.classifier.1))
    }
}

impl Perceptual for FrozenVgg {
    /// The output of every stage, `[B, widths[s], H / 2^s, W / 2^s]`.
    fn features(&self, images: &Tensor) -> Result<Features, LossError> {
        self.check_images(images)?;
        let mut maps: Vec<Tensor> = Vec::with_capacity(self.stages.len());
        for stage in &self.stages {
            let x = maps.last().map_or_else(|| images.shallow_clone(), halve);
            maps.push(
                stage
                    .iter()
                    .fold(x, |x, (weight, bias)| x.conv2d(weight, Some(bias), [1, 1], [1, 1], [1, 1], 1).relu_()),
            );
        }
        Ok(Features::new(maps))
    }

    /// All channels of a stage weigh alike, and all stages together 1.
    fn weights(&self) -> &[Tensor] {
        &self.weights
    }
}

fn misfit(layer: &str, weight: &[i64], bias: &[i64], width: Option<i64>) -> LossError {
    let before = width.map_or_else(|| "nothing".into(), |width| format!("{width} channels"));
    LossError::Weights(format!("a {layer} of shape {weight:?} with a bias of shape {bias:?} after {before}"))
}

#[cfg(test)]
mod tests {
    use tch::nn;
    use vqkit_testing::generator;

    use super::*;
    use crate::{SmallVgg, SmallVggConfig};

    fn trained() -> (SmallVgg, Tensor) {
        let _generator = generator(5);
        let vs = nn::VarStore::new(Device::Cpu);
        let network =
            SmallVgg::new(&vs.root(), 3, 4, &SmallVggConfig { widths: vec![8, 12], convolutions: 2 }).unwrap();
        let images = Tensor::rand([16, 3, 8, 8], (Kind::Float, Device::Cpu)) * 2.0 - 1.0;
        for _ in 0..20 {
            let _ = network.logits(&images, true);
        }
        (network, images)
    }

    #[test]
    fn a_frozen_network_gives_the_logits_of_the_trained_one() {
        let (network, images) = trained();
        let frozen = network.freeze();
        let frozen = FrozenVgg::from_tensors(&frozen.tensors(), Device::Cpu).unwrap();
        let (want, got) = (network.logits(&images, false), frozen.classify(&frozen.pooled(&images).unwrap()));
        assert!(got.allclose(&want, 1e-4, 1e-5, false), "{got} {want}");
        let shapes: Vec<_> = frozen.features(&images).unwrap().maps().iter().map(Tensor::size).collect();
        assert_eq!(shapes, [[16, 8, 8, 8], [16, 12, 4, 4]]);
        assert!(!got.requires_grad());
    }

    #[test]
    fn tensors_that_do_not_belong_together_are_refused() {
        let frozen = trained().0.freeze();
        let refused = |change: fn(&mut BTreeMap<String, Tensor>)| {
            let mut tensors = frozen.tensors();
            change(&mut tensors);
            FrozenVgg::from_tensors(&tensors, Device::Cpu).unwrap_err().to_string()
        };
        assert!(refused(|tensors| drop(tensors.remove("classifier.bias"))).contains("classifier.bias"));
        assert!(refused(|tensors| drop(tensors.remove("stages.0.1.bias"))).contains("`stages.0.1`"));
        let odd = |tensors: &mut BTreeMap<String, Tensor>| {
            tensors.insert("stages.1.0.weight".into(), Tensor::zeros([12, 9, 3, 3], (Kind::Float, Device::Cpu)));
        };
        assert!(refused(odd).contains("[12, 9, 3, 3]"));
    }
}
