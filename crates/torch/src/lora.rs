//! Low-rank adaptation of the weights of a network that knows nothing of it.

use std::collections::BTreeMap;

use tch::{Tensor, no_grad};

use crate::weights::Mismatch;
use crate::{TorchError, autograd};

/// Low-rank updates of weights (Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models"): each weight is
/// `W = W0 + scale · B A`, where `W0` stays as it is.
///
/// A weight of more than two axes counts as a matrix of its first axis by all others, `[out, in · k · k]` for a
/// convolution. `A` starts random, as a linear layer does, and `B` with zeros, so that `W` starts as `W0`.
///
/// The network keeps `W` in its own variable, which takes a gradient as in full training. A step is then
/// [`project`](Self::project), which turns the gradient at `W` into `dA = scale · Bᵀ dW` and `dB = scale · dW Aᵀ`; a
/// step of an optimizer over the [`parameters`](Self::parameters); and [`merge`](Self::merge), which recomputes `W`.
/// This is exact, works for every network and every use of a weight, and a forward pass costs no more than without
/// adapters. The gradients at `W` take as much memory as in full training, and `W0` as much as `W`; what is saved are
/// the optimizer's moments. There is no dropout in front of `A`, which would need a forward pass of its own.
///
/// ```
/// use tch::{Device, Kind, nn};
/// use vqkit_torch::{lora::Lora, optim::{Adam, AdamConfig, ParamGroup}};
///
/// let vs = nn::VarStore::new(Device::Cpu);
/// let weight = (vs.root() / "layer").ones("weight", &[4, 3]);
/// let lora = Lora::new(vec![("layer.weight".into(), weight.shallow_clone())], 2, 1.0)?;
/// let group = ParamGroup { params: lora.parameters(), ..ParamGroup::of(&nn::VarStore::new(Device::Cpu), 0.1) };
/// let mut adam = Adam::new(vec![group], AdamConfig::adamw((0.9, 0.999)))?;
///
/// weight.square().sum(Kind::Float).backward();
/// lora.project()?;
/// adam.step()?;
/// lora.merge()?;
/// assert!(weight.square().sum(Kind::Float).double_value(&[]) < 12.0);
/// # Ok::<(), vqkit_torch::TorchError>(())
/// ```
#[derive(Debug)]
pub struct Lora {
    pairs: Vec<Pair>,
    scale: f64,
}

/// The update of one weight.
#[derive(Debug)]
struct Pair {
    /// The weight's name.
    name: String,
    /// The network's own variable.
    weight: Tensor,
    /// `W0`, of the weight's shape.
    base: Tensor,
    /// `A`, `[rank, in]`.
    down: Tensor,
    /// `B`, `[out, rank]`.
    up: Tensor,
}

impl Lora {
    /// Updates of `targets`, which are leaves of the graph with at least two axes, by their names; their present values
    /// become `W0`. The rank of each is at most its smaller side.
    ///
    /// # Errors
    /// [`TorchError::Config`] when the rank is below 1, or a target has less than two axes; when libtorch refuses.
    pub fn new(targets: Vec<(String, Tensor)>, rank: i64, scale: f64) -> Result<Self, TorchError> {
        if rank < 1 {
            return Err(TorchError::config("rank", format!("must be at least 1, found {rank}")));
        }
        let pairs = targets.into_iter().map(|(name, weight)| Pair::new(&name, weight, rank));
        Ok(Self { pairs: pairs.collect::<Result<_, _>>()?, scale })
    }

    /// What is trained: `A` as `NAME.lora_A.weight` `[rank, in]` and `B` as `NAME.lora_B.weight` `[out, rank]`, for each
    /// weight `NAME.weight`; handles on the same memory.
    pub fn parameters(&self) -> Vec<(String, Tensor)> {
        let pair = |Pair { name, down, up, .. }: &Pair| {
            let stem = name.strip_suffix(SUFFIX).unwrap_or(name);
            [("A", down), ("B", up)]
                .map(|(which, factor)| (format!("{stem}.lora_{which}.weight"), factor.shallow_clone()))
        };
        self.pairs.iter().flat_map(pair).collect()
    }

