//! The `vqkit` binary: train, sample, measure and look into runs.

mod arguments;
mod commands;

use std::{env, os::unix::process::CommandExt, process::Command, process::ExitCode};

use clap::Parser;
use vqkit_pipeline::PipelineError;

use crate::arguments::Arguments;

/// Whether threads of OpenMP that wait burn their core (`active`, its default) or sleep (`passive`).
const WAIT_POLICY: &str = "OMP_WAIT_POLICY";

fn main() -> ExitCode {
    sleep_while_waiting();
    let arguments = Arguments::parse();
    match commands::run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(error.downcast_ref::<PipelineError>().map_or(1, PipelineError::exit_code))
        }
    }
}

/// Starts the program anew with OpenMP's waiting threads asleep, unless the user chose otherwise.
///
/// Waiting threads that spin take the cores from the threads that decode images: with one decoder beside two of
/// libtorch's threads on a busy machine, a training step took thirty times as long. OpenMP reads the variable when it is
/// loaded, before `main`, so it cannot be set from here for this process.
fn sleep_while_waiting() {
    if env::var_os(WAIT_POLICY).is_some() {
        return;
    }
    if let Ok(program) = env::current_exe() {
        let error = Command::new(program).args(env::args_os().skip(1)).env(WAIT_POLICY, "passive").exec();
        eprintln!("warning: training may be slower than it could be: cannot start anew with {WAIT_POLICY}: {error}");
    }
}
