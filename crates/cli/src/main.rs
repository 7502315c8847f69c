//! The `vqkit` binary: train, sample, evaluate and inspect.

mod allocator;
mod arguments;
mod bars;
mod commands;
mod early;
mod ending;
mod lists;
mod signals;
mod terminal;
mod usage;

use std::{
    env,
    os::unix::process::CommandExt,
    process::{Command, ExitCode},
};

use clap::Parser;

use crate::{allocator::Allocator, arguments::Arguments};

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// Environment variables that OpenMP and the allocator read before `main`.
///
/// OpenMP's threads wait for the next loop by spinning for some tens of microseconds, which is longer than a network
/// takes from one operation to the next, and then sleep. The allocator reuses the memory of freed tensors, since every
/// training step allocates them again, instead of returning it to the system, which would clear every page. It asks for
/// pages of 2 MiB, which most distributions give only to programs that ask: addresses of small pages are looked up so
/// often that a step of a GPT takes half as long again.
const SETTINGS: [(&str, &str); 4] = [
    ("OMP_WAIT_POLICY", "passive"),
    ("GOMP_SPINCOUNT", "10000"),
    ("MIMALLOC_PURGE_DELAY", "-1"),
    ("MIMALLOC_ALLOW_LARGE_OS_PAGES", "1"),
];

fn main() -> ExitCode {
    early::hold_signals();
    start_anew_with_settings();
    ending::remember_panics();
    let interrupt = match signals::listen() {
        Ok(interrupt) => interrupt,
        Err(error) => return ending::of_error(&anyhow::anyhow!("cannot handle Ctrl-C: {error}")),
    };
    early::release_signals();
    match Arguments::try_parse() {
        Err(error) => ending::of_wrong_call(&error),
        Ok(arguments) => {
            let work = interrupt.clone();
            let ended = ending::caught(|| commands::run(arguments, work));
            interrupt.end();
            ending::of(ended)
        }
    }
}

/// Restarts the program with [`SETTINGS`] in its environment, unless the user set one of them.
///
/// By default OpenMP's threads spin for milliseconds and take the cores from the threads that decode images: on a busy machine
/// a training step took thirty times as long. Sleeping at once costs a third of the speed where cores are free. The variables
/// are read before `main`, so they cannot be set from here for this process.
fn start_anew_with_settings() {
    if SETTINGS.iter().any(|(name, _)| env::var_os(name).is_some()) {
        return;
    }
    if let Ok(program) = env::current_exe() {
        let error = Command::new(program).args(env::args_os().skip(1)).envs(SETTINGS).exec();
        terminal::say(format_args!(
            "warning: training may be slower than necessary: the program cannot restart itself: {error}"
        ));
    }
}
