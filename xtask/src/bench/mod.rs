//! The verb `bench`: the criterion benches, or with `--peers` the Python peers side by side with ours.

mod pairs;
mod rounds;
mod table;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::cargo::{cargo, root, run, target_dir};
use crate::setup;
use crate::terminal::say;
use pairs::Pair;
use rounds::Outcome;

/// Time vqkit: the criterion benches of all crates, or with --peers Python programs that do the same.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo xtask bench\n  cargo xtask bench --peers data-loader --rounds 7")]
pub struct Options {
    /// Compare with the peers: each pair by turns, as a table of ratios; installs PyTorch under target/peers
    #[arg(long)]
    peers: bool,
    /// Rounds of each pair; the median of the ratios counts
    #[arg(long, default_value_t = 5, value_name = "N", requires = "peers", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Threads of either side
    #[arg(long, default_value_t = 2, value_name = "N", requires = "peers", value_parser = clap::value_parser!(u32).range(1..))]
    threads: u32,
    /// The pairs to compare, or words that the names of criterion benches contain [default: all]
    names: Vec<String>,
}

/// Runs what the options ask for.
pub fn bench(options: &Options) -> Result<()> {
    setup::ensure()?;
    if options.peers { compare(options) } else { criterion(&options.names) }
}

/// Criterion takes one filter, so that each name is a run.
fn criterion(names: &[String]) -> Result<()> {
    let all = ["bench", "--workspace", "--exclude", "xtask"];
    if names.is_empty() {
        return run(&mut cargo(&all));
    }
    names.iter().try_for_each(|name| run(cargo(&all).args(["--", name])))
}

fn compare(options: &Options) -> Result<()> {
    let chosen = pairs::chosen(&options.names)?;
    let mut outcomes = Vec::new();
    for pair in chosen {
        say!("\n{}: {}", pair.name, pair.about);
        let rounds = match missing(pair) {
            Some(reason) => Err(reason),
            None => Ok(rounds::run(pair, options.rounds, options.threads, data().as_deref())?),
        };
        if let Err(reason) = &rounds {
            say!("skipped: {reason}");
        }
        outcomes.push(Outcome { pair, rounds });
    }
    say!("\n{}", table::text(&outcomes));
    let path = target_dir().join("bench/peers.json");
    fs::create_dir_all(target_dir().join("bench"))?;
    fs::write(&path, table::json(&outcomes, options.threads))
        .with_context(|| format!("cannot write {}", path.display()))?;
    say!("\nEvery round: {}", path.display());
    ensure!(outcomes.iter().any(|outcome| outcome.rounds.is_ok()), "every pair was skipped");
    Ok(())
}

/// Why a pair cannot run here, if it cannot.
fn missing(pair: &Pair) -> Option<String> {
    if pair.needs_bf16 && !has_bf16() {
        return Some("the processor does not multiply in bfloat16 (AVX512-BF16, or bf16 on ARM)".into());
    }
    let file = pair.data?;
    match data() {
        Some(folder) if folder.join(file).is_file() => None,
        Some(folder) => Some(format!("{} has no {file}", folder.display())),
        None => Some(format!("it needs {file}: set VQKIT_DATA to the folder that holds it")),
    }
}

#[cfg(target_arch = "x86_64")]
fn has_bf16() -> bool {
    std::is_x86_feature_detected!("avx512bf16")
}

#[cfg(target_arch = "aarch64")]
fn has_bf16() -> bool {
    std::arch::is_aarch64_feature_detected!("bf16")
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn has_bf16() -> bool {
    false
}

/// The folder of data sets: what VQKIT_DATA names, else `data` in the checkout, else beside it as the tests look for it.
fn data() -> Option<PathBuf> {
    let named = std::env::var_os("VQKIT_DATA").map(PathBuf::from);
    let usual = ["data", "../shared/data"].map(|folder| root().join(folder));
    named.or_else(|| usual.into_iter().find(|folder| folder.is_dir()))
}
