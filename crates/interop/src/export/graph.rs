//! TorchScript and ONNX.

use std::path::Path;

use vqkit_run::Run;

use crate::error::{InteropError, Result};

/// Writes `tokenizer.pt`.
pub fn write_torchscript(run: &Run, _folder: &Path) -> Result<String> {
    Err(InteropError::file(run.path(), "todo"))
}

/// Writes `encode.onnx` and `decode.onnx`.
pub fn write_onnx(run: &Run, _folder: &Path) -> Result<String> {
    Err(InteropError::file(run.path(), "todo"))
}
