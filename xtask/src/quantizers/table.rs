//! The table in Markdown, and its place in a page between two marks.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::finished::{self, Conditions, Metrics, State};
use super::members::Member;

const BEGIN: &str = "<!-- `cargo xtask quantizers` writes what follows -->";
const END: &str = "<!-- `cargo xtask quantizers` wrote what stands above -->";

/// Beginning of a new page.
const TITLE: &str = "# Every quantizer on CIFAR-10

`cargo xtask quantizers` trains `configs/quantizers-cifar10.toml` once with each quantizer, with all other keys equal, and writes
the table below (between two marks in this page's source).
";

const HEAD: &str = "| quantizer | what it is | PSNR | `fd_vgg_cifar10` | codes in use | perplexity | time per step |
|---|---|---|---|---|---|---|
";

/// A finished run.
#[derive(Debug)]
pub struct Row {
    member: &'static Member,
    /// Its metrics.
    pub metrics: Metrics,
}

/// The finished runs of `members` below `runs`, and what they have in common.
pub fn read(runs: &Path, members: &[&'static Member]) -> Result<(Vec<Row>, Option<Conditions>)> {
    let mut rows = Vec::new();
    let mut first: Option<(&str, Conditions)> = None;
    for member in members {
        let folder = runs.join(member.name);
        if finished::state(&folder)? != State::Finished {
            continue;
        }
        let conditions = finished::conditions(&folder)?;
        if let Some((name, first)) = &first {
            first.check_alike(&conditions).with_context(|| {
                format!("{name} and {} cannot share a table (remove the run that should be repeated)", member.name)
            })?;
        }
        first.get_or_insert((member.name, conditions));
        rows.push(Row { member, metrics: finished::metrics(&folder)? });
    }
    Ok((rows, first.map(|(_, conditions)| conditions)))
}

/// The table in Markdown.
pub fn markdown(rows: &[Row], conditions: &Conditions) -> String {
    let body: String = rows.iter().map(line).collect();
    format!(
        "{}.\n\n{HEAD}{body}\nKeys that the table does not name have their defaults. `fd_vgg_cifar10` is the Fréchet distance of a small classifier's features between \
         the images and their reconstructions: lower is better. Where a position has two codes, usage and perplexity are means over its \
         codebooks. The time is the median over the log of the training, without validation and checkpoints.\n",
        conditions.words
    )
}

fn line(row: &Row) -> String {
    let Row { member, metrics } = row;
    format!(
        "| `{}` | {} ({}) | {} |\n",
        member.name,
        member.about,
        member.source,
        [psnr(metrics), distance(metrics), usage(metrics), perplexity(metrics), time(metrics)].join(" | ")
    )
}

/// The metrics in one line, for the terminal.
pub fn summary(metrics: &Metrics) -> String {
    format!(
        "PSNR {}, fd_vgg_cifar10 {}, {} codes in use, perplexity {}, {} per step",
        psnr(metrics),
        distance(metrics),
        usage(metrics),
        perplexity(metrics),
        time(metrics)
    )
}

fn psnr(metrics: &Metrics) -> String {
    format!("{:.2} dB", metrics.psnr_db)
}

fn distance(metrics: &Metrics) -> String {
    metrics.fd_vgg_cifar10.map_or_else(|| "–".into(), |distance| format!("{distance:.3}"))
}

fn usage(metrics: &Metrics) -> String {
    let codebooks = if metrics.codebooks > 1 { format!("{} × ", metrics.codebooks) } else { String::new() };
    format!("{:.1} % of {codebooks}{}", metrics.usage * 100.0, metrics.codes)
}

fn perplexity(metrics: &Metrics) -> String {
    let decimals = if metrics.perplexity < 100.0 { 1 } else { 0 };
    format!("{:.decimals$}", metrics.perplexity)
}

fn time(metrics: &Metrics) -> String {
    metrics.step_seconds.map_or_else(|| "–".into(), |seconds| format!("{:.0} ms", seconds * 1000.0))
}

/// The page with the table in it: everything outside the marks is kept.
pub fn into_page(page: Option<&str>, table: &str) -> Result<String> {
    let marked = format!("{BEGIN}\n\n{table}\n{END}\n");
    let Some(page) = page else { return Ok(format!("{TITLE}\n{marked}")) };
    let parts = page.split_once(BEGIN).and_then(|(above, rest)| Some((above, rest.split_once(END)?.1)));
    match parts {
        Some((above, below)) => Ok(format!("{above}{marked}{}", below.trim_start_matches('\n'))),
        None => bail!("it lacks the two marks between which the table goes:\n  {BEGIN}\n  {END}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantizers::finished::tests::fake;
    use crate::quantizers::members::chosen;

    fn members(names: &[&str]) -> Vec<&'static Member> {
        chosen(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn the_table_is_made_of_the_files_of_finished_runs() {
        let runs = tempfile::tempdir().unwrap();
        fake(&runs.path().join("vq"), 21.456, 2);
        fake(&runs.path().join("ema"), 22.0, 2);
        std::fs::create_dir(runs.path().join("gumbel")).unwrap();
        std::fs::write(runs.path().join("gumbel/run.json"), r#"{ "stages": [] }"#).unwrap();
        let (rows, conditions) = read(runs.path(), &members(&[])).unwrap();
        let table = markdown(&rows, &conditions.unwrap());
        assert!(table.starts_with("1500 steps of 16 images") && table.contains("cpu, 2 threads"), "{table}");
        let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| `")).collect();
        assert_eq!(rows.len(), 2, "{table}");
        assert_eq!(
            rows[0],
            "| `vq` | codes by gradient (van den Oord et al. 2017) | 21.46 dB | 2.500 | 96.9 % of 2 × 32 | 30.1 | 80 ms |"
        );
        assert!(rows[1].starts_with("| `ema` |") && rows[1].contains("| 22.00 dB |"), "{table}");
        let columns = |line: &str| line.matches('|').count();
        assert!(HEAD.lines().chain(rows).all(|line| columns(line) == 8), "{table}");
    }

    #[test]
    fn runs_of_other_conditions_share_no_table() {
        let runs = tempfile::tempdir().unwrap();
        fake(&runs.path().join("vq"), 21.0, 2);
        fake(&runs.path().join("ema"), 22.0, 4);
        let error = format!("{:#}", read(runs.path(), &members(&["vq", "ema"])).unwrap_err());
        assert!(error.contains("vq and ema") && error.contains("4 threads"), "{error}");
        let (rows, conditions) = read(&runs.path().join("nowhere"), &members(&[])).unwrap();
        assert!(rows.is_empty() && conditions.is_none());
    }

    #[test]
    fn a_figure_that_is_not_known_is_a_dash() {
        let metrics = Metrics {
            psnr_db: 20.0,
            fd_vgg_cifar10: None,
            codebooks: 1,
            codes: 1024,
            usage: 1.0,
            perplexity: 812.4,
            step_seconds: None,
        };
        assert_eq!(
            summary(&metrics),
            "PSNR 20.00 dB, fd_vgg_cifar10 –, 100.0 % of 1024 codes in use, perplexity 812, – per step"
        );
    }

    #[test]
    fn a_page_keeps_what_stands_outside_the_marks() {
        let new = into_page(None, "old\n").unwrap();
        assert!(new.starts_with("# ") && new.contains("\nold\n"), "{new}");
        let edited = format!("{new}\nWhat it shows.\n").replace("# Every", "# Each");
        let again = into_page(Some(&edited), "new\n").unwrap();
        assert!(again.starts_with("# Each") && again.contains("What it shows."), "{again}");
        assert!(again.contains("\nnew\n") && !again.contains("\nold\n"), "{again}");
        assert_eq!(into_page(Some(&again), "new\n").unwrap().trim_end(), again.trim_end());
        assert!(into_page(Some("# Notes\n"), "new\n").unwrap_err().to_string().contains("marks"));
    }
}
