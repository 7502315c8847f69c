//! Modules of TorchScript, written from source text.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use tch::{Device, Tensor};

use crate::{TorchError, shim, write_whole};

/// A module to write: named tensors, and methods that compute with them.
#[derive(Debug, Default)]
pub struct ScriptModule {
    /// What an optimizer would train, by name; a dot in a name leads into a submodule.
    pub parameters: BTreeMap<String, Tensor>,
    /// All other tensors, by name.
    pub buffers: BTreeMap<String, Tensor>,
    /// The methods, as TorchScript's source text: `def forward(self, x: Tensor) -> Tensor: ...`. `torch.` leads to
    /// libtorch's operators alone, whose dtypes are numbers: 4 is i64, 6 is f32. `getattr(self.layers, "0")` is the
    /// submodule `layers.0`.
    pub source: String,
    /// Texts that the file holds beside the module, by name: `_extra_files` of `torch.jit.load`.
    pub extra_files: BTreeMap<String, String>,
}

impl ScriptModule {
    /// Compiles the methods and writes the module to a file, which `torch.jit.load` and [`tch::CModule::load`] read. The module is
    /// in evaluation mode, and its tensors are on the CPU.
    ///
    /// ```
    /// use std::collections::BTreeMap;
    /// use tch::{CModule, Tensor};
    /// use vqkit_torch::script::ScriptModule;
    ///
    /// let module = ScriptModule {
    ///     parameters: BTreeMap::from([("layers.0.weight".into(), Tensor::from_slice(&[2.0f32]))]),
    ///     source: "def forward(self, x: Tensor) -> Tensor:\n    return x * getattr(self.layers, \"0\").weight\n".into(),
    ///     ..ScriptModule::default()
    /// };
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("twice.pt");
    /// module.save(&path)?;
    /// let loaded = CModule::load(&path)?;
    /// assert_eq!(loaded.forward_ts(&[Tensor::from_slice(&[3.0f32])])?, Tensor::from_slice(&[6.0f32]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When the source is no TorchScript, or names or texts contain a zero character; [`TorchError::Io`] when the file
    /// cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), TorchError> {
        let parameters = self.parameters.iter().map(|(name, tensor)| (name, tensor, true));
        let buffers = self.buffers.iter().map(|(name, tensor)| (name, tensor, false));
        let mut tensors = Vec::new();
        for (name, tensor, trainable) in parameters.chain(buffers) {
            let here = tensor.f_detach()?.f_to_device(Device::Cpu)?.f_contiguous()?;
            tensors.push((text(path, name)?, here, trainable));
        }
        let tensors: Vec<_> = tensors.iter().map(|(name, tensor, trainable)| (&**name, tensor, *trainable)).collect();
        let mut extra_files = Vec::new();
        for (name, content) in &self.extra_files {
            extra_files.push((text(path, name)?, text(path, content)?));
        }
        let extra_files: Vec<(&CStr, &CStr)> =
            extra_files.iter().map(|(name, content)| (&**name, &**content)).collect();
        let source = text(path, &self.source)?;
        let script = shim::Script { tensors: &tensors, source: &source, extra_files: &extra_files };
        write_whole(path, |_, place| {
            let place = CString::new(place.as_os_str().as_bytes())
                .map_err(|_| TorchError::file(path, "its name contains a zero character"))?;
            shim::save_script(&place, &script)
        })
    }
}

fn text(path: &Path, text: &str) -> Result<CString, TorchError> {
    CString::new(text)
        .map_err(|_| TorchError::file(path, format!("a text to write contains a zero character: {text:?}")))
}

#[cfg(test)]
mod tests {
    use tch::CModule;

    use super::*;

    fn module(source: &str) -> ScriptModule {
        let tensor = |value: f32| Tensor::from_slice(&[value]);
        ScriptModule {
            parameters: BTreeMap::from([("a.0.b".into(), tensor(2.0)), ("a.1.b".into(), tensor(3.0))]),
            buffers: BTreeMap::from([("a.0.mean".into(), tensor(5.0))]),
            source: source.into(),
            extra_files: BTreeMap::from([("about.json".into(), "{}".into())]),
        }
    }

    #[test]
    fn tensors_keep_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("module.pt");
        let source = "def sum(self, x: Tensor) -> Tensor:\n    \
                      return x + getattr(self.a, \"0\").mean + getattr(self.a, \"1\").b\n";
        module(source).save(&path).unwrap();
        let loaded = CModule::load(&path).unwrap();
        let names: Vec<_> = loaded.named_parameters().unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a.0.b", "a.1.b"], "a buffer is no parameter");
        let sum = loaded.method_ts("sum", &[Tensor::from_slice(&[1.0f32])]).unwrap();
        assert_eq!(sum, Tensor::from_slice(&[9.0f32]));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside the file");
    }

    #[test]
    fn what_is_no_script_is_an_error_and_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("module.pt");
        let no_attribute = "def f(self) -> Tensor:\n    return self.nothing\n";
        for (source, reason) in [(no_attribute, "nothing"), ("def f(", "expected"), ("\0", "zero character")] {
            let message = module(source).save(&path).unwrap_err().to_string();
            assert!(message.contains(reason), "{source:?}: {message}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
