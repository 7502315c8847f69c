//! The projects whose checkpoints are known: one file and one line here for each.

mod diffusers;
mod discriminator;
mod ibq;
mod known;
mod llamagen_gpt;
mod llamagen_vq;
mod lucidrains;
mod magvit2;
mod maskgit_vqgan;
mod net2net;
mod rosinality;
mod taming;
mod vqgan;

pub use diffusers::diffusers_name;

use crate::{family::Family, reading::Source};

/// Every family; the first that matches is meant, so that those with more names come before those with fewer.
static FAMILIES: [&dyn Family; 24] = [
    &net2net::Net2Net,
    &known::VAR_TOKENIZER,
    &known::VAR,
    &known::TITOK,
    &known::RAR,
    &known::MASKGIT,
    &known::MASKGIT_UVIT,
    &magvit2::OpenMagvit2,
    &maskgit_vqgan::MaskGitVqgan,
    &llamagen_vq::LlamaGenVq,
    &llamagen_gpt::LlamaGenGpt,
    &diffusers::Movq,
    &diffusers::VqModel,
    &taming::Gumbel,
    &ibq::Ibq,
    &taming::Ldm,
    &taming::Vqgan,
    &rosinality::VqVae2,
    &rosinality::PixelSnail,
    &lucidrains::Quantizer,
    &known::VIT_VQGAN,
    &known::LPIPS,
    &known::INCEPTION,
    &known::VGG16,
];

/// Every family.
pub fn all() -> &'static [&'static dyn Family] {
    &FAMILIES
}

/// The family of a state.
pub fn recognise(source: &Source) -> Option<&'static dyn Family> {
    FAMILIES.iter().copied().find(|family| family.matches(source))
}

/// The family of this name.
pub fn named(name: &str) -> Option<&'static dyn Family> {
    FAMILIES.iter().copied().find(|family| family.name() == name)
}
