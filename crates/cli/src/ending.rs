//! How the program ends: its last message, and its exit code.

use std::{
    backtrace::Backtrace,
    env,
    panic::{self, AssertUnwindSafe, PanicHookInfo},
    process::ExitCode,
    sync::{Mutex, PoisonError},
};

use anyhow::Result;
use vqkit::torch::BACKTRACE;

use crate::{terminal, usage};

/// The exit code of a bug, as `sysexits.h` has it.
const BUG: u8 = 70;

/// Message and place of the last panic.
static PANIC: Mutex<Option<String>> = Mutex::new(None);

/// Why the work failed.
pub enum Failure {
    /// It returned an error.
    Error(anyhow::Error),
    /// It panicked.
    Panic,
}

/// Keeps messages of panics until it is known whether they are caught: a decoder that panics on a damaged image is not
/// a bug.
pub fn remember_panics() {
    panic::set_hook(Box::new(|info| {
        let mut last = PANIC.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(describe(info));
    }));
}

fn describe(info: &PanicHookInfo) -> String {
    let payload = info.payload();
    let text = payload.downcast_ref::<String>().map(String::as_str).or_else(|| payload.downcast_ref::<&str>().copied());
    let what = text.unwrap_or("a panic without a message");
    let place = info.location().map_or_else(String::new, |place| format!(", at {place}"));
    let wants_more = env::var_os(BACKTRACE).is_some_and(|value| !value.is_empty());
    let backtrace = if wants_more { format!("\n{}", Backtrace::force_capture()) } else { String::new() };
    format!("{what}{place}{backtrace}")
}

/// The outcome of `work`.
pub fn caught(work: impl FnOnce() -> Result<()>) -> Result<(), Failure> {
    match panic::catch_unwind(AssertUnwindSafe(work)) {
        Ok(ended) => ended.map_err(Failure::Error),
        Err(_) => Err(Failure::Panic),
    }
}

/// Reports how the work ended.
pub fn of(ended: Result<(), Failure>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Error(error)) => of_error(&error),
        Err(Failure::Panic) => of_bug(),
    }
}

/// Reports an error.
pub fn of_error(error: &anyhow::Error) -> ExitCode {
    terminal::say(format_args!("error: {}", usage::message(error)));
    ExitCode::from(usage::exit_code(error))
}

/// Reports what is wrong with the call, or prints the requested help.
pub fn of_wrong_call(error: &clap::Error) -> ExitCode {
    match (error.use_stderr(), terminal::printed(error.print())) {
        (true, _) => ExitCode::from(2),
        (false, Ok(())) => ExitCode::SUCCESS,
        (false, Err(error)) => of_error(&error.into()),
    }
}

fn of_bug() -> ExitCode {
    let last = PANIC.lock().unwrap_or_else(PoisonError::into_inner).take();
    let what = last.unwrap_or_else(|| "a panic without a message".into());
    let (version, repository) = (env!("CARGO_PKG_VERSION"), env!("CARGO_PKG_REPOSITORY"));
    terminal::say(format_args!(
        "error: this is a bug in vqkit {version}: {what}\nPlease report it at {repository}, with this message and the command line; with \
         {BACKTRACE}=1 the message says more. Checkpoints and finished files are sound."
    ));
    ExitCode::from(BUG)
}
