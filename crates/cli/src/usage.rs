//! Errors of the library on the command line: flags in place of options, exit codes by kind.

use std::path::Path;

use vqkit::{
    config::ConfigError,
    pretrained::{HubProblem, PretrainedError},
    recipe::InvalidRequest,
    run::RunError,
};

/// An error of the command line itself, not of the files that it names.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// The exit code of a program that ends with this error: 1 failed, 2 usage, 130 interrupted.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    let code = |cause: &(dyn std::error::Error + 'static)| {
        let is_usage = cause.is::<Usage>() || cause.is::<InvalidRequest>() || cause.is::<ConfigError>();
        match cause.downcast_ref::<RunError>() {
            Some(RunError::Interrupted) => Some(130),
            Some(RunError::NotFree { .. } | RunError::RunExists { .. }) => Some(2),
            _ => is_usage.then_some(2),
        }
    };
    error.chain().find_map(code).unwrap_or(1)
}

/// The message of an error: every cause once, although most messages include their cause; options are named by their
/// flags.
pub fn message(error: &anyhow::Error) -> String {
    let of_library = |cause| of_run(cause).or_else(|| of_hub(cause));
    let in_our_words = error.chain().find_map(of_option).or_else(|| error.chain().find_map(of_library));
    let all = error.chain().map(ToString::to_string).reduce(|message, cause| match message.contains(&cause) {
        true => message,
        false => format!("{message}: {cause}"),
    });
    in_our_words.unwrap_or_else(|| all.unwrap_or_default())
}

/// The message about an option, under its flag.
fn of_option(cause: &(dyn std::error::Error + 'static)) -> Option<String> {
    match cause.downcast_ref::<InvalidRequest>()? {
        InvalidRequest::Option { option, reason } => Some(match flag(option) {
            Some(flag) => format!("{flag}: {reason}"),
            None => reason.clone(),
        }),
        _ => None,
    }
}

/// What to do next, where a flag helps.
fn of_run(cause: &(dyn std::error::Error + 'static)) -> Option<String> {
    let resume = |run: &Path| format!("resume it with `vqkit train RECIPE --run {} --resume`", run.display());
    match cause.downcast_ref::<RunError>()? {
        RunError::RunExists { path } => {
            let path = path.display();
            Some(format!("{path} exists already: continue it with --resume, or choose another folder with --run"))
        }
        RunError::StageNotDone { run, stage } => {
            Some(format!("{}: its stage `{stage}` is not done; {}", run.display(), resume(run)))
        }
        _ => None,
    }
}

/// Which command fetches what is missing.
fn of_hub(cause: &(dyn std::error::Error + 'static)) -> Option<String> {
    match cause.downcast_ref::<PretrainedError>()? {
        PretrainedError::Hub(error) if matches!(error.problem, HubProblem::Offline { .. }) => {
            Some(format!("{error}; with a network, `vqkit weights fetch {}` fetches it", error.location))
        }
        _ => None,
    }
}

/// The flag of an option of the library; `None` where it is an argument without a flag.
fn flag(option: &str) -> Option<String> {
    match option {
        "recipe" | "path" | "name" => None,
        "XDG_CACHE_HOME" => Some(option.to_owned()),
        "image" => Some("IMAGE".into()),
        "cfg_scale" => Some("--cfg".into()),
        "family" => Some("--as".into()),
        "out" | "run" | "stage" | "keep" | "mask" => Some(format!("--{option}")),
        option => Some(format!("--{}", option.replace('_', "-"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_named_by_their_flags_and_end_with_2() {
        let error = anyhow::Error::new(RunError::from(InvalidRequest::option("template_of", "is gone")));
        assert_eq!((message(&error).as_str(), exit_code(&error)), ("--template-of: is gone", 2));
        let error = anyhow::Error::new(RunError::from(InvalidRequest::option("cfg_scale", "must be positive")));
        assert_eq!(message(&error), "--cfg: must be positive");
    }

    #[test]
    fn an_interruption_is_found_at_any_depth() {
        let error = anyhow::Error::new(RunError::Interrupted).context("continue with --resume");
        assert_eq!((message(&error).as_str(), exit_code(&error)), ("continue with --resume: interrupted", 130));
    }
}
