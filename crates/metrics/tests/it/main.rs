//! The metrics against public implementations.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod golden_fid_inception;
mod golden_frechet;
mod golden_image_metrics;
mod sets;
