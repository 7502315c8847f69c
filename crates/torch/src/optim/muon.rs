//! Muon: momentum whose update of a matrix is orthogonalised.

use std::collections::BTreeMap;

use tch::{Kind, Tensor, no_grad};

use super::group::{ParamGroup, check_unique, drop_gradients, not_negative, restore};
use crate::TorchError;

/// Coefficients of the quintic iteration, chosen by Jordan et al. for a steep rise near zero.
const QUINTIC: (f64, f64, f64) = (3.4445, -4.775, 2.0315);
const ITERATIONS: usize = 5;

/// Keeps a gradient of zeros finite.
const EPS: f64 = 1e-7;

/// Makes an update's root mean square that of AdamW, so that both take the same learning rate.
const RMS: f64 = 0.2;

/// The hyper-parameters of [`Muon`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MuonConfig {
    /// Decay rate of the running average of gradients, in `[0, 1)`.
    pub momentum: f64,
    /// The number format in which updates are orthogonalised. The authors take bfloat16: a direction need not be exact, and
    /// where the hardware multiplies it natively this is two to four times as fast.
    pub kind: Kind,
}

impl Default for MuonConfig {
    /// The authors' momentum, 0.95, in 32-bit floats.
    fn default() -> Self {
        Self { momentum: 0.95, kind: Kind::Float }
    }
}

/// Muon (Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"), for the weights of hidden layers:
/// `[out, in, ...]`, taken as a matrix `[out, in · ...]`. Everything else is left to [`Adam`](super::Adam).
///
/// With the gradient `g`, the step is
/// `m <- m + (1 - momentum) (g - m)`, `u = g + momentum (m - g)` (Nesterov),
/// `p <- p (1 - lr wd) - lr 0.2 sqrt(max(rows, columns)) orthogonalize(u)`,
/// whose scale is that of Liu et al. 2025 ("Muon is scalable for LLM training", equation 4); `torch.optim.Muon` calls it
/// `match_rms_adamw`. Parameters without a gradient are passed over.
///
/// ```
/// use tch::{Device, Kind, nn};
/// use vqkit_torch::optim::{Muon, MuonConfig, ParamGroup};
///
/// let vs = nn::VarStore::new(Device::Cpu);
/// let weight = vs.root().ones("weight", &[4, 3, 2, 2]);
/// let mut muon = Muon::new(ParamGroup::of(&vs, 0.1), MuonConfig::default())?;
///
/// muon.zero_grad();
/// weight.square().sum(Kind::Float).backward();
/// muon.step()?;
/// assert!(weight.double_value(&[0, 0, 0, 0]) < 1.0);
/// # Ok::<(), vqkit_torch::TorchError>(())
/// ```
#[derive(Debug)]
pub struct Muon {
    config: MuonConfig,
    lr: f64,
    weight_decay: f64,
    /// By the shape of the matrix: those of one shape are orthogonalised together.
    slots: BTreeMap<[i64; 2], Vec<Slot>>,
}

/// A parameter and its state.
#[derive(Debug)]
struct Slot {
    name: String,
    parameter: Tensor,
    /// Running average of the gradients, shaped as the parameter.
    momentum: Tensor,
}

impl Muon {
    /// An optimizer with zeros for momentum.
    ///
    /// # Errors
    /// [`TorchError::Config`] when a number is out of its range, a name or a tensor occurs twice, or a parameter has fewer
    /// than two axes, is no leaf, or is of another kind or device than the first.
    pub fn new(group: ParamGroup, config: MuonConfig) -> Result<Self, TorchError> {
        if !(0.0..1.0).contains(&config.momentum) {
            return Err(TorchError::config("momentum", format!("must be in [0, 1), found {}", config.momentum)));
        }
        check_unique(std::slice::from_ref(&group))?;
        group.check()?;
        let mut slots = BTreeMap::<_, Vec<_>>::new();
        for (name, parameter) in group.params {
            let momentum = no_grad(|| parameter.f_zeros_like())?;
            let shape = matrix_shape(&name, &parameter)?;
            slots.entry(shape).or_default().push(Slot { name, parameter, momentum });
        }
        Ok(Self { config, lr: group.lr, weight_decay: group.weight_decay, slots })
    }

    /// Sets the learning rate; [`step`](Self::step) refuses one that is negative or not finite.
    pub fn set_learning_rate(&mut self, lr: f64) {
        self.lr = lr;
    }

