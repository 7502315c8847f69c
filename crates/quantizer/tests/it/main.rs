//! The crate from outside: what holds for every quantizer, and the golden.

#[cfg(test)]
mod common;
#[cfg(test)]
mod golden_lucidrains_vq;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod training;
