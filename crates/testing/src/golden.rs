//! Goldens: one folder per component, with `config.json`, `io.safetensors` and perhaps `weights.safetensors` or `keys.json`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tch::{Kind, Tensor};

use crate::formula;

/// The variable that names another folder of goldens, relative to the root of the workspace.
const FOLDER_VARIABLE: &str = "VQKIT_GOLDEN";
/// The folder of all goldens where the variable is not set, relative to the root of the workspace.
const DEFAULT_FOLDER: &str = "tests/golden";

/// What a public implementation gave for recorded inputs and weights.
///
/// The methods panic where a file or a key is missing or a comparison fails: a golden is read by tests only.
#[derive(Debug)]
pub struct Golden {
    folder: PathBuf,
    config: Value,
    tensors: BTreeMap<String, Tensor>,
}

impl Golden {
    /// Opens the golden of a component.
    ///
    /// # Panics
    /// When it is not there or cannot be read: a missing recording fails the test that compares with it.
    #[track_caller]
    pub fn open(component: &str) -> Self {
        let folder = root().join(component);
        let expected = "tests/golden of the repository has it, unless VQKIT_GOLDEN names another folder";
        assert!(folder.is_dir(), "there is no golden at {}: {expected}", folder.display());
        Self::read(folder)
    }

    /// `golden.json` stands for `config.json` where the latter belongs to the upstream's own format.
    fn read(folder: PathBuf) -> Self {
        let own = folder.join("golden.json");
        let path = if own.is_file() { own } else { folder.join("config.json") };
        let text = std::fs::read(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
        let config =
            serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{} is no JSON: {error}", path.display()));
        let tensors = read_tensors(&folder.join("io.safetensors"));
        Self { folder, config, tensors }
    }

    /// The whole of `config.json`; the hyper-parameters are under `config`.
    pub fn config(&self) -> &Value {
        &self.config
    }

    /// The path of a file of this golden.
    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    /// The names of all inputs and outputs, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Whether there is an input or output of this name.
    pub fn has(&self, key: &str) -> bool {
        self.tensors.contains_key(key)
    }

    /// A copy of an input or output of `io.safetensors`, which the caller may change.
    ///
    /// # Panics
    /// When there is none of this name.
    pub fn input(&self, key: &str) -> Tensor {
        self.recorded(key).copy()
    }

    /// The upstream's state dict before anything ran, by the upstream's names: what `weights.safetensors` holds, and what
    /// `keys.json` has computed. Empty where the upstream has none.
    ///
    /// # Panics
    /// When a file is broken, or a computed tensor differs from its recorded check.
    pub fn weights(&self) -> BTreeMap<String, Tensor> {
        let (keys, recorded) = (self.path("keys.json"), self.path("weights.safetensors"));
        let mut weights = BTreeMap::new();
        if let Ok(keys) = std::fs::read(&keys) {
            let salt = self.config["salt"].as_u64().expect("config.json has a salt beside a keys.json");
            weights = formula::fill(&keys, salt);
        }
        if recorded.is_file() {
            weights.extend(read_tensors(&recorded));
        }
        weights
    }

    /// The largest absolute difference allowed in an output; 0 stands for "equal".
    ///
    /// # Panics
    /// When `abs_tolerance` does not list the key.
    pub fn tolerance(&self, key: &str) -> f64 {
        self.config["abs_tolerance"][key]
            .as_f64()
            .unwrap_or_else(|| panic!("{} lists no abs_tolerance for `{key}`", self.folder.display()))
    }

    /// Asserts the recorded shape, and every value within the recorded tolerance.
    ///
    /// Infinities have to be equal, and NaN is close to nothing but NaN. Kind and device may differ.
    ///
    /// # Panics
    /// When it is not so: names key, worst difference and tolerance.
    #[track_caller]
    pub fn close(&self, key: &str, actual: &Tensor) {
        self.compare(key, actual, self.tolerance(key));
    }

    /// Asserts the recorded shape and values, exactly.
    ///
    /// # Panics
    /// When it is not so: names key and worst difference.
    #[track_caller]
    pub fn equal(&self, key: &str, actual: &Tensor) {
        self.compare(key, actual, 0.0);
    }

    #[track_caller]
    fn compare(&self, key: &str, actual: &Tensor, tolerance: f64) {
        if let Err(difference) = compare(self.recorded(key), actual, tolerance) {
            panic!("golden {} `{key}`: {difference}", self.folder.display());
        }
    }

    fn recorded(&self, key: &str) -> &Tensor {
        self.tensors.get(key).unwrap_or_else(|| {
            let known: Vec<_> = self.keys().collect();
            panic!("golden {} has no tensor `{key}`; it has {known:?}", self.folder.display())
        })
    }
}

/// The folder of all goldens.
fn root() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    workspace.join(std::env::var_os(FOLDER_VARIABLE).unwrap_or_else(|| DEFAULT_FOLDER.into()))
}

