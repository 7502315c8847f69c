//! The `vqkit` binary from the outside: whole runs, killed runs, wrong recipes, broken files.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod adversarial;
mod broken_files;
mod codebooks;
mod compare;
mod conditions;
mod determinism;
mod estimates;
mod exports;
mod features;
mod finetune;
mod finetune_configs;
mod finetune_priors;
mod folders;
mod golden_checkpoints;
mod guards;
mod hub;
mod inherited;
mod limits;
mod lone_quantizers;
mod low_rank;
mod manifests;
mod packed;
mod pillow;
mod plans;
mod prior_training;
mod priors;
mod processes;
mod recipes;
mod reference;
mod reference_curves;
mod report_page;
mod resume;
mod sampling;
mod sets;
mod shipped_models;
mod signals;
mod streams;
mod strict_imports;
mod tensorboard;
mod tutorial;
mod vqkit;
mod whole_path;
mod wrong_recipes;
