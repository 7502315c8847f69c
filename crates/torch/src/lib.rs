#![doc = include_str!("../README.md")]

mod activation;
mod attempt;
pub mod autocast;
pub mod autograd;
pub mod cuda;
pub mod determinism;
pub mod device;
pub mod ema;
mod error;
mod images;
mod libtorch_error;
pub mod lora;
mod making;
pub mod memory;
pub mod numpy;
pub mod optim;
pub mod rng;
pub mod schedule;
pub mod script;
mod shim;
pub mod threads;
mod tokens;
pub mod weights;
mod whole;

pub use activation::leaky_relu;
pub use attempt::{attempt, attempt_in_memory};
pub use error::TorchError;
pub use images::{images, rgb8};
pub use libtorch_error::{BACKTRACE, LibtorchError};
pub use making::{continued, making};
/// The crate that this one builds on, in the version that all types here are of.
pub use tch;
pub use tokens::{TokenError, TokenGrid, Tokens};
pub use whole::write_whole;

/// The version of libtorch that this crate was built against, such as `2.11.0`.
pub fn libtorch_version() -> String {
    shim::libtorch_version()
}