fn read_tensors(path: &Path) -> BTreeMap<String, Tensor> {
    Tensor::read_safetensors(path)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
        .into_iter()
        .collect()
}

/// Compares in f64, or in i64 where both sides are integers; says what differs.
fn compare(expected: &Tensor, actual: &Tensor, tolerance: f64) -> Result<(), String> {
    let shapes = (expected.size(), actual.size());
    if shapes.0 != shapes.1 {
        return Err(format!("expected shape {:?}, got {:?}", shapes.0, shapes.1));
    }
    let kind = if is_real(expected) || is_real(actual) { Kind::Double } else { Kind::Int64 };
    let exact = |tensor: &Tensor| tensor.detach().to_device(tch::Device::Cpu).to_kind(kind).flatten(0, -1);
    let (expected, actual) = (exact(expected), exact(actual));
    let same = expected.eq_tensor(&actual).logical_or(&expected.isnan().logical_and(&actual.isnan()));
    let difference = (&expected - &actual).abs().to_kind(Kind::Double).masked_fill(&same, 0.0);
    let difference = difference.nan_to_num(f64::INFINITY, None, None);
    if difference.numel() == 0 {
        return Ok(());
    }
    let (worst, at) = (difference.max().double_value(&[]), difference.argmax(0, false).int64_value(&[]));
    if worst <= tolerance {
        return Ok(());
    }
    let wrong = difference.gt(tolerance).sum(Kind::Int64).int64_value(&[]);
    Err(format!(
        "{wrong} of {} values differ by more than {tolerance:e}; the worst by {worst:e}, at {at}: expected {}, got {}",
        difference.numel(),
        expected.double_value(&[at]),
        actual.double_value(&[at]),
    ))
}

fn is_real(tensor: &Tensor) -> bool {
    matches!(tensor.kind(), Kind::Half | Kind::BFloat16 | Kind::Float | Kind::Double)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_close_within_the_tolerance_only() {
        let expected = Tensor::from_slice(&[1.0_f32, -2.0, f32::NEG_INFINITY]);
        let near = Tensor::from_slice(&[1.05_f64, -2.0, f64::NEG_INFINITY]);
        assert_eq!(compare(&expected, &near, 0.1), Ok(()));
        let message = compare(&expected, &near, 0.01).unwrap_err();
        assert!(message.starts_with("1 of 3 values differ by more than 1e-2"), "{message}");
        assert!(message.contains("at 0: expected 1, got 1.05"), "{message}");
    }

    #[test]
    fn nan_and_infinity_are_never_close_to_a_number() {
        let expected = Tensor::from_slice(&[1.0_f32]);
        for strange in [f32::NAN, f32::INFINITY] {
            assert!(compare(&expected, &Tensor::from_slice(&[strange]), 1e9).is_err());
        }
    }

    #[test]
    fn large_integers_are_compared_exactly() {
        let expected = Tensor::from_slice(&[1_i64 << 60]);
        assert!(compare(&expected, &Tensor::from_slice(&[(1_i64 << 60) + 1]), 0.0).is_err());
        assert!(compare(&expected, &Tensor::from_slice(&[1_i64 << 60]), 0.0).is_ok());
    }

    #[test]
    fn shapes_are_never_broadcast() {
        let message = compare(&Tensor::from(1.0), &Tensor::from_slice(&[1.0]), 1.0).unwrap_err();
        assert_eq!(message, "expected shape [], got [1]");
    }

    #[test]
    #[should_panic(expected = "there is no golden at")]
    fn a_missing_golden_is_a_failure() {
        Golden::open("no such component");
    }
}
