//! A tokenizer as a graph that runs without vqkit: TorchScript and ONNX.

use std::{collections::BTreeMap, path::Path};

use vqkit_graph::TokenizerGraph;
use vqkit_recipe::Modality;
use vqkit_run::Run;

use super::networks;
use crate::error::Result;

/// Writes `tokenizer.pt`; gives the lines of Python that load it.
pub fn write_torchscript(run: &Run, folder: &Path) -> Result<String> {
    graph(run)?.save_torchscript(&folder.join("tokenizer.pt"), &properties(run))?;
    Ok("```python\nimport torch\n\ntokenizer = torch.jit.load(\"tokenizer.pt\")\nindices = tokenizer.encode(images)  # [B, C, H, W] in [-1, 1]\nimages = tokenizer.decode(indices)\n```\n".into())
}

/// Writes `encode.onnx` and `decode.onnx`; gives the lines of Python that run them.
pub fn write_onnx(run: &Run, folder: &Path) -> Result<String> {
    graph(run)?.save_onnx(folder, &properties(run))?;
    Ok("```python\nimport onnxruntime\n\nencode, decode = (onnxruntime.InferenceSession(f\"{name}.onnx\") for name in (\"encode\", \"decode\"))\nindices = encode.run(None, {\"images\": images})  # float32 [B, C, H, W] in [-1, 1]\nimages = decode.run(None, dict(zip((input.name for input in decode.get_inputs()), indices)))\n```\n".into())
}

fn graph(run: &Run) -> Result<TokenizerGraph> {
    let config = run.recipe().tokenizer(Modality::Image)?;
    let channels = Modality::Image.input_spec(&run.recipe().data).channels as i64;
    let weights = networks::all_weights(run, Modality::Image.stage())?;
    Ok(TokenizerGraph::new(&config.network, &config.quantizer, channels, &weights)?)
}

fn properties(run: &Run) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("name".to_owned(), run.recipe().head.name.clone()),
        ("image_size".to_owned(), run.recipe().data.image_size.to_string()),
    ])
}
