//! The metrics against public implementations.

mod golden_fid_inception;
mod golden_frechet;
mod golden_image_metrics;
mod sets;
