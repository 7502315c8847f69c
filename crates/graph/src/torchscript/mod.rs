//! Graphs as methods of a TorchScript module.

mod expression;
mod source;

use std::collections::BTreeMap;
use std::path::Path;

use vqkit_torch::script::ScriptModule;

use crate::GraphError;
use crate::tokenizer::TokenizerGraph;

/// Name of the text in the file that holds the properties, as JSON.
const PROPERTIES: &str = "vqkit.json";

impl TokenizerGraph {
    /// Writes a TorchScript module, which `torch.jit.load` reads without vqkit. Its methods are
    ///
    /// - `encode(images)`, with `images` `[B, C, H, W]` in `[-1, 1]`: indices, i64. Of a single level with a single codebook
    ///   `[B, H', W']`; otherwise a tuple with `[B, Q, H', W']` of every level, coarse first.
    /// - `decode(indices)`, or `decode(indices_0, indices_1)` with one argument for each level: images `[B, C', H, W]`, not
    ///   clamped to `[-1, 1]`.
    /// - `forward(images)`: `decode` of `encode`.
    ///
    /// Batch, height and width are free; the downsampling must divide both sides. `state_dict()` has the names of the checkpoint.
    /// The text `vqkit.json` in the file holds facts of the tokenizer and the `properties` of the caller, such as `image_size`.
    ///
    /// # Errors
    /// [`GraphError::Torch`] when libtorch refuses, or the file cannot be written.
    pub fn save_torchscript(&self, path: &Path, properties: &BTreeMap<String, String>) -> Result<(), GraphError> {
        let (mut parameters, mut buffers) = (BTreeMap::new(), BTreeMap::new());
        for (name, tensor) in self.weights() {
            let list = if self.facts().trainable.contains(name) { &mut parameters } else { &mut buffers };
            list.insert(name.clone(), tensor.shallow_clone());
        }
        let about = serde_json::json!(self.properties(properties)).to_string();
        let extra_files = BTreeMap::from([(PROPERTIES.into(), about)]);
        Ok(ScriptModule { parameters, buffers, source: source::of(self), extra_files }.save(path)?)
    }
}
