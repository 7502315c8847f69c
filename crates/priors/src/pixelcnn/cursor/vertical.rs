//! The vertical stack, a row at a time.

use tch::Tensor;

use super::linear::{Linear, bias};
use crate::PriorError;
use crate::pixelcnn::context::Context;
use crate::pixelcnn::layer::GatedLayer;
use crate::pixelcnn::network::Network;

/// All layers of the vertical stack.
#[derive(Debug)]
pub(super) struct VerticalStack {
    layers: Vec<VerticalLayer>,
    /// Of the condition grids, `[H, B · W, D]`.
    features: Option<Tensor>,
}

/// One layer: the rows it still needs of its input, and its parameters arranged for products.
#[derive(Debug)]
struct VerticalLayer {
    /// The last rows of the input, `[R, B, W + 2r, D]`, oldest first, with `r` columns of zeros on both sides.
    rows: Tensor,
    /// The same memory, as the taps of every position: `[B, W, R, (2r + 1) · D]`.
    taps: Tensor,
    /// A contiguous copy of `taps`.
    columns: Tensor,
    conv: Linear,
    /// To the horizontal stack, its own bias included.
    to_horizontal: Linear,
    /// Of the class, `[B, 1, 2D]`.
    class: Option<Tensor>,
    /// Of the features, `[D, 2D]`.
    condition: Option<Tensor>,
    /// The output for the horizontal layer, `[B · W, 2D]`.
    base: Tensor,
}

impl VerticalStack {
    /// For rows of `width` positions.
    pub(super) fn new(network: &Network, width: i64, context: &Context, batch: i64) -> Result<Self, PriorError> {
        let layers = network.layers.iter().map(|layer| VerticalLayer::new(layer, context, batch, width));
        let rows_first = |map: &Tensor| map.permute([2, 0, 3, 1]).contiguous().flatten(1, 2);
        Ok(Self { layers: layers.collect::<Result<_, _>>()?, features: context.features.as_ref().map(rows_first) })
    }

    /// What each layer gives the horizontal stack, `[B, W, 2D]`: always the same memory.
    pub(super) fn bases(&self) -> Vec<Tensor> {
        let of_layer = |layer: &VerticalLayer| layer.base.view([layer.taps.size()[0], layer.taps.size()[1], -1]);
        self.layers.iter().map(of_layer).collect()
    }

    /// Computes `row` of all layers from the rows above; `tokens` are the embedded tokens of the last of them, `[B, W, D]`.
    pub(super) fn begin_row(&self, row: i64, tokens: &Tensor) {
        if row > 0 {
            self.layers[0].append(tokens);
        }
        let features = self.features.as_ref().map(|features| features.get(row));
        for (index, layer) in self.layers.iter().enumerate() {
            let out = layer.run(features.as_ref());
            if let Some(next) = self.layers.get(index + 1) {
                next.append(&gate(out));
            }
        }
    }
}

impl VerticalLayer {
    fn new(layer: &GatedLayer, context: &Context, batch: i64, width: i64) -> Result<Self, PriorError> {
        let (dim, radius) = (layer.shape.dim, layer.shape.radius());
        // The input of the first layer ends with the row above.
        let num_rows = layer.shape.taps();
        let options = (layer.vert_stack.ws.kind(), layer.vert_stack.ws.device());
        let padded = width + 2 * radius;
        let rows = Tensor::zeros([num_rows, batch, padded, dim], options);
        let shape = [batch, width, num_rows, (2 * radius + 1) * dim];
        let weight = layer.vert_stack.ws.narrow(2, 0, num_rows).permute([2, 3, 1, 0]);
        let to_horizontal = Linear::new(&layer.vert_to_horiz);
        let class = layer.class_bias(context)?;
        Ok(Self {
            taps: rows.as_strided(shape, [padded * dim, dim, batch * padded * dim, 1], None),
            columns: Tensor::empty(shape, options),
            rows,
            conv: Linear { weight: weight.reshape([-1, 2 * dim]), bias: bias(&layer.vert_stack) },
            to_horizontal: Linear { bias: to_horizontal.bias + bias(&layer.horiz_stack), ..to_horizontal },
            class: class.map(|class| class.unsqueeze(1)),
            condition: layer.condition.as_ref().map(|weight| weight.flatten(1, 3).transpose(0, 1).contiguous()),
            base: Tensor::empty([batch * width, 2 * dim], options),
        })
    }

    /// Adds a row `[B, W, D]` to the input and forgets the oldest.
    fn append(&self, row: &Tensor) {
        let last = self.rows.size()[0] - 1;
        for index in 0..last {
            self.rows.get(index).copy_(&self.rows.get(index + 1));
        }
        let radius = (self.rows.size()[2] - row.size()[1]) / 2;
        self.rows.get(last).narrow(1, radius, row.size()[1]).copy_(row);
    }

    /// Fills `base`; returns the layer's own channels before the gate, `[B, W, 2D]`.
    fn run(&self, features: Option<&Tensor>) -> Tensor {
        self.columns.shallow_clone().copy_(&self.taps);
        let above = self.conv.forward(&self.columns.view([self.base.size()[0], -1]));
        let _ = self.to_horizontal.bias.addmm_out(&self.base, &above, &self.to_horizontal.weight);
        if let Some((features, weight)) = features.zip(self.condition.as_ref()) {
            let added = features.mm(weight);
            let _ = (self.base.shallow_clone().g_add_(&added), above.shallow_clone().g_add_(&added));
        }
        let shape = [self.taps.size()[0], self.taps.size()[1], -1];
        if let Some(class) = &self.class {
            let _ = (self.base.view(shape).g_add_(class), above.view(shape).g_add_(class));
        }
        above.view(shape)
    }
}

/// `tanh(a) · sigmoid(b)` of the two halves of the last axis; the input is overwritten.
fn gate(channels: Tensor) -> Tensor {
    let half = channels.size()[2] / 2;
    let _ = channels.narrow(2, 0, half).tanh_();
    channels.glu(2)
}
