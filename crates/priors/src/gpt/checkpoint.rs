//! Activation checkpointing: a block that is computed again in the backward pass, instead of keeping its activations (Chen et al. 2016).

use tch::Tensor;
use vqkit_torch::{LibtorchError, TorchError, autocast, autograd, rng};

use super::block::{Block, Pass};
use crate::PriorError;

/// As [`Block::forward`]; dropout drops the same numbers both times.
pub(super) fn forward(block: &Block, input: &Tensor, pass: &Pass) -> Result<Tensor, PriorError> {
    let device = input.device();
    let mut inputs = vec![input.shallow_clone()];
    let block = block.map(&mut |weight| {
        inputs.push(weight.shallow_clone());
        weight.shallow_clone()
    });
    let pass = pass.shallow_clone();
    let (autocast_kind, before) = (autocast::current(device), rng::state(device)?);
    let work = move |inputs: &[Tensor]| {
        let now = rng::state(device)?;
        rng::set_state(device, &before)?;
        let mut weights = inputs[1..].iter();
        let block = block.map(&mut |own| weights.next().map_or_else(|| own.shallow_clone(), Tensor::shallow_clone));
        let run = || block.forward(&inputs[0], &pass).map_err(refused);
        let output = match autocast_kind {
            Some(kind) => autocast::with(device, kind, run),
            None => run(),
        }?;
        // In the forward pass nothing was drawn since, and later draws follow the block's own. In the backward pass the state is put back.
        if now != before {
            rng::set_state(device, &now)?;
        }
        Ok(vec![output])
    };
    let handles: Vec<&Tensor> = inputs.iter().collect();
    let mut outputs = autograd::checkpoint(&handles, work)?;
    Ok(outputs.swap_remove(0))
}

/// The error of a block as autograd takes it.
fn refused(error: PriorError) -> TorchError {
    match error {
        PriorError::Torch(error) => error.into(),
        PriorError::Autograd(error) => error,
        other => LibtorchError::new(other.to_string()).into(),
    }
}
