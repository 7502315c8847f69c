//! The crate from outside: what holds for every tokenizer, and the goldens.

#[cfg(test)]
mod built;
#[cfg(test)]
mod diffusers;
#[cfg(test)]
mod golden_diffusers_vqmodel;
#[cfg(test)]
mod golden_llamagen_vq;
#[cfg(test)]
mod golden_maskgit_vqgan;
#[cfg(test)]
mod golden_ritheshkumar_vqvae;
#[cfg(test)]
mod golden_rosinality_vqvae2;
#[cfg(test)]
mod golden_seed_voken;
#[cfg(test)]
mod golden_taming_vqgan;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod tokenizers;
#[cfg(test)]
mod vqgan;
