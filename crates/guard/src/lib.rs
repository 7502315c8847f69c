#![doc = include_str!("../README.md")]

mod discriminator_monitor;
mod fault;
mod guards;
mod trend;

pub use discriminator_monitor::DiscriminatorMonitor;
pub use fault::Fault;
pub use guards::Guards;
