//! The table of ratios, for people and as JSON.

use std::thread::available_parallelism;

use serde_json::{Value, json};

use super::rounds::{Outcome, Round};

/// The table, one pair to a line: the median ratio and its range, the ratio of memory, our memory beyond what is worked on,
/// and how near we come to the bare product where our side measures it.
pub fn text(outcomes: &[Outcome]) -> String {
    let head = format!(
        "{:<20} {:>10} {:>18} {:>7} {:>8} {:>7} {:>7}",
        "pair", "ratio", "range", "memory", "extra", "floor", "rounds"
    );
    let rows = outcomes.iter().map(|outcome| match &outcome.rounds {
        Ok(rounds) => {
            let ratios = sorted(rounds.iter().map(|round| round.ratio));
            let range = format!("{:.2} – {:.2}", ratios[0], ratios[ratios.len() - 1]);
            let memory = cell(rounds, Round::memory_ratio, |ratio| format!("{ratio:.2}"));
            let extra = cell(rounds, |round| round.ours("extra_bytes"), |bytes| format!("{:.0} MB", bytes / 1e6));
            let floor = cell(rounds, |round| round.ours("of_floor"), |share| format!("{share:.2}"));
            let (name, ratio) = (outcome.pair.name, median(&ratios));
            format!("{name:<20} {ratio:>10.2} {range:>18} {memory:>7} {extra:>8} {floor:>7} {:>7}", ratios.len())
        }
        Err(reason) => format!("{:<20} skipped: {reason}", outcome.pair.name),
    });
    std::iter::once(head).chain(rows).collect::<Vec<_>>().join("\n")
}

/// Everything that was measured, and on what.
pub fn json(outcomes: &[Outcome], threads: u32) -> String {
    let pairs: Vec<Value> = outcomes.iter().map(pair).collect();
    let machine = json!({
        "processor": processor(),
        "cores": available_parallelism().map_or(0, usize::from),
        "os": std::env::consts::OS,
        "arch": std::env::consts::ARCH,
    });
    format!("{:#}\n", json!({ "machine": machine, "threads": threads, "pairs": pairs }))
}

fn pair(outcome: &Outcome) -> Value {
    match &outcome.rounds {
        Ok(rounds) => {
            let ratio = median(&sorted(rounds.iter().map(|round| round.ratio)));
            let memory = median_of(rounds, Round::memory_ratio);
            let rounds: Vec<Value> = rounds
                .iter()
                .map(|round| json!({ "ours": round.ours, "theirs": round.theirs, "ratio": round.ratio }))
                .collect();
            json!({ "name": outcome.pair.name, "median_ratio": ratio, "median_memory_ratio": memory, "rounds": rounds })
        }
        Err(reason) => json!({ "name": outcome.pair.name, "skipped": reason }),
    }
}

/// The median of what the rounds have of a metric, as text; nothing where they have none.
fn cell(rounds: &[Round], of: impl Fn(&Round) -> Option<f64>, show: impl Fn(f64) -> String) -> String {
    median_of(rounds, of).map_or_else(String::new, show)
}

fn median_of(rounds: &[Round], of: impl Fn(&Round) -> Option<f64>) -> Option<f64> {
    let metrics = sorted(rounds.iter().filter_map(of));
    (!metrics.is_empty()).then(|| median(&metrics))
}

fn sorted(ratios: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut ratios: Vec<f64> = ratios.collect();
    ratios.sort_by(f64::total_cmp);
    ratios
}

/// The median of metrics in order; of an even number, the mean of the two in the middle.
fn median(sorted: &[f64]) -> f64 {
    let (low, high) = ((sorted.len() - 1) / 2, sorted.len() / 2);
    f64::midpoint(sorted[low], sorted[high])
}

/// The processor's name, where the system tells it.
fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(':').map(|(_, name)| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::pairs::PAIRS;

    fn outcomes() -> Vec<Outcome> {
        let metrics = |rate: f64, peak: u64| json!({ "rate": rate, "peak_bytes": peak, "of_floor": 0.625 });
        let round = |ratio| Round { ours: metrics(ratio, 3), theirs: Some(metrics(1.0, 4)), ratio };
        vec![
            Outcome { pair: &PAIRS[0], rounds: Ok(vec![round(4.0), round(2.0), round(2.5)]) },
            Outcome { pair: &PAIRS[1], rounds: Err("it needs data".into()) },
        ]
    }

    #[test]
    fn the_median_counts_and_the_range_is_shown() {
        let text = text(&outcomes());
        let row = text.lines().nth(1).unwrap();
        assert!(
            row.contains("2.50")
                && row.contains("2.00 – 4.00")
                && row.contains(" 0.75 ")
                && row.contains(" 0.62 ")
                && row.ends_with('3'),
            "{row}"
        );
        assert!(text.lines().nth(2).unwrap().contains("skipped: it needs data"));
        assert_eq!(median(&[1.0, 2.0, 4.0, 8.0]), 3.0);
    }

    #[test]
    fn every_round_is_in_the_json() {
        let json: Value = serde_json::from_str(&json(&outcomes(), 2)).unwrap();
        assert_eq!(json["pairs"][0]["median_ratio"], 2.5);
        assert_eq!(json["pairs"][0]["median_memory_ratio"], 0.75);
        assert_eq!(json["pairs"][0]["rounds"].as_array().unwrap().len(), 3);
        assert_eq!(json["pairs"][1]["skipped"], "it needs data");
    }
}