    /// The weights that the updates are added to, `W0`, by the names of the weights; handles on the same memory.
    pub fn base(&self) -> BTreeMap<String, Tensor> {
        self.pairs.iter().map(|pair| (pair.name.clone(), pair.base.shallow_clone())).collect()
    }

    /// Adds the gradients at the weights, times the other factor, to those of the factors. Weights without a gradient
    /// are passed over.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn project(&self) -> Result<(), TorchError> {
        self.pairs.iter().try_for_each(|pair| pair.project(self.scale))
    }

    /// Drops the gradients at the weights.
    pub fn zero_grad(&mut self) {
        self.pairs.iter_mut().for_each(|pair| pair.weight.zero_grad());
    }

    /// Recomputes the weights from `W0` and the factors, in place.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn merge(&self) -> Result<(), TorchError> {
        no_grad(|| self.pairs.iter().try_for_each(|pair| pair.merge(self.scale)))
    }

    /// Puts back factors and `W0`, as [`parameters`](Self::parameters) and [`base`](Self::base) gave them. The weights
    /// themselves are not changed.
    ///
    /// # Errors
    /// [`TorchError::Mismatch`] listing every name, shape and kind that differs; nothing is changed then.
    pub fn load(
        &mut self,
        parameters: &BTreeMap<String, Tensor>,
        base: &BTreeMap<String, Tensor>,
    ) -> Result<(), TorchError> {
        let own = self.parameters().into_iter().collect();
        Mismatch::check("the low-rank updates", &own, parameters)?;
        let own_base = self.base();
        Mismatch::check("the weights under the low-rank updates", &own_base, base)?;
        copy(own, parameters)?;
        copy(own_base, base)
    }
}

fn copy(to: BTreeMap<String, Tensor>, from: &BTreeMap<String, Tensor>) -> Result<(), TorchError> {
    no_grad(|| to.into_iter().try_for_each(|(name, mut tensor)| tensor.f_copy_(&from[&name])))?;
    Ok(())
}

impl Pair {
    fn new(name: &str, weight: Tensor, rank: i64) -> Result<Self, TorchError> {
        if weight.dim() < 2 {
            let reason = format!("`{name}` has the shape {:?}, which is no matrix", weight.size());
            return Err(TorchError::config("targets", reason));
        }
        let [rows, columns] = matrix_of(&weight);
        let rank = rank.min(rows).min(columns);
        let options = (weight.kind(), weight.device());
        let bound = (columns as f64).sqrt().recip();
        let down = no_grad(|| Tensor::f_empty([rank, columns], options)?.f_uniform_(-bound, bound))?;
        Ok(Self {
            name: name.to_owned(),
            base: no_grad(|| weight.f_detach_copy())?.f_contiguous()?,
            down: down.set_requires_grad(true),
            up: Tensor::f_zeros([rows, rank], options)?.set_requires_grad(true),
            weight,
        })
    }

    fn project(&self, scale: f64) -> Result<(), TorchError> {
        let gradient = self.weight.grad();
        if !gradient.defined() {
            return Ok(());
        }
        let gradient = gradient.f_reshape(matrix_of(&self.weight))? * scale;
        let (of_down, of_up) = no_grad(|| -> Result<_, TorchError> {
            Ok((self.up.f_transpose(0, 1)?.f_matmul(&gradient)?, gradient.f_matmul(&self.down.f_transpose(0, 1)?)?))
        })?;
        let (down, up) = (self.down.f_view_as(&self.down)?, self.up.f_view_as(&self.up)?);
        autograd::backward(&[(&down, &of_down), (&up, &of_up)], &[&self.down, &self.up])
    }

