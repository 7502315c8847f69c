//! Lists of published checkpoints and of fetched files, as text.

use std::fmt;

use serde::Serialize;
use vqkit::pretrained::{Obtained, Published};

/// Published checkpoints.
#[derive(Serialize)]
#[serde(transparent)]
pub struct Table(pub Vec<Published>);

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let longest = self.0.iter().map(|entry| entry.name.len()).max().unwrap_or(0);
        for entry in &self.0 {
            let Published { name, about, becomes, source, licence, bytes, readable, .. } = entry;
            let size = bytes.map_or_else(|| "?".to_owned(), size);
            let licence = licence.as_deref().unwrap_or("licence unknown");
            let readable = if *readable { "" } else { ", not read yet" };
            writeln!(out, "{name:<longest$}  {becomes:<10} {size:>8}  {about} ({licence}{readable})")?;
            writeln!(out, "{:<longest$}  {source}", "")?;
        }
        Ok(())
    }
}

/// Fetched files.
#[derive(Serialize)]
#[serde(transparent)]
pub struct Files(pub Vec<Obtained>);

impl fmt::Display for Files {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        self.0.iter().try_for_each(|file| writeln!(out, "{}\nSHA-256 {}", file.path.display(), file.sha256))
    }
}

/// A number of bytes in decimal units, as the Hub shows it.
fn size(bytes: u64) -> String {
    let units = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1000, "kB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{:.1} {name}", bytes as f64 / unit as f64),
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        assert_eq!([7, 7289, 95_628_359, 12_386_725_354].map(size), ["7 B", "7.3 kB", "95.6 MB", "12.4 GB"]);
    }
}
