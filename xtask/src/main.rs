//! Workflows of vqkit: provisions libtorch, builds the `vqkit` binary and drives it. Links no libtorch itself.

mod bench;
mod book;
mod cargo;
mod check;
mod demo;
mod forward;
mod package;
mod quantizers;
mod reference;
mod setup;
mod terminal;
mod venv;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use crate::terminal::complain;

/// Workflows of vqkit. Each command first provides what it needs: libtorch, a build, a virtual environment.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
enum Verb {
    Setup(setup::Options),
    Demo(demo::Options),
    /// Run every test there is, cheapest first: format, house rules, the book and its links, clippy, documentation, unit, doc and end-to-end tests.
    #[command(after_help = "Example:\n  cargo xtask test")]
    Test,
    /// Train the stages of a recipe that are missing (`vqkit train`).
    #[command(after_help = "Example:\n  cargo xtask train configs/vqvae-cifar10.toml --set seed=1")]
    Train(forward::Arguments),
    /// Draw new images under conditions from a trained run: by class, text or template, or from a kept part (`vqkit sample`).
    #[command(
        visible_alias = "sample",
        after_help = "Examples:\n  cargo xtask condition runs/demo --class circle -n 16 -o circles\n  \
                            cargo xtask condition runs/shapes-text --text \"a large red circle\" --cfg 2\n  \
                            cargo xtask condition runs/shapes-template --template map.png -n 3\n  \
                            cargo xtask condition runs/demo --image picture.png --keep top=0.5"
    )]
    Condition(forward::Arguments),
    /// Measure a run, several side by side, or any two sets of images (`vqkit evaluate`).
    #[command(
        after_help = "Examples:\n  cargo xtask evaluate runs/demo\n  cargo xtask evaluate --real photographs/ --fake samples/"
    )]
    Evaluate(forward::Arguments),
    Quantizers(quantizers::Options),
    Bench(bench::Options),
    Book(book::Options),
    /// Write the book's reference pages anew from the binary: the schema of recipes, its keys, the command line.
    #[command(after_help = "Example:\n  cargo xtask reference")]
    Reference,
    /// Check the house rules: layers of crates, circles of imports, versions, module headers, sizes of files and crates.
    #[command(after_help = "Example:\n  cargo xtask tidy")]
    Tidy,
    /// Pack every crate as for a registry, from a copy of the checkout; publishes nothing.
    #[command(after_help = "Example:\n  cargo xtask package")]
    Package,
    /// What `.ci/run` calls: the versions in use, set-up for the CPU, and every test with the locked dependencies.
    #[command(after_help = "Example:\n  cargo xtask ci")]
    Ci,
}

fn main() -> ExitCode {
    match run(Verb::parse()) {
        Ok(code) => code,
        Err(error) => {
            complain!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Verb) -> Result<ExitCode> {
    match verb {
        Verb::Setup(options) => setup::setup(&options)?,
        Verb::Demo(options) => return demo::demo(&options),
        Verb::Test => check::test()?,
        Verb::Train(arguments) => return forward::vqkit("train", &arguments),
        Verb::Condition(arguments) => return forward::vqkit("sample", &arguments),
        Verb::Evaluate(arguments) => return forward::vqkit("evaluate", &arguments),
        Verb::Quantizers(options) => return quantizers::quantizers(&options),
        Verb::Bench(options) => bench::bench(&options)?,
        Verb::Book(options) => book::book(&options)?,
        Verb::Reference => reference::reference()?,
        Verb::Tidy => check::tidy(&[])?,
        Verb::Package => package::dry_run(&[])?,
        Verb::Ci => check::ci()?,
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn words(line: &[&str]) -> Vec<std::ffi::OsString> {
        match Verb::try_parse_from(["cargo xtask", "train"].iter().chain(line)) {
            Ok(Verb::Train(arguments)) => arguments.words,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_command_line_is_sound_and_every_verb_shows_an_example() {
        let command = Verb::command();
        command.clone().debug_assert();
        for verb in command.get_subcommands() {
            let example = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(example.contains(&format!("cargo xtask {}", verb.get_name())), "{}", verb.get_name());
        }
    }

    #[test]
    fn options_behind_the_recipe_and_help_behind_dashes_are_handed_over() {
        assert_eq!(words(&["demo.toml", "--set", "seed=1"]), ["demo.toml", "--set", "seed=1"]);
        assert_eq!(words(&["--", "--help"]), ["--help"]);
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        assert!(Verb::try_parse_from(["cargo xtask", "setup", "--cuda", "--cpu"]).is_err());
        assert!(Verb::try_parse_from(["cargo xtask", "bench", "--rounds", "3"]).is_err());
        assert!(Verb::try_parse_from(["cargo xtask", "bench", "--peers", "--rounds", "0"]).is_err());
    }
}