    fn merge(&self, scale: f64) -> Result<(), TorchError> {
        let update = (self.up.f_matmul(&self.down)? * scale).f_view(self.weight.size().as_slice())?;
        Ok(self.weight.shallow_clone().f_copy_(&self.base.f_add(&update)?)?)
    }
}

/// What the names of weights end in.
const SUFFIX: &str = ".weight";

/// The sides of a weight as a matrix.
fn matrix_of(weight: &Tensor) -> [i64; 2] {
    let rows = weight.size()[0];
    [rows, weight.numel() as i64 / rows.max(1)]
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, nn};

    use super::*;
    use crate::optim::{Adam, AdamConfig, ParamGroup};

    /// A convolution and a matrix after it, of double precision.
    struct Net {
        vs: nn::VarStore,
        kernel: Tensor,
        matrix: Tensor,
    }

    impl Net {
        fn new() -> Self {
            let mut vs = nn::VarStore::new(Device::Cpu);
            vs.set_kind(Kind::Double);
            let root = vs.root();
            let kernel = (&root / "conv").kaiming_uniform("weight", &[4, 3, 3, 3]);
            let matrix = (&root / "linear").kaiming_uniform("weight", &[5, 4]);
            Self { vs, kernel, matrix }
        }

        fn forward(&self, images: &Tensor, kernel: &Tensor, matrix: &Tensor) -> Tensor {
            let features =
                images.conv2d(kernel, None::<Tensor>, 1, 1, 1, 1).mean_dim([2i64, 3].as_slice(), false, Kind::Double);
            features.tanh().linear(matrix, None::<Tensor>)
        }

        fn targets(&self) -> Vec<(String, Tensor)> {
            let all = [("conv.weight", &self.kernel), ("linear.weight", &self.matrix)];
            all.map(|(name, weight)| (name.to_owned(), weight.shallow_clone())).into()
        }
    }

    fn images() -> Tensor {
        Tensor::randn([6, 3, 5, 5], (Kind::Double, Device::Cpu))
    }

    fn randomise(lora: &Lora) {
        for (_, mut factor) in lora.parameters() {
            let _ = no_grad(|| factor.normal_(0.0, 0.5));
        }
    }

    /// `W0 + scale · B A` within the graph.
    fn unmerged(lora: &Lora, index: usize) -> Tensor {
        let Pair { base, down, up, .. } = &lora.pairs[index];
        base + (up.matmul(down) * lora.scale).view(base.size().as_slice())
    }

    #[test]
    fn an_update_starts_as_nothing() {
        let net = Net::new();
        let before: Vec<Tensor> = net.targets().iter().map(|(_, weight)| weight.copy()).collect();
        let lora = Lora::new(net.targets(), 2, 3.0).unwrap();
        lora.merge().unwrap();
        assert_eq!(before, net.targets().into_iter().map(|(_, weight)| weight).collect::<Vec<_>>());
        let shapes: Vec<Vec<i64>> = lora.parameters().iter().map(|(_, factor)| factor.size()).collect();
        assert_eq!(shapes, [vec![2, 27], vec![4, 2], vec![2, 4], vec![5, 2]]);
        assert!(net.vs.variables().len() == 2, "the network's own variables are all that it has");
    }

    #[test]
    fn merged_equals_unmerged_in_output_and_gradients() {
        let (net, images) = (Net::new(), images());
        let lora = Lora::new(net.targets(), 2, 1.7).unwrap();
        randomise(&lora);
        lora.merge().unwrap();
        let wanted = Tensor::randn([6, 5], (Kind::Double, Device::Cpu));
        let merged = net.forward(&images, &net.kernel, &net.matrix);
        (&merged - &wanted).square().sum(Kind::Double).backward();
        lora.project().unwrap();
        let projected: Vec<Tensor> = lora.parameters().iter().map(|(_, factor)| factor.grad().copy()).collect();
        lora.parameters().into_iter().for_each(|(_, mut factor)| factor.zero_grad());
        let separate = net.forward(&images, &unmerged(&lora, 0), &unmerged(&lora, 1));
        assert!((&merged - &separate).abs().max().double_value(&[]) < 1e-6);
        (&separate - &wanted).square().sum(Kind::Double).backward();
        for ((name, factor), projected) in lora.parameters().into_iter().zip(projected) {
            assert!(factor.grad().allclose(&projected, 1e-9, 1e-12, false), "{name}");
        }
    }

    #[test]
    fn gradients_of_parts_add_up() {
        let (net, images) = (Net::new(), images());
        let lora = Lora::new(net.targets(), 3, 1.0).unwrap();
        randomise(&lora);
        lora.merge().unwrap();
        let gradients = |parts: &[Tensor]| {
            lora.parameters().into_iter().for_each(|(_, mut factor)| factor.zero_grad());
            net.targets().into_iter().for_each(|(_, mut weight)| weight.zero_grad());
            for part in parts {
                net.forward(part, &net.kernel, &net.matrix).square().sum(Kind::Double).backward();
            }
            lora.project().unwrap();
            lora.parameters().iter().map(|(_, factor)| factor.grad().copy()).collect::<Vec<_>>()
        };
        let whole = gradients(&[images.shallow_clone()]);
        let split = gradients(&images.chunk(3, 0));
        assert!(whole.iter().zip(&split).all(|(whole, split)| whole.allclose(split, 1e-9, 1e-12, false)));
    }

    #[test]
    fn an_update_of_full_rank_reaches_any_weight() {
        let weight = Tensor::zeros([3, 4], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let lora = Lora::new(vec![("layer.weight".into(), weight.shallow_clone())], 3, 1.0).unwrap();
        let group = ParamGroup { name: "lora".into(), params: lora.parameters(), lr: 0.05, weight_decay: 0.0 };
        let mut adam = Adam::new(vec![group], AdamConfig::adamw((0.9, 0.95))).unwrap();
        let wanted = Tensor::arange(12, (Kind::Float, Device::Cpu)).view([3, 4]) / 6.0 - 1.0;
        let distance = || (&weight - &wanted).square().sum(Kind::Float);
        for _ in 0..400 {
            let mut weight = weight.shallow_clone();
            weight.zero_grad();
            adam.zero_grad();
            distance().backward();
            lora.project().unwrap();
            adam.step().unwrap();
            lora.merge().unwrap();
        }
        assert!(distance().double_value(&[]) < 1e-3, "{:?}", distance());
    }

    #[test]
    fn factors_that_are_put_back_merge_to_the_same_bits() {
        let net = Net::new();
        let mut lora = Lora::new(net.targets(), 2, 0.5).unwrap();
        randomise(&lora);
        let copies = |tensors: &mut dyn Iterator<Item = (String, Tensor)>| -> BTreeMap<String, Tensor> {
            tensors.map(|(name, tensor)| (name, tensor.detach().copy())).collect()
        };
        let (factors, base) = (copies(&mut lora.parameters().into_iter()), copies(&mut lora.base().into_iter()));
        lora.merge().unwrap();
        let merged = net.kernel.copy();
        randomise(&lora);
        lora.merge().unwrap();
        assert_ne!(net.kernel, merged);
        lora.load(&factors, &base).unwrap();
        lora.merge().unwrap();
        assert_eq!(net.kernel, merged);
        let message = lora.load(&base, &base).unwrap_err().to_string();
        assert!(message.contains("`conv.lora_A.weight` is missing"), "{message}");
    }

    #[test]
    fn a_rank_of_zero_and_a_vector_are_refused() {
        let net = Net::new();
        assert!(Lora::new(net.targets(), 0, 1.0).unwrap_err().to_string().contains("at least 1, found 0"));
        let bias = Tensor::zeros([3], (Kind::Float, Device::Cpu));
        let message = Lora::new(vec![("bias".into(), bias)], 1, 1.0).unwrap_err().to_string();
        assert!(message.contains("`bias` has the shape [3]"), "{message}");
    }
}
