#![doc = include_str!("../README.md")]

mod dispatch;
mod group_norm;
mod memory;
mod number;
mod sharing;
mod sigmoid;

pub use group_norm::{Activation, GroupNorm, group_norm};
pub use sharing::{share, share_in_runs};