    /// Moves every parameter that has a gradient.
    ///
    /// # Errors
    /// When the learning rate is negative or not finite, or libtorch refuses.
    pub fn step(&mut self) -> Result<(), TorchError> {
        not_negative("lr", self.lr)?;
        no_grad(|| self.slots.iter().try_for_each(|(shape, slots)| self.step_of_shape(*shape, slots)))
    }

    fn step_of_shape(&self, [rows, columns]: [i64; 2], slots: &[Slot]) -> Result<(), TorchError> {
        let moving: Vec<&Slot> = slots.iter().filter(|slot| slot.parameter.grad().defined()).collect();
        if moving.is_empty() {
            return Ok(());
        }
        let direction = |slot: &&Slot| slot.direction(self.config.momentum)?.f_reshape([rows, columns]);
        let directions = moving.iter().map(direction).collect::<Result<Vec<_>, _>>()?;
        let updates = orthogonalize(&Tensor::f_stack(&directions, 0)?, self.config.kind)?
            * (self.lr * RMS * (rows.max(columns) as f64).sqrt());
        for (slot, update) in moving.iter().zip(updates.unbind(0)) {
            let mut parameter = slot.parameter.shallow_clone();
            if self.weight_decay > 0.0 {
                let _ = parameter.f_mul_scalar_(1.0 - self.lr * self.weight_decay)?;
            }
            let _ = parameter.f_sub_(&update.f_view_as(&parameter)?)?;
        }
        Ok(())
    }

    /// Drops all gradients, so that a parameter that takes no part in the next backward pass is not moved.
    pub fn zero_grad(&mut self) {
        drop_gradients(self.each_slot().map(|slot| &slot.parameter));
    }

    /// The state by name: `momentum.PARAMETER`, shaped as the parameter. They share their memory with the optimizer: copy
    /// them to keep them over a step.
    pub fn state(&self) -> BTreeMap<String, Tensor> {
        self.each_slot().map(|slot| (format!("momentum.{}", slot.name), slot.momentum.shallow_clone())).collect()
    }

    /// Puts a state back; training then continues as if it had not been interrupted.
    ///
    /// # Errors
    /// [`TorchError::Mismatch`] listing every name, shape and kind that differs; nothing is changed then.
    pub fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<(), TorchError> {
        restore(self.state(), state)
    }

    fn each_slot(&self) -> impl Iterator<Item = &Slot> {
        self.slots.values().flatten()
    }
}

impl Slot {
    /// Takes the gradient into the momentum; returns where to go, shaped as the parameter.
    fn direction(&self, momentum: f64) -> Result<Tensor, tch::TchError> {
        let gradient = self.parameter.grad();
        let _ = self.momentum.shallow_clone().f_lerp_(&gradient, 1.0 - momentum)?;
        gradient.f_lerp(&self.momentum, momentum)
    }
}

/// The nearest matrices with orthonormal rows or columns, roughly: five rounds of a quintic Newton-Schulz iteration take
/// the singular values, whatever they were, to about one (0.7 to 1.2).
///
/// # Shapes
/// `[N, R, C]`, floating, to the same in `kind`.
///
/// # Errors
/// When libtorch refuses.
pub fn orthogonalize(matrices: &Tensor, kind: Kind) -> Result<Tensor, TorchError> {
    let (_, rows, columns) = matrices.size3()?;
    let is_tall = rows > columns;
    let wide = if is_tall { matrices.f_transpose(-2, -1)? } else { matrices.shallow_clone() };
    let norm = wide.f_square()?.f_sum_dim_intlist([-2, -1].as_slice(), true, wide.kind())?.f_sqrt()?;
    let (a, b, c) = QUINTIC;
    let mut x = (&wide / (norm + EPS)).f_to_kind(kind)?;
    for _ in 0..ITERATIONS {
        let gram = x.f_bmm(&x.f_transpose(-2, -1)?)?;
        let polynomial = gram.f_baddbmm(&gram, &gram, b, c)?;
        x = x.f_baddbmm(&polynomial, &x, a, 1.0)?;
    }
    if is_tall { Ok(x.f_transpose(-2, -1)?) } else { Ok(x) }
}

fn matrix_shape(name: &str, parameter: &Tensor) -> Result<[i64; 2], TorchError> {
    match parameter.size().as_slice() {
        [rows, rest @ ..] if !rest.is_empty() => Ok([*rows, rest.iter().product()]),
        size => Err(TorchError::config("params", format!("`{name}` of shape {size:?} is no matrix"))),
    }
}
