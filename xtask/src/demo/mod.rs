//! The verb `demo`: pictures from the models that come with vqkit, then a small pipeline trained from nothing.

mod drawings;
mod page;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::cargo::{cargo, root, run};
use crate::terminal::say;
use crate::{forward, setup};
use page::{Drawn, picture};

/// The recipe that is trained.
const RECIPE: &str = "configs/demo.toml";

/// The models that come with vqkit.
const MODELS: &str = "assets/models";

/// What is set for the run that shows the beginning of training: a few seconds of it.
const FIRST_STEPS: [&str; 6] = [
    "tokenizer.train.steps=30",
    "prior.0.train.steps=30",
    "tokenizer.train.schedule={type=\"constant\"}",
    "prior.0.train.schedule={type=\"constant\"}",
    "data.source.count=2000",
    "data.source.validation_count=200",
];

/// Draw pictures from the models that come with vqkit, then train a tokenizer and a prior on the built-in shapes; downloads no data.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo xtask demo --quick\n  cargo xtask demo --set seed=1")]
pub struct Options {
    /// Folder of the trained run; pictures go to DIR-pictures [default: the first of runs/demo, runs/demo-2, … that is free, with
    /// --quick of runs/demo-quick, …]
    #[arg(long, value_name = "DIR")]
    run: Option<PathBuf>,
    /// Override a key of the recipe
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Stop after the pictures: train nothing
    #[arg(long)]
    quick: bool,
}

/// Runs the demo and says where to look.
pub fn demo(options: &Options) -> Result<ExitCode> {
    let folder = match &options.run {
        Some(folder) => std::path::absolute(folder)?,
        None => first_free(&root().join("runs"), if options.quick { "demo-quick" } else { "demo" }),
    };
    let pictures = beside(&folder, "pictures");
    setup::ensure()?;
    say!("\nbuilding vqkit; the first time this takes some minutes");
    run(&mut cargo(&["build", "--release", "--package", "vqkit-cli"]))?;

    let begun = Instant::now();
    fs::create_dir_all(&pictures).with_context(|| format!("cannot create {}", pictures.display()))?;
    let mut drawn = drawings::draw(&pictures, &root().join(MODELS))?;
    let page = pictures.join("index.html");
    page::write(&page, &drawn)?;
    say!("\n{} drawings in {:.0} s. Look at\n  {}", drawn.len(), begun.elapsed().as_secs_f64(), page.display());
    if options.quick {
        return Ok(ExitCode::SUCCESS);
    }
    announce(&root().join(RECIPE), &folder)?;
    let first = beside(&folder, "first-steps");
    train(&first, &[&FIRST_STEPS.map(str::to_owned)[..], &options.set[..]].concat())?;
    train(&folder, &options.set)?;
    drawn.extend([
        trained("After 30 steps", "What the tokenizer and the prior draw a few seconds after their start.", &first)?,
        trained("After training", "The same recipe to its end: each row begins with the class asked for.", &folder)?,
    ]);
    page::write(&page, &drawn)?;
    conclude(&folder, &page);
    Ok(ExitCode::SUCCESS)
}

fn train(folder: &Path, set: &[String]) -> Result<()> {
    let mut train = forward::binary("train");
    train.arg(RECIPE).arg("--run").arg(folder);
    for pair in set {
        train.args(["--set", pair]);
    }
    run(&mut train)
}

/// The samples of a trained run.
fn trained(title: &str, about: &str, folder: &Path) -> Result<Drawn> {
    let command = format!("vqkit train {RECIPE}");
    Ok(Drawn { title: title.into(), about: about.into(), command, picture: picture(&folder.join("samples"))? })
}

/// The folder of something that belongs to a run: `runs/demo-pictures` beside `runs/demo`.
fn beside(folder: &Path, kind: &str) -> PathBuf {
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    folder.with_file_name(format!("{name}-{kind}"))
}

/// Prints the recipe's own account of what it does, how long it takes and what to expect.
fn announce(recipe: &Path, folder: &Path) -> Result<()> {
    let text = fs::read_to_string(recipe).with_context(|| format!("cannot read {}", recipe.display()))?;
    say!("\nNow the demo trains {RECIPE} from nothing into {}:\n\n{}", folder.display(), header(&text));
    Ok(())
}

/// The comment at the head of a recipe, without its marks.
pub fn header(recipe: &str) -> String {
    let lines = recipe.lines().skip_while(|line| line.starts_with("#:")).map_while(|line| line.strip_prefix('#'));
    lines.map(|line| format!("  {}\n", line.trim_start())).collect()
}

fn conclude(folder: &Path, page: &Path) {
    say!("\nThe demo is done. Look at");
    say!("  {}  (all pictures)", page.display());
    say!("  {}  (metrics, curves and images of the trained run)", folder.join("report/report.html").display());
    say!("More images:\n  cargo xtask condition {} --class cross -n 16", folder.display());
}

/// The first of `parent/name`, `parent/name-2`, … that does not exist.
fn first_free(parent: &Path, name: &str) -> PathBuf {
    let names = std::iter::once(name.to_owned()).chain((2_u32..).map(|number| format!("{name}-{number}")));
    let is_free = |path: &PathBuf| !path.exists() && !beside(path, "pictures").exists();
    let mut free = names.map(|name| parent.join(name)).filter(is_free);
    free.next().unwrap_or_else(|| parent.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_a_run_lies_beside_it() {
        assert_eq!(beside(Path::new("runs/demo-2"), "pictures"), Path::new("runs/demo-2-pictures"));
    }

    #[test]
    fn a_second_demo_leaves_the_first_alone() {
        let parent = tempfile::tempdir().unwrap();
        assert_eq!(first_free(parent.path(), "demo"), parent.path().join("demo"));
        fs::create_dir(parent.path().join("demo-pictures")).unwrap();
        fs::create_dir(parent.path().join("demo-2")).unwrap();
        assert_eq!(first_free(parent.path(), "demo"), parent.path().join("demo-3"));
    }

    #[test]
    fn the_header_is_the_comment_behind_the_line_for_editors() {
        assert_eq!(header("#:schema x\n# Shapes.\n#\n# Minutes.\nseed = 0\n# not this"), "  Shapes.\n  \n  Minutes.\n");
    }

    #[test]
    fn a_run_without_samples_has_no_picture() {
        let run = tempfile::tempdir().unwrap();
        assert!(trained("", "", run.path()).is_err());
    }
}
