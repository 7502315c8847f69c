//! The crate from outside: what the written files compute, against the tokenizers that they were written from.

#[cfg(test)]
mod cases;
#[cfg(test)]
mod onnxruntime;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod torchscript;
