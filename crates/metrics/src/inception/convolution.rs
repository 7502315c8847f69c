//! A convolution with the batch normalization behind it folded in.

use std::collections::{BTreeMap, BTreeSet};

use tch::{Device, Kind, Tensor};

use crate::MetricsError;

/// Of every batch normalization.
const EPSILON: f64 = 1e-3;

/// A convolution with a bias, its channels side by side in memory.
#[derive(Debug)]
pub(super) struct Convolution {
    /// `[out, in, kh, kw]`
    weight: Tensor,
    /// `[out]`
    bias: Tensor,
    stride: i64,
    padding: [i64; 2],
}

impl Convolution {
    /// What it gives, before any rectification.
    pub(super) fn linear(&self, x: &Tensor) -> Tensor {
        x.conv2d(&self.weight, Some(&self.bias), [self.stride; 2], self.padding, [1, 1], 1)
    }

    /// What it gives, rectified.
    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        self.linear(x).relu_()
    }

    /// Channels that it gives.
    pub(super) fn channels(&self) -> i64 {
        self.bias.size()[0]
    }

    /// One convolution that gives the channels of all of these, which look at the same positions of the same input.
    pub(super) fn beside(parts: &[Self]) -> Self {
        let all = |of: fn(&Self) -> &Tensor| Tensor::cat(&parts.iter().map(of).collect::<Vec<_>>(), 0);
        Self {
            weight: channels_last(&all(|part| &part.weight)),
            bias: all(|part| &part.bias),
            stride: parts[0].stride,
            padding: parts[0].padding,
        }
    }
}

/// The tensors of a state dict of which the network is made.
pub(super) struct State<'a> {
    tensors: &'a BTreeMap<String, Tensor>,
    taken: BTreeSet<String>,
    device: Device,
}

impl<'a> State<'a> {
    pub(super) fn new(tensors: &'a BTreeMap<String, Tensor>, device: Device) -> Self {
        Self { tensors, taken: BTreeSet::new(), device }
    }

    /// The tensor of this name, on the device, fp32.
    pub(super) fn take(&mut self, name: &str, shape: &[i64]) -> Result<Tensor, MetricsError> {
        let tensor = self.tensors.get(name).ok_or_else(|| {
            MetricsError::Weights(format!("these are not the weights of FID's InceptionV3: `{name}` is missing"))
        })?;
        if tensor.size() != shape {
            let got = tensor.size();
            return Err(MetricsError::Weights(format!("`{name}` must have shape {shape:?}, got {got:?}")));
        }
        self.taken.insert(name.to_owned());
        Ok(tensor.detach().to_device(self.device).to_kind(Kind::Float))
    }

    /// The convolution `name.conv` with `name.bn` folded in, of the moments that training gathered; in f64, then rounded.
    pub(super) fn convolution(
        &mut self,
        name: &str,
        channels: [i64; 2],
        kernel: [i64; 2],
        stride: i64,
        padding: [i64; 2],
    ) -> Result<Convolution, MetricsError> {
        let [channels_in, channels_out] = channels;
        let weight = self.take(&format!("{name}.conv.weight"), &[channels_out, channels_in, kernel[0], kernel[1]])?;
        let mut moments = ["weight", "bias", "running_mean", "running_var"].map(|part| {
            let tensor = self.take(&format!("{name}.bn.{part}"), &[channels_out]);
            tensor.map(|tensor| tensor.to_device(Device::Cpu).to_kind(Kind::Double))
        });
        let mut next = |index: usize| std::mem::replace(&mut moments[index], Ok(Tensor::new()));
        let (gain, shift, mean, variance) = (next(0)?, next(1)?, next(2)?, next(3)?);
        let scale = gain / (variance + EPSILON).sqrt();
        let folded = weight.to_device(Device::Cpu).to_kind(Kind::Double) * scale.view([-1, 1, 1, 1]);
        let place = |tensor: Tensor| tensor.to_kind(Kind::Float).to_device(self.device);
        Ok(Convolution { weight: channels_last(&place(folded)), bias: place(shift - mean * scale), stride, padding })
    }

    /// The first name that belongs to nothing that was taken, nor to what the file has beside: the auxiliary classifier and the
    /// counters of batches.
    pub(super) fn stranger(&self) -> Option<&'a str> {
        let beside = |name: &str| name.starts_with("AuxLogits.") || name.ends_with(".num_batches_tracked");
        self.tensors.keys().map(String::as_str).find(|name| !self.taken.contains(*name) && !beside(name))
    }
}

/// The same tensor `[A, C, h, w]` with the numbers of a position side by side.
pub(super) fn channels_last(x: &Tensor) -> Tensor {
    x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}
