//! The first features of a position, from the tokens around it.

use tch::{Kind, Tensor};

use crate::PriorError;
use crate::pixelsnail::input::Input;

/// Both convolutions of one-hot tokens as lookups in one table, a row for each tap and token.
#[derive(Debug)]
pub(super) struct TokenFeatures {
    /// All tokens, `[above + H, r + W + r, B]`; outside of the grid the token `K`, whose row of the table is zero.
    tokens: Tensor,
    /// Heights and widths of both kernels.
    kernels: [[i64; 2]; 2],
    /// `[taps · (K + 1), C]`
    table: Tensor,
    /// The first row of each tap, `[taps, 1]`.
    offsets: Tensor,
    /// Of the class, `[B, C]`.
    class: Option<Tensor>,
    /// `0..K`, in which pushed tokens are looked up, so that libtorch checks their range.
    codes: Tensor,
}

impl TokenFeatures {
    pub(super) fn new(input: &Input, grid: [i64; 2], batch: i64, class: Option<&Tensor>) -> Self {
        let (horizontal, vertical) = (input.horizontal.weight(), input.vertical.weight());
        let kernels = [&horizontal, &vertical].map(|weight| [weight.size()[2], weight.size()[3]]);
        let [channel, vocabulary] = [horizontal.size()[0], horizontal.size()[1]];
        let (options, [height, width]) = ((Kind::Int64, horizontal.device()), grid);
        let (above, radius) = (kernels[0][0], kernels[0][1] / 2);
        let [rows, columns] = kernels[1];
        // The bias of a convolution acts only where the shifted convolution does: where there is a position above, or to the left.
        let tables = [
            taps(&horizontal, input.horizontal.bias(), [above - 1, radius]),
            taps(&vertical, input.vertical.bias(), [rows - 1, columns - 1]),
        ];
        let table = Tensor::cat(&tables, 0).constant_pad_nd([0, 0, 0, 1]);
        let count = table.size()[0];
        Self {
            tokens: Tensor::full([above + height, width + 2 * radius, batch], vocabulary, options),
            kernels,
            table: table.view([count * (vocabulary + 1), channel]),
            offsets: (Tensor::arange(count, options) * (vocabulary + 1)).unsqueeze(1),
            class: class.map(|class| class.flatten(1, 3)),
            codes: Tensor::arange(vocabulary, options),
        }
    }

    /// `[B, C]`
    pub(super) fn features(&self, row: i64, column: i64) -> Tensor {
        let [[above, across], [rows, left]] = self.kernels;
        let batch = self.tokens.size()[2];
        let over = self.tokens.narrow(0, row, above).narrow(1, column, across);
        let before = self.tokens.narrow(0, row + above + 1 - rows, rows).narrow(1, column + across / 2 - left, left);
        let indices = Tensor::cat(&[over, before].map(|window| window.reshape([-1, batch])), 0) + &self.offsets;
        let features = self.table.index_select(0, &indices.flatten(0, 1));
        let sum = features.view([-1, batch, self.table.size()[1]]).sum_dim_intlist(0, false, features.kind());
        match &self.class {
            Some(class) => sum + class,
            None => sum,
        }
    }

    /// Writes the tokens `[B]` of a position.
    ///
    /// # Errors
    /// When a token is not below `K`, where libtorch looks.
    pub(super) fn write(&self, row: i64, column: i64, tokens: &Tensor) -> Result<(), PriorError> {
        let [[above, across], _] = self.kernels;
        let tokens = self.codes.f_index_select(0, &tokens.to_device(self.codes.device()))?;
        self.tokens.select(0, above + row).select(0, across / 2 + column).copy_(&tokens);
        Ok(())
    }
}

/// `[C, K, rows, columns]` to `[rows · columns, K, C]`, the bias in the tap `at`.
fn taps(weight: &Tensor, bias: Option<&Tensor>, at: [i64; 2]) -> Tensor {
    let table = weight.permute([2, 3, 1, 0]).contiguous();
    if let Some(bias) = bias {
        let _ = table.select(0, at[0]).select(0, at[1]).g_add_(bias);
    }
    table.flatten(0, 1)
}
