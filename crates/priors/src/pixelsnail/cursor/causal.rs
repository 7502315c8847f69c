//! A causal convolution: the rows above a row at a time, when the row begins, and the row itself a position at a time.

use tch::{Device, Kind, Tensor};

use super::linear::bias_or_zero;
use crate::pixelsnail::conv::Conv;

/// The batch, the row and the memory that all convolutions of a cursor share.
#[derive(Debug)]
pub(super) struct Workspace {
    pub batch: i64,
    /// Positions of a row.
    pub width: i64,
    pub options: (Kind, Device),
    /// Memory for the input of one convolution while a row begins.
    scratch: Tensor,
}

impl Workspace {
    /// For kernels of `kernel_size` on at most `channel` channels.
    pub(super) fn new(batch: i64, width: i64, kernel_size: i64, channel: i64, options: (Kind, Device)) -> Self {
        let scratch = Tensor::empty([batch * width * (kernel_size - 1) * kernel_size * channel], options);
        Self { batch, width, options, scratch }
    }
}

/// One convolution of `D` channels, its window on the input, and its parameters arranged for products.
#[derive(Debug)]
pub(super) struct CausalConv {
    /// The row being written and the `k - 1` above it, oldest first, `[k, B, W + 2r, D]`, with `r` columns of zeros on both
    /// sides, where `r` is the radius of the kernel, `k / 2`.
    rows: Tensor,
    /// The rows above, as the taps of every position: `[B, W, k - 1, k · D]`.
    taps: Tensor,
    /// A contiguous copy of `taps`, in memory that all convolutions share.
    columns: Tensor,
    /// `[(k - 1) · k · D, out]`
    above: Tensor,
    bias: Tensor,
    /// The contribution of the rows above, `[B · W, out]`.
    base: Tensor,
    /// The same by column, `[B, out]`.
    bases: Vec<Tensor>,
    /// The row's input left of a column, `[B, r · D]`.
    windows: Vec<Tensor>,
    /// `[r · D, out]`
    left: Tensor,
    /// The input by column, `[B, D]`.
    slots: Vec<Tensor>,
}

impl CausalConv {
    pub(super) fn new(conv: &Conv, workspace: &Workspace) -> Self {
        let weight = conv.weight();
        let [out, dim, kernel] = [0, 1, 2].map(|axis| weight.size()[axis]);
        let Workspace { batch, width, options, .. } = *workspace;
        let radius = kernel / 2;
        let padded = width + 2 * radius;
        let rows = Tensor::zeros([kernel, batch, padded, dim], options);
        let shape = [batch, width, kernel - 1, kernel * dim];
        let base = Tensor::empty([batch * width, out], options);
        let by_column = base.view([batch, width, out]);
        let row = rows.select(0, -1);
        let columns = 0..width;
        Self {
            taps: rows.as_strided(shape, [padded * dim, dim, batch * padded * dim, 1], None),
            columns: workspace.scratch.narrow(0, 0, shape.iter().product()).view(shape),
            above: weight.narrow(2, 0, kernel - 1).permute([2, 3, 1, 0]).reshape([-1, out]),
            bias: bias_or_zero(&weight, conv.bias()),
            bases: columns.clone().map(|column| by_column.select(1, column)).collect(),
            windows: columns.clone().map(|column| row.narrow(1, column, radius).flatten(1, 2)).collect(),
            left: weight.select(2, -1).narrow(2, 0, radius).permute([2, 1, 0]).reshape([-1, out]),
            slots: columns.map(|column| row.select(1, radius + column)).collect(),
            base,
            rows,
        }
    }

    /// Begins a row: the one that was written becomes the last of those above. `added` `[B · W, out]` is added to the output.
    pub(super) fn begin_row(&self, added: Option<&Tensor>) {
        for index in 1..self.rows.size()[0] {
            self.rows.get(index - 1).copy_(&self.rows.get(index));
        }
        self.columns.shallow_clone().copy_(&self.taps);
        let columns = self.columns.view([self.base.size()[0], -1]);
        let _ = self.bias.addmm_out(&self.base, &columns, &self.above);
        if let Some(added) = added {
            let _ = self.base.shallow_clone().g_add_(added);
        }
    }

    /// Memory for the input of `column`, `[B, D]`; it is not read before.
    pub(super) fn slot(&self, column: usize) -> &Tensor {
        &self.slots[column]
    }

    /// Writes the output at `column`, `[B, out]`, from all earlier positions.
    pub(super) fn run(&self, column: usize, out: &Tensor) {
        let _ = self.bases[column].addmm_out(out, &self.windows[column], &self.left);
    }
}
