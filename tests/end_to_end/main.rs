//! The `vqkit` binary from the outside: whole runs, killed runs, wrong recipes, broken files.

mod adversarial;
mod broken_files;
mod determinism;
mod features;
mod finetune;
mod processes;
mod recipes;
mod resume;
mod vqkit;
mod whole_path;
mod wrong_recipes;
