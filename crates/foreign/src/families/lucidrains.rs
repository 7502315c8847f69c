//! A quantizer of lucidrains/vector-quantize-pytorch, saved by itself.
//!
//! Source: `vector_quantize_pytorch/vector_quantize_pytorch.py` (`VectorQuantize`, `EuclideanCodebook`). A quantizer alone has
//! no encoder, so that it becomes no run.

use crate::family::Family;
use crate::reading::{Reading, Source};

/// `VectorQuantize`.
pub struct Quantizer;

impl Family for Quantizer {
    fn name(&self) -> &'static str {
        "lucidrains-vq"
    }

    fn title(&self) -> &'static str {
        "quantizer of lucidrains/vector-quantize-pytorch"
    }

    fn matches(&self, source: &Source) -> bool {
        source.set.has("_codebook.embed") || source.set.has("layers.0._codebook.embed")
    }

    fn read<'f>(&self, _source: &Source<'_, 'f>) -> Result<Option<Reading<'f>>, String> {
        Ok(None)
    }
}
