//! A linear layer whose weights are stored in the order in which the product reads them.

use tch::{Device, Kind, Tensor};

use super::panel::{self, Bf16, ROWS, Sums, WIDTH, Weight};
use crate::{PriorError, WeightDtype};

/// Rows whose sums are held at once.
const CHUNK: usize = 8 * ROWS;
/// Depth that stays in the first cache while all rows of a chunk pass over it.
const DEPTH: usize = 128;

/// `input · weightᵀ + bias` on the CPU, with the weights in panels of sixteen outputs.
#[derive(Debug)]
pub(crate) struct PackedLinear {
    outputs: usize,
    depth: usize,
    panels: Panels,
    bias: Vec<f32>,
}

#[derive(Debug)]
enum Panels {
    F32(Vec<f32>),
    Bf16(Vec<Bf16>),
    /// With a scale for each output.
    Int8(Vec<i8>, Vec<f32>),
}

/// What a product does to the row of outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutputRow {
    /// It replaces what was there.
    Store,
    /// It is added to what was there.
    Add,
}

impl PackedLinear {
    /// `weight` `[outputs, depth]` and `bias` `[outputs]`.
    pub(crate) fn new(weight: &Tensor, bias: Option<&Tensor>, dtype: WeightDtype) -> Result<Self, PriorError> {
        let (outputs, depth) = weight.size2()?;
        let (outputs, depth) = (outputs as usize, depth as usize);
        let plain = |tensor: &Tensor| -> Result<Vec<f32>, PriorError> {
            Ok(Vec::try_from(tensor.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?.f_contiguous()?.f_view([-1])?)?)
        };
        let weight = plain(weight)?;
        let panels = match dtype {
            WeightDtype::Fp32 => Panels::F32(pack(&weight, outputs, depth, |value, _| value)),
            WeightDtype::Bf16 => Panels::Bf16(pack(&weight, outputs, depth, |value, _| Bf16(to_bf16(value)))),
            WeightDtype::Int8 => {
                let scales: Vec<f32> = weight.chunks_exact(depth).map(scale).collect();
                let round = |value: f32, output: usize| (value / scales[output]).round() as i8;
                Panels::Int8(pack(&weight, outputs, depth, round), scales)
            }
        };
        Ok(Self { outputs, depth, panels, bias: bias.map_or_else(|| Ok(vec![0.0; outputs]), plain)? })
    }

    /// Puts `input` `[M, depth]` times the weights into `output` `[M, outputs]`; both f32 and contiguous.
    pub(crate) fn forward(&self, input: &[f32], output: &mut [f32], output_row: OutputRow) {
        let rows = input.len() / self.depth;
        assert!(input.len() == rows * self.depth && output.len() == rows * self.outputs);
        let place = Place(output.as_mut_ptr());
        match &self.panels {
            Panels::F32(values) => self.run(values, None, input, rows, &place, output_row),
            Panels::Bf16(values) => self.run(values, None, input, rows, &place, output_row),
            Panels::Int8(values, scales) => self.run(values, Some(scales), input, rows, &place, output_row),
        }
    }

    fn run<W: Weight>(
        &self,
        values: &[W],
        scales: Option<&[f32]>,
        input: &[f32],
        rows: usize,
        output: &Place,
        output_row: OutputRow,
    ) {
        vqkit_kernels::share_in_runs(self.outputs.div_ceil(WIDTH), &|index| {
            let panel = &values[index * WIDTH * self.depth..][..WIDTH * self.depth];
            let columns = index * WIDTH..self.outputs.min((index + 1) * WIDTH);
            for first in (0..rows).step_by(CHUNK) {
                let count = CHUNK.min(rows - first);
                let sums = chunk(&input[first * self.depth..], self.depth, count, panel);
                for (row, sums) in sums.as_flattened().iter().enumerate().take(count) {
                    for (column, sum) in columns.clone().zip(sums) {
                        let value = sum * scales.map_or(1.0, |scales| scales[column]) + self.bias[column];
                        // SAFETY: the length was compared in `forward`, and no other thread has these columns.
                        unsafe {
                            let place = output.0.add((first + row) * self.outputs + column);
                            *place = if output_row == OutputRow::Add { *place + value } else { value };
                        }
                    }
                }
            }
        });
    }
}

/// Where the threads write, each its own columns.
struct Place(*mut f32);

// SAFETY: every thread writes places of its own.
unsafe impl Sync for Place {}

