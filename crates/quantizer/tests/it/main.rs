//! The crate from outside: what holds for every quantizer, and the goldens.

#[cfg(test)]
mod common;
#[cfg(test)]
mod golden_lucidrains_fsq;
#[cfg(test)]
mod golden_lucidrains_lfq;
#[cfg(test)]
mod golden_lucidrains_rvq;
#[cfg(test)]
mod golden_lucidrains_simvq;
#[cfg(test)]
mod golden_lucidrains_vq;
#[cfg(test)]
mod golden_lucidrains_vq_heads;
#[cfg(test)]
mod golden_seed_quant;
#[cfg(test)]
mod golden_taming_gumbel;
#[cfg(test)]
mod gumbel;
#[cfg(test)]
mod members;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod training;
