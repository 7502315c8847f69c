//! A comparison as text.

use std::fmt;

use crate::tokenizers::{
    columns::{Better, MetricColumn},
    comparison::TokenizerComparison,
};

impl fmt::Display for TokenizerComparison {
    /// A table in Markdown with one column for every tokenizer, the best values in bold; then the usage of every codebook
    /// where a tokenizer has several, how it was measured, and the warnings.
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let names: Vec<&str> = self.tokenizers.iter().map(|measures| measures.name.as_str()).collect();
        writeln!(out, "|  | {} |", names.join(" | "))?;
        writeln!(out, "|{}", "---|".repeat(names.len() + 1))?;
        self.tables().iter().flat_map(|table| &table.columns).try_for_each(|column| write_row(out, column))?;
        writeln!(out)?;
        self.several_codebooks().try_for_each(|line| writeln!(out, "{line}"))?;
        writeln!(out, "{}", self.protocol)?;
        self.warnings.iter().try_for_each(|warning| writeln!(out, "warning: {warning}"))
    }
}

fn write_row(out: &mut fmt::Formatter, column: &MetricColumn) -> fmt::Result {
    let cells = column.cells.iter().map(|cell| match cell.is_best {
        true => format!("**{}**", cell.text),
        false => cell.text.clone(),
    });
    let arrow = match column.better {
        None => "",
        Some(Better::Larger) => " ↑",
        Some(Better::Smaller) => " ↓",
    };
    writeln!(out, "| {}{arrow} | {} |", column.name, cells.collect::<Vec<_>>().join(" | "))
}

impl TokenizerComparison {
    /// The usage of every codebook of the tokenizers that have several, as lines of text.
    pub fn several_codebooks(&self) -> impl Iterator<Item = String> {
        let several = self
            .tokenizers
            .iter()
            .filter(|measures| measures.levels.iter().map(|level| level.codebooks.len()).sum::<usize>() > 1);
        several.flat_map(|measures| {
            measures.levels.iter().enumerate().flat_map(move |(level, of_level)| {
                of_level.codebooks.iter().enumerate().map(move |(number, codebook)| {
                    format!(
                        "{}, level {level} of {}x{}, codebook {number}: {:.1} % of {} codes in use, perplexity {:.1}, {:.3} bits per token",
                        measures.name,
                        of_level.grid[0],
                        of_level.grid[1],
                        100.0 * codebook.usage,
                        codebook.codes,
                        codebook.perplexity,
                        codebook.entropy_bits
                    )
                })
            })
        })
    }
}
