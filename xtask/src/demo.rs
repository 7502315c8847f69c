//! The verb `demo`: the main job on the built-in shapes, from set-up to the report, by class, by text and by template.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::cargo::{cargo, root, run};
use crate::terminal::say;
use crate::{forward, setup};

/// The recipe by class, which trains the tokenizer of all.
const RECIPE: &str = "configs/demo.toml";

/// Those that take it: what is put behind the name of the run, and the recipe.
const FURTHER: [(&str, &str); 2] = [("text", "configs/demo-text.toml"), ("template", "configs/demo-template.toml")];

/// Train a tokenizer and priors on the built-in shapes, draw new images by class, by text and by template, and write reports; downloads no
/// data.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  cargo xtask demo --set seed=1")]
pub struct Options {
    /// Folder of the run [default: the first of runs/demo, runs/demo-2, … that is free]
    #[arg(long, value_name = "DIR")]
    run: Option<PathBuf>,
    /// Override a key of all recipes
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

/// Runs the demo and says where to look.
pub fn demo(options: &Options) -> Result<ExitCode> {
    let folder = options.run.clone().unwrap_or_else(|| first_free(&root().join("runs"), "demo"));
    announce(&root().join(RECIPE), &folder)?;
    setup::ensure()?;
    run(&mut cargo(&["build", "--release", "--package", "vqkit-cli"]))?;
    train(RECIPE, &folder, &options.set)?;
    let from = format!("tokenizer.from={}", folder.display());
    let mut folders = vec![folder.clone()];
    for (kind, recipe) in FURTHER {
        folders.push(beside(&folder, kind));
        train(recipe, &folders[folders.len() - 1], &[&options.set[..], std::slice::from_ref(&from)].concat())?;
    }
    conclude(&folders)?;
    Ok(ExitCode::SUCCESS)
}

fn train(recipe: &str, folder: &Path, set: &[String]) -> Result<()> {
    let mut train = forward::binary("train");
    train.arg(recipe).arg("--run").arg(folder);
    for pair in set {
        train.args(["--set", pair]);
    }
    run(&mut train)
}

/// The folder of a further run: `runs/demo-text` beside `runs/demo`.
fn beside(folder: &Path, kind: &str) -> PathBuf {
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    folder.with_file_name(format!("{name}-{kind}"))
}

/// Prints the recipe's own account of what it does, how long it takes and what to expect.
fn announce(recipe: &Path, folder: &Path) -> Result<()> {
    let text = fs::read_to_string(recipe).with_context(|| format!("cannot read {}", recipe.display()))?;
    say!("The demo builds vqkit and trains {RECIPE} into {}:\n\n{}", folder.display(), header(&text));
    Ok(())
}

/// The comment at the head of a recipe, without its marks.
pub fn header(recipe: &str) -> String {
    let lines = recipe.lines().map_while(|line| line.strip_prefix('#'));
    lines.map(|line| format!("  {}\n", line.trim_start())).collect()
}

fn conclude(folders: &[PathBuf]) -> Result<()> {
    say!("\nThe demo is done. Look at:");
    let kinds = ["by class", "by text", "by template"];
    for (folder, kind) in folders.iter().zip(kinds) {
        for (path, what) in [
            ("samples/overview/sheet.png", format!("new images {kind}, each beside its condition")),
            ("report/report.html", "metrics, curves and images; `report/metrics.json` has the metrics alone".into()),
        ] {
            let path = folder.join(path);
            if !path.is_file() {
                bail!("the run ended without {}", path.display());
            }
            say!("  {}  ({what})", path.display());
        }
    }
    say!("More images:");
    for (folder, condition) in folders.iter().zip(["--class cross", "--text \"a large blue cross\"", "--each 4"]) {
        say!("  cargo xtask condition {} {condition} --cfg 2 -n 16", folder.display());
    }
    Ok(())
}

/// The first of `parent/name`, `parent/name-2`, … that does not exist.
fn first_free(parent: &Path, name: &str) -> PathBuf {
    let names = std::iter::once(name.to_owned()).chain((2_u32..).map(|number| format!("{name}-{number}")));
    let mut free = names.map(|name| parent.join(name)).filter(|path| !path.exists());
    free.next().unwrap_or_else(|| parent.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_runs_lie_beside_the_first() {
        assert_eq!(beside(Path::new("runs/demo-2"), "text"), Path::new("runs/demo-2-text"));
    }

    #[test]
    fn a_second_demo_leaves_the_first_alone() {
        let parent = tempfile::tempdir().unwrap();
        assert_eq!(first_free(parent.path(), "demo"), parent.path().join("demo"));
        fs::create_dir(parent.path().join("demo")).unwrap();
        fs::create_dir(parent.path().join("demo-2")).unwrap();
        assert_eq!(first_free(parent.path(), "demo"), parent.path().join("demo-3"));
    }

    #[test]
    fn the_header_ends_with_the_first_line_that_is_no_comment() {
        assert_eq!(header("# Shapes.\n#\n# Minutes.\nseed = 0\n# not this"), "  Shapes.\n  \n  Minutes.\n");
    }

    #[test]
    fn a_run_without_samples_is_no_success() {
        let run = tempfile::tempdir().unwrap();
        let error = conclude(&[run.path().to_owned()]).unwrap_err().to_string();
        assert!(error.contains("sheet.png"), "{error}");
    }
}
