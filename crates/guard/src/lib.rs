#![doc = include_str!("../README.md")]

mod band_watch;
mod discriminator_monitor;
mod fault;
mod guards;
mod trend;

pub use band_watch::BandWatch;
pub use discriminator_monitor::DiscriminatorMonitor;
pub use fault::Fault;
pub use guards::Guards;
