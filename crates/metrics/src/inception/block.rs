//! The mixed blocks: convolutions of several sizes side by side.

use tch::Tensor;

use super::convolution::{Convolution, State};
use crate::MetricsError;

/// A block whose branches see the same input; their outputs stand one after another, the pooled one last.
///
/// All 1 by 1 convolutions of the input are one. That of the averaged input is among them: an average over the positions that are
/// inside the picture and a 1 by 1 convolution change places without a difference, and fewer channels are averaged.
#[derive(Debug)]
pub(super) struct Block {
    first: Option<Convolution>,
    branches: Vec<Branch>,
    pool: Pool,
}

/// What a branch does to its slice of the first convolution, or to the block's input where it has none.
#[derive(Debug)]
struct Branch {
    slice: Option<i64>,
    rest: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    Convolution(Convolution),
    /// Two convolutions of one input, one behind the other.
    Fork([Convolution; 2]),
}

#[derive(Debug)]
enum Pool {
    /// 3 by 3 average of the last channels of the first convolution.
    Average(i64),
    /// 3 by 3 maximum of the input, and its convolution.
    Maximum(Convolution),
    /// 3 by 3 maximum of the input at every other position.
    Halve,
}

impl Block {
    /// `[B, C, h, w]` to the same size, or to half of it.
    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        let first = self.first.as_ref().map(|convolution| convolution.linear(x));
        let (mut outputs, mut start) = (Vec::new(), 0);
        let mut slice = |width: i64| {
            let slice = first.as_ref().map_or_else(Tensor::new, |first| first.narrow(1, start, width));
            start += width;
            slice
        };
        for branch in &self.branches {
            let input = branch.slice.map_or_else(|| x.shallow_clone(), |width| slice(width).relu());
            outputs.push(branch.rest.iter().fold(input, |x, step| step.forward(&x)));
        }
        outputs.push(match &self.pool {
            Pool::Average(width) => slice(*width).avg_pool2d([3, 3], [1, 1], [1, 1], false, false, None::<i64>).relu_(),
            Pool::Maximum(convolution) => convolution.forward(&x.max_pool2d([3, 3], [1, 1], [1, 1], [1, 1], false)),
            Pool::Halve => x.max_pool2d([3, 3], [2, 2], [0, 0], [1, 1], false),
        });
        Tensor::cat(&outputs, 1)
    }
}

impl Step {
    fn forward(&self, x: &Tensor) -> Tensor {
        match self {
            Self::Convolution(convolution) => convolution.forward(x),
            Self::Fork(pair) => Tensor::cat(&pair.each_ref().map(|convolution| convolution.forward(x)), 1),
        }
    }

    fn channels(&self) -> i64 {
        match self {
            Self::Convolution(convolution) => convolution.channels(),
            Self::Fork(pair) => pair.iter().map(Convolution::channels).sum(),
        }
    }
}

/// One convolution of a branch, by its name inside the block.
pub(super) enum Layer {
    /// Of this name, width and kernel; the size stays.
    Same(&'static str, i64, [i64; 2]),
    /// 3 by 3, at every other position.
    Halving(&'static str, i64),
    /// 1 by 3 and 3 by 1 of the same input, of these names, each of this width.
    Fork([&'static str; 2], i64),
}

/// Reads a block branch by branch.
pub(super) struct Builder<'a, 'b> {
    state: &'a mut State<'b>,
    name: &'static str,
    channels_in: i64,
    first: Vec<Convolution>,
    branches: Vec<Branch>,
    channels_out: i64,
}

impl<'a, 'b> Builder<'a, 'b> {
    /// A block of this name with this many channels in.
    pub(super) fn new(state: &'a mut State<'b>, name: &'static str, channels_in: i64) -> Self {
        Self { state, name, channels_in, first: Vec::new(), branches: Vec::new(), channels_out: 0 }
    }

    /// A branch that opens with a 1 by 1 convolution.
    pub(super) fn branch(mut self, first: (&str, i64), rest: &[Layer]) -> Result<Self, MetricsError> {
        let (name, width) = first;
        let convolution = self.pointwise(name, width)?;
        self.first.push(convolution);
        self.push(Some(width), width, rest)
    }

    /// A branch that looks at the input itself.
    pub(super) fn straight(self, rest: &[Layer]) -> Result<Self, MetricsError> {
        let channels = self.channels_in;
        self.push(None, channels, rest)
    }

    /// The block, and its channels, with a 1 by 1 convolution `branch_pool` of the averaged input.
    pub(super) fn average(mut self, width: i64) -> Result<(Block, i64), MetricsError> {
        let convolution = self.pointwise("branch_pool", width)?;
        self.first.push(convolution);
        Ok(self.finish(Pool::Average(width), width))
    }

    /// The block, and its channels, with a 1 by 1 convolution `branch_pool` of the input's maxima.
    pub(super) fn maximum(mut self, width: i64) -> Result<(Block, i64), MetricsError> {
        let convolution = self.pointwise("branch_pool", width)?;
        Ok(self.finish(Pool::Maximum(convolution), width))
    }

    /// The block, and its channels, with the input's maxima at every other position.
    pub(super) fn halve(self) -> (Block, i64) {
        let channels = self.channels_in;
        self.finish(Pool::Halve, channels)
    }

    fn finish(self, pool: Pool, width: i64) -> (Block, i64) {
        let first = (!self.first.is_empty()).then(|| Convolution::beside(&self.first));
        (Block { first, branches: self.branches, pool }, self.channels_out + width)
    }

    fn pointwise(&mut self, name: &str, width: i64) -> Result<Convolution, MetricsError> {
        let name = format!("{}.{name}", self.name);
        self.state.convolution(&name, [self.channels_in, width], [1, 1], 1, [0, 0])
    }

    fn push(mut self, slice: Option<i64>, mut channels: i64, layers: &[Layer]) -> Result<Self, MetricsError> {
        let mut rest = Vec::new();
        for layer in layers {
            let step = self.step(layer, channels)?;
            channels = step.channels();
            rest.push(step);
        }
        self.branches.push(Branch { slice, rest });
        self.channels_out += channels;
        Ok(self)
    }

    fn step(&mut self, layer: &Layer, channels: i64) -> Result<Step, MetricsError> {
        let block = self.name;
        let mut same = |name: &str, width: i64, [height, length]: [i64; 2]| {
            let padding = [height / 2, length / 2];
            self.state.convolution(&format!("{block}.{name}"), [channels, width], [height, length], 1, padding)
        };
        Ok(match *layer {
            Layer::Same(name, width, kernel) => Step::Convolution(same(name, width, kernel)?),
            Layer::Fork([across, down], width) => {
                Step::Fork([same(across, width, [1, 3])?, same(down, width, [3, 1])?])
            }
            Layer::Halving(name, width) => {
                let name = format!("{block}.{name}");
                Step::Convolution(self.state.convolution(&name, [channels, width], [3, 3], 2, [0, 0])?)
            }
        })
    }
}
