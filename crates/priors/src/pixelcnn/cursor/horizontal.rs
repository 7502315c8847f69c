//! The horizontal stack, a position at a time.

use tch::Tensor;

use super::linear::Linear;
use crate::pixelcnn::layer::GatedLayer;
use crate::pixelcnn::network::Network;

/// All layers of the horizontal stack. Every view that a step needs is made once, at the start.
#[derive(Debug)]
pub(super) struct HorizontalStack {
    layers: Vec<HorizontalLayer>,
    /// The embedded tokens of the row, `[B, W, D]`.
    tokens: Tensor,
    /// Places of `tokens`, `[B, D]` each.
    token_slots: Vec<Tensor>,
    top: Tensor,
    gates: Gates,
}

/// One layer: views of its input and output, by column, and its parameters arranged for products.
#[derive(Debug)]
struct HorizontalLayer {
    /// From the vertical stack, `[B, 2D]`.
    bases: Vec<Tensor>,
    /// The input under the kernel, `[B, taps · D]`.
    windows: Vec<Tensor>,
    /// What the output is added to, `[B, D]`.
    skips: Vec<Tensor>,
    /// Where the output goes, `[B, D]`.
    outputs: Vec<Tensor>,
    /// `[taps · D, 2D]`
    conv: Tensor,
    /// `[D + 1, D]`: the last row is the bias.
    residual: Tensor,
}

/// The buffers between the two products of a layer.
#[derive(Debug)]
struct Gates {
    /// `[B, 2D]`
    channels: Tensor,
    /// The first half of `channels`.
    signal: Tensor,
    /// `[B, D + 1]`: the last column is one, for the bias.
    extended: Tensor,
    /// The first `D` columns of `extended`.
    gated: Tensor,
}

impl HorizontalStack {
    /// `bases`: what the vertical stack gives each layer, `[B, W, 2D]`, in memory that it writes again for every row.
    pub(super) fn new(network: &Network, batch: i64, bases: &[Tensor]) -> Self {
        let (dim, width) = (network.embedding.size()[1], bases[0].size()[1]);
        let options = (network.embedding.kind(), network.embedding.device());
        // Inputs of all layers, `[B, r + W, D]`, with `r` columns of zeros on the left.
        let input = |layer: &GatedLayer| Tensor::zeros([batch, layer.shape.radius() + width, dim], options);
        let inputs: Vec<Tensor> = network.layers.iter().map(input).collect();
        let slots = |layer: usize| {
            let radius = network.layers[layer].shape.radius();
            (0..width).map(|column| inputs[layer].select(1, radius + column)).collect::<Vec<_>>()
        };
        let top = Tensor::zeros([batch, dim], options);
        let nothing = Tensor::zeros([batch, dim], options);
        let repeat = |tensor: &Tensor| (0..width).map(|_| tensor.shallow_clone()).collect::<Vec<_>>();
        let layer = |(index, layer): (usize, &GatedLayer)| {
            let taps = layer.shape.taps();
            HorizontalLayer {
                bases: (0..width).map(|column| bases[index].select(1, column)).collect(),
                windows: (0..width).map(|column| inputs[index].narrow(1, column, taps).flatten(1, 2)).collect(),
                skips: if layer.shape.first { repeat(&nothing) } else { slots(index) },
                outputs: if index + 1 < inputs.len() { slots(index + 1) } else { repeat(&top) },
                conv: layer.horiz_stack.ws.select(2, 0).narrow(2, 0, taps).permute([2, 1, 0]).reshape([-1, 2 * dim]),
                residual: with_bias(&Linear::new(&layer.horiz_resid)),
            }
        };
        let layers = network.layers.iter().enumerate().map(layer).collect();
        let radius = network.layers[0].shape.radius();
        let tokens = inputs[0].narrow(1, radius, width);
        Self { layers, tokens, token_slots: slots(0), top, gates: Gates::new(batch, dim, options) }
    }

    /// Runs all layers at `column` of the row.
    pub(super) fn step(&self, column: usize) {
        let Gates { channels, signal, extended, gated } = &self.gates;
        for layer in &self.layers {
            let _ = layer.bases[column].addmm_out(channels, &layer.windows[column], &layer.conv);
            let _ = signal.shallow_clone().tanh_();
            let _ = channels.glu_out(gated, 1);
            let _ = layer.skips[column].addmm_out(&layer.outputs[column], extended, &layer.residual);
        }
    }

    /// The last layer's output at the last step's position, `[B, D]`.
    pub(super) fn top(&self) -> &Tensor {
        &self.top
    }

    /// Writes an embedded token `[B, D]`.
    pub(super) fn write(&self, column: usize, embedded: &Tensor) {
        self.token_slots[column].shallow_clone().copy_(embedded);
    }

    /// The embedded tokens of the row, `[B, W, D]`.
    pub(super) fn tokens(&self) -> &Tensor {
        &self.tokens
    }
}

impl Gates {
    fn new(batch: i64, dim: i64, options: (tch::Kind, tch::Device)) -> Self {
        let channels = Tensor::zeros([batch, 2 * dim], options);
        let extended = Tensor::ones([batch, dim + 1], options);
        Self { signal: channels.narrow(1, 0, dim), gated: extended.narrow(1, 0, dim), channels, extended }
    }
}

/// The weight with the bias below it.
fn with_bias(linear: &Linear) -> Tensor {
    Tensor::cat(&[&linear.weight, &linear.bias.unsqueeze(0)], 0)
}
