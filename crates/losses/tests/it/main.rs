//! The crate from outside: what holds for the losses' networks, and the goldens.

#[cfg(test)]
mod golden_lpips;
#[cfg(test)]
mod golden_patchgan;
#[cfg(test)]
mod patchgan;
#[cfg(test)]
mod perceptual;
#[cfg(test)]
mod r1;
