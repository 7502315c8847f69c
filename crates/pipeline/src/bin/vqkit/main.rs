//! The `vqkit` binary: train, sample, measure and look into runs.

mod arguments;
mod commands;

use std::{
    env,
    os::unix::process::CommandExt,
    process::{Command, ExitCode},
};

use clap::Parser;
use vqkit_pipeline::PipelineError;

use crate::arguments::Arguments;

/// How OpenMP's threads wait for the next loop: they spin for some tens of microseconds, which is longer than a network
/// takes from one operation to the next, and then sleep.
const WAITING: [(&str, &str); 2] = [("OMP_WAIT_POLICY", "passive"), ("GOMP_SPINCOUNT", "10000")];

fn main() -> ExitCode {
    spin_briefly_while_waiting();
    let arguments = Arguments::parse();
    match commands::run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(error.downcast_ref::<PipelineError>().map_or(1, PipelineError::exit_code))
        }
    }
}

/// Starts the program anew with [`WAITING`] in its environment, unless the user chose otherwise.
///
/// By default these threads spin for milliseconds and take the cores from the threads that decode images: on a busy machine
/// a training step took thirty times as long. Sleeping at once costs a third of the speed where cores are free. OpenMP reads
/// the variables when it is loaded, before `main`, so they cannot be set from here for this process.
fn spin_briefly_while_waiting() {
    if WAITING.iter().any(|(name, _)| env::var_os(name).is_some()) {
        return;
    }
    if let Ok(program) = env::current_exe() {
        let error = Command::new(program).args(env::args_os().skip(1)).envs(WAITING).exec();
        eprintln!("warning: training may be slower than it could be: the program cannot start itself anew: {error}");
    }
}
