//! The formats that a run is written in.

use std::{fmt, str::FromStr};

use serde::Serialize;

/// What a run is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A folder that diffusers' `VQModel.from_pretrained` loads.
    Diffusers,
    /// The state dict and the configuration of taming-transformers.
    Taming,
    /// The state dicts of LlamaGen.
    Llamagen,
    /// A run with nothing but what its use needs.
    Run,
    /// The weights under vqkit's names, and the recipe as JSON.
    Safetensors,
    /// A TorchScript module with `encode` and `decode`.
    Torchscript,
    /// `encode.onnx` and `decode.onnx`.
    Onnx,
    /// The run's tokens as LlamaGen's training reads them: one `.npy` of codes and one of labels for every image.
    Npy,
    /// The run's tokens as tar shards in WebDataset layout.
    Webdataset,
}

const FORMATS: [(&str, Format); 9] = [
    ("run", Format::Run),
    ("diffusers", Format::Diffusers),
    ("taming", Format::Taming),
    ("llamagen", Format::Llamagen),
    ("safetensors", Format::Safetensors),
    ("torchscript", Format::Torchscript),
    ("onnx", Format::Onnx),
    ("npy", Format::Npy),
    ("webdataset", Format::Webdataset),
];

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        FORMATS.iter().find(|(name, _)| *name == text).map(|(_, format)| *format).ok_or_else(|| {
            let names: Vec<_> = FORMATS.iter().map(|(name, _)| *name).collect();
            format!("`{text}` is no format; there are {}", names.join(", "))
        })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str(FORMATS.iter().find(|(_, format)| format == self).map_or("", |(name, _)| name))
    }
}
