//! Variables of a network from the tensors of a checkpoint, one at a time.

use std::collections::{BTreeMap, BTreeSet};

use tch::{Tensor, no_grad};
use vqkit_foreign::{Change, ForeignFile, Use};
use vqkit_torch::weights;

use crate::{
    error::{InteropError, Result},
    problems::Problems,
};

/// State of quantizers that other implementations do not keep.
pub const QUANTIZER_STATE: [&str; 2] = ["age", "initted"];

/// Compares what a network wants with what there is.
pub fn compare(variables: &BTreeMap<String, Tensor>, uses: &[Use], problems: &mut Problems) {
    let mut given: BTreeMap<&str, &Use> = BTreeMap::new();
    for one in uses {
        // Of two tensors for one variable, one is too many.
        if let Some(other) = given.insert(&one.ours, one) {
            problems.superfluous.insert(other.theirs.clone(), other.tensor.shape.clone());
        }
    }
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
        let value = read(one, file)?;
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
    // The counter of batch normalisation came later than some checkpoints.
    let last = name.rsplit('.').next().unwrap_or_default();
    QUANTIZER_STATE.contains(&last) || last == "num_batches_tracked" || name.starts_with("lecam.")
}

/// A tensor of a file as its variable wants it.
///
/// # Errors
/// When it cannot be read, or has no shape that can be changed so.
pub fn read(one: &Use, file: &ForeignFile) -> Result<Tensor> {
    let value = file.read(one.tensor)?;
    let changed = match one.change {
        Change::None => Ok(value),
        Change::Transposed => value.f_transpose(0, 1),
        Change::Kernel if value.dim() == 2 => value.f_unsqueeze(-1).and_then(|value| value.f_unsqueeze(-1)),
        Change::Kernel => value.f_flatten(1, -1),
        Change::Row(row) => value.f_narrow(0, row, 1),
        Change::Item(item) => value.f_select(0, item),
    };
    changed.map_err(|_| {
        InteropError::file(file.path(), format!("`{}` has the impossible shape {:?}", one.theirs, one.tensor.shape))
    })
}
