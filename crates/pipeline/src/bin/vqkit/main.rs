//! The `vqkit` binary: train, sample, measure and look into runs.

mod arguments;
mod commands;

use std::process::ExitCode;

use clap::Parser;
use vqkit_pipeline::PipelineError;

use crate::arguments::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match commands::run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(error.downcast_ref::<PipelineError>().map_or(1, PipelineError::exit_code))
        }
    }
}
