//! Variables of a network from the tensors of a checkpoint, one at a time.

use std::collections::{BTreeMap, BTreeSet};

use tch::{Tensor, no_grad};
use vqkit_foreign::{Change, ForeignFile, Use};
use vqkit_torch::weights;

use crate::{
    error::{InteropError, Result},
    problems::Problems,
};

/// State of ours that other implementations need not have: that of quantizers, and the counter of batch normalisation.
const OURS_ALONE: [&str; 3] = ["age", "initted", "num_batches_tracked"];

/// Compares what a network wants with what there is.
pub fn compare(variables: &BTreeMap<String, Tensor>, uses: &[Use], problems: &mut Problems) {
    let given: BTreeMap<&str, &Use> = uses.iter().map(|one| (one.ours.as_str(), one)).collect();
    for (name, variable) in variables.iter().filter(|(name, _)| !is_ours_alone(name)) {
        match given.get(name.as_str()) {
            None => drop(problems.missing.insert(name.clone(), variable.size())),
            Some(one) => {
                let found = one.change.shape(&one.tensor.shape);
                if found != variable.size() {
                    problems.misshapen.insert(one.theirs.clone(), [variable.size(), found]);
                }
            }
        }
    }
    for one in uses.iter().filter(|one| !variables.contains_key(&one.ours)) {
        problems.superfluous.insert(one.theirs.clone(), one.tensor.shape.clone());
    }
}

/// Copies tensors into variables whose shapes fit; gives the names of the variables that have no tensor.
///
/// A codebook that was loaded counts as initialized. Floats of other kinds are converted.
///
/// # Errors
/// When the file cannot be read, or holds values that are not finite.
pub fn fill(variables: &BTreeMap<String, Tensor>, uses: &[Use], file: &ForeignFile) -> Result<BTreeSet<String>> {
    let mut left: BTreeSet<String> = variables.keys().filter(|name| !is_ours_alone(name)).cloned().collect();
    for one in uses {
        let Some(variable) = variables.get(&one.ours) else { continue };
        if one.change.shape(&one.tensor.shape) != variable.size() {
            continue;
        }
        let value = changed(&file.read(one.tensor)?, one.change);
        let is_finite = !value.is_floating_point() || value.isfinite().all().int64_value(&[]) != 0;
        if !is_finite {
            let reason = format!("`{}` holds values that are not finite", one.theirs);
            return Err(InteropError::file(file.path(), reason));
        }
        no_grad(|| variable.shallow_clone().f_copy_(&value)).map_err(vqkit_torch::TorchError::from)?;
        left.remove(&one.ours);
    }
    for (name, variable) in variables.iter().filter(|(name, _)| name.ends_with("initted")) {
        let codebook = name.replace("initted", "embedding.weight");
        if variables.contains_key(&codebook) && !left.contains(&codebook) {
            let _ = no_grad(|| variable.shallow_clone().fill_(1));
        }
    }
    Ok(left)
}

/// The variables of a network.
pub fn variables(vs: &tch::nn::VarStore) -> BTreeMap<String, Tensor> {
    weights::tensors(vs)
}

fn is_ours_alone(name: &str) -> bool {
    name.rsplit('.').next().is_some_and(|last| OURS_ALONE.contains(&last)) || name.starts_with("lecam.")
}

/// A tensor as its variable wants it.
pub fn changed(value: &Tensor, change: Change) -> Tensor {
    match change {
        Change::None => value.shallow_clone(),
        Change::Transposed => value.transpose(0, 1),
        Change::Kernel if value.dim() == 2 => value.unsqueeze(-1).unsqueeze(-1),
        Change::Kernel => value.flatten(1, -1),
        Change::Row(row) => value.narrow(0, row, 1),
    }
}
