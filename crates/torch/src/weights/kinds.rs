//! The kinds that a file can hold and libtorch too.

use safetensors::Dtype;
use tch::Kind;

const KINDS: [(Kind, Dtype); 10] = [
    (Kind::Bool, Dtype::BOOL),
    (Kind::Uint8, Dtype::U8),
    (Kind::Int8, Dtype::I8),
    (Kind::Int16, Dtype::I16),
    (Kind::Int, Dtype::I32),
    (Kind::Int64, Dtype::I64),
    (Kind::Half, Dtype::F16),
    (Kind::BFloat16, Dtype::BF16),
    (Kind::Float, Dtype::F32),
    (Kind::Double, Dtype::F64),
];

pub fn dtype_of(kind: Kind) -> Option<Dtype> {
    KINDS.iter().find(|(known, _)| *known == kind).map(|(_, dtype)| *dtype)
}

/// The kind of a type of safetensors; `None` for what libtorch lacks.
pub fn kind_of(dtype: Dtype) -> Option<Kind> {
    KINDS.iter().find(|(_, known)| *known == dtype).map(|(kind, _)| *kind)
}

/// The name of a kind in files: `F32`, `I64`.
pub fn name_of(kind: Kind) -> String {
    dtype_of(kind).map_or_else(|| format!("{kind:?}"), |dtype| dtype.to_string())
}
