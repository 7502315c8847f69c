//! Linear maps between latents and codes of another width.

use crate::GraphError;
use crate::builder::Builder;
use crate::graph::Value;

/// Latents of width `dim` as rows of width `code_dim`, by `project_in` where these differ.
pub(super) fn enter(
    graph: &mut Builder,
    at: &str,
    latents: Value,
    dim: i64,
    code_dim: i64,
) -> Result<Value, GraphError> {
    if dim == code_dim { Ok(latents) } else { graph.linear(latents, &format!("{at}.project_in")) }
}

/// Codes of width `code_dim` as rows of width `dim`, by `project_out` where these differ.
pub(super) fn leave(graph: &mut Builder, at: &str, codes: Value, dim: i64, code_dim: i64) -> Result<Value, GraphError> {
    if dim == code_dim { Ok(codes) } else { graph.linear(codes, &format!("{at}.project_out")) }
}