/// The products of up to [`CHUNK`] rows with a panel.
fn chunk<W: Weight>(input: &[f32], depth: usize, count: usize, panel: &[W]) -> [Sums; CHUNK / ROWS] {
    let mut sums = [[[0f32; WIDTH]; ROWS]; CHUNK / ROWS];
    let block = if count <= ROWS { depth } else { DEPTH };
    for first in (0..depth).step_by(block) {
        let length = block.min(depth - first);
        for (part, sums) in sums.iter_mut().enumerate().take(count.div_ceil(ROWS)) {
            let rows = &input[part * ROWS * depth + first..];
            let weights = &panel[first * WIDTH..];
            panel::accumulate(rows, depth, ROWS.min(count - part * ROWS), length, weights, DEPTH * WIDTH, sums);
        }
    }
    sums
}

fn pack<W: Copy>(weight: &[f32], outputs: usize, depth: usize, convert: impl Fn(f32, usize) -> W) -> Vec<W> {
    let zero = convert(0.0, 0);
    let mut packed = vec![zero; outputs.div_ceil(WIDTH) * WIDTH * depth];
    for (output, row) in weight.chunks_exact(depth).enumerate() {
        let panel = &mut packed[output / WIDTH * WIDTH * depth..];
        for (step, value) in row.iter().enumerate() {
            panel[step * WIDTH + output % WIDTH] = convert(*value, output);
        }
    }
    packed
}

/// To the nearest, ties to even.
fn to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) as u16
}

/// The step between two neighbouring integers, so that the largest weight becomes 127.
fn scale(row: &[f32]) -> f32 {
    let largest = row.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    if largest > 0.0 { largest / 127.0 } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use vqkit_testing::generator;

    use super::*;
    use crate::kernels::{numbers, numbers_mut};

    const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

    fn product(linear: &PackedLinear, input: &Tensor) -> Tensor {
        let output = Tensor::zeros([input.size()[0], linear.outputs as i64], CPU);
        // SAFETY: made just now.
        linear.forward(numbers(input), unsafe { numbers_mut(&output) }, OutputRow::Store);
        output
    }

    /// The largest error of a product, over what its terms add up to in absolute value.
    fn error(outputs: i64, depth: i64, rows: i64, dtype: WeightDtype) -> f64 {
        let (weight, bias) = (Tensor::randn([outputs, depth], CPU), Tensor::randn([outputs], CPU));
        let input = Tensor::randn([rows, depth], CPU);
        let linear = PackedLinear::new(&weight, Some(&bias), dtype).unwrap();
        let exact = input.to_kind(Kind::Double).matmul(&weight.to_kind(Kind::Double).transpose(0, 1)) + &bias;
        let terms = input.abs().matmul(&weight.abs().transpose(0, 1)) + bias.abs();
        ((product(&linear, &input) - exact).abs() / terms).max().double_value(&[])
    }

    #[test]
    fn products_are_right_at_every_size() {
        let _generator = generator(1);
        for (outputs, depth) in [(1, 1), (15, 7), (16, 256), (33, 300), (64, 513)] {
            for rows in [1, 2, 3, 5, 6, 7, 12, 48, 49, 100] {
                let worst = error(outputs, depth, rows, WeightDtype::Fp32);
                // Half a unit in the last place a step, in the worst case.
                assert!(worst < depth as f64 * 6e-8 + 1e-7, "{outputs} x {depth}, {rows} rows: {worst}");
            }
        }
    }

    #[test]
    fn fewer_bits_cost_what_their_rounding_says() {
        let _generator = generator(2);
        // bf16 keeps 8 bits: 2^-9 of a weight at most.
        assert!(error(40, 64, 5, WeightDtype::Bf16) < 2f64.powi(-9) + 1e-5);
        // int8: half a step of 1/127 of the row's largest weight, which is some 4 times the mean one.
        assert!(error(40, 64, 5, WeightDtype::Int8) < 0.03);
        assert!(error(40, 64, 5, WeightDtype::Int8) > 1e-4);
    }

    #[test]
    fn a_row_has_the_same_bits_in_every_batch() {
        let _generator = generator(3);
        let weight = Tensor::randn([80, 700], CPU);
        let input = Tensor::randn([101, 700], CPU);
        for dtype in [WeightDtype::Fp32, WeightDtype::Bf16, WeightDtype::Int8] {
            let linear = PackedLinear::new(&weight, None, dtype).unwrap();
            let together = product(&linear, &input);
            for (first, rows) in [(0, 1), (3, 2), (7, 6), (20, 7), (50, 51)] {
                assert_eq!(product(&linear, &input.narrow(0, first, rows)), together.narrow(0, first, rows));
            }
        }
    }

    #[test]
    fn a_product_may_be_added() {
        let linear = PackedLinear::new(&Tensor::ones([3, 2], CPU), None, WeightDtype::Fp32).unwrap();
        let (input, output) = (Tensor::ones([1, 2], CPU), Tensor::full([1, 3], 5.0, CPU));
        // SAFETY: made just now.
        linear.forward(numbers(&input), unsafe { numbers_mut(&output) }, OutputRow::Add);
        assert_eq!(output, Tensor::full([1, 3], 7.0, CPU));
    }
}
