//! The metrics as columns of tables, one cell for every tokenizer, with the best value of each marked.

use crate::tokenizers::{
    comparison::TokenizerComparison,
    measures::{CodebookMeasures, LevelMeasures, TokenizerMeasures},
};

/// A table with one row for every tokenizer.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricTable {
    /// What it is about.
    pub title: &'static str,
    /// Its columns; those that no tokenizer fills are left out.
    pub columns: Vec<MetricColumn>,
}

/// One metric of every tokenizer.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricColumn {
    /// Its name, with the unit.
    pub name: String,
    /// Which value is better, where one is.
    pub better: Option<Better>,
    /// The cells, in the order of the tokenizers.
    pub cells: Vec<MetricCell>,
}

/// A metric of one tokenizer.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricCell {
    /// The value as text; a dash where there is none.
    pub text: String,
    /// Whether it is the best among the tokenizers that got the images in the same way.
    pub is_best: bool,
}

/// Which of two values of a metric is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// The larger one.
    Larger,
    /// The smaller one.
    Smaller,
}

impl TokenizerComparison {
    /// All metrics as tables.
    pub fn tables(&self) -> Vec<MetricTable> {
        use Better::{Larger, Smaller};
        let text = |name: &str, cell: fn(&TokenizerMeasures) -> String| self.text(name, cell);
        let number = |name: &str, digits, better, value: fn(&TokenizerMeasures) -> Option<f64>| {
            self.number(name, digits, better, value)
        };
        let reconstruction = vec![
            text("size", |measures| measures.preparation.to_string()),
            text("images", |measures| measures.images.to_string()),
            number("PSNR (dB)", 2, Larger, |measures| measures.psnr_db),
            number("PSNR of the mean error (dB)", 2, Larger, |measures| measures.psnr_of_mean_error_db),
            number("SSIM", 4, Larger, |measures| measures.similarity.ssim),
            number("MS-SSIM", 4, Larger, |measures| measures.similarity.ms_ssim),
            number("LPIPS", 4, Smaller, |measures| measures.similarity.lpips),
            number(&self.set_name(), 3, Smaller, |measures| Some(measures.set_distance.as_ref()?.distance)),
            text("of it due to few images, about", |measures| {
                shown(measures.set_distance.as_ref().and_then(|set| set.bias_to_expect), 3)
            }),
        ];
        let tokens = vec![
            text("downsampling", |measures| measures.downsampling.to_string()),
            text("tokens", |measures| measures.tokens.to_string()),
            text("codes", codes),
            number("codes in use (%)", 1, Larger, |measures| Some(100.0 * mean(measures, |codebook| codebook.usage))),
            number("perplexity", 1, Larger, |measures| Some(mean(measures, |codebook| codebook.perplexity))),
            number("bits per pixel, fixed length", 4, Smaller, |measures| Some(measures.bits_per_pixel.fixed)),
            number("bits per pixel, entropy", 4, Smaller, |measures| Some(measures.bits_per_pixel.entropy)),
        ];
        let cost = vec![
            text("precision", |measures| measures.precision.to_owned()),
            number("parameters (millions)", 3, Smaller, |measures| Some(measures.parameters.millions())),
            number("encode (ms per image)", 3, Smaller, |measures| Some(measures.milliseconds.encode)),
            number("decode (ms per image)", 3, Smaller, |measures| Some(measures.milliseconds.decode)),
        ];
        let table = |(title, mut columns): (&'static str, Vec<MetricColumn>)| {
            columns.retain(|column| column.cells.iter().any(|cell| cell.text != NONE));
            MetricTable { title, columns }
        };
        [("Reconstruction", reconstruction), ("Tokens", tokens), ("Cost", cost)].into_iter().map(table).collect()
    }

    /// The name of the distance between sets, with its protocol.
    fn set_name(&self) -> String {
        match self.tokenizers.iter().find_map(|measures| measures.set_distance.as_ref()) {
            None => "rFID".into(),
            Some(set) if set.metric == "fid" => format!("rFID ({})", set.protocol),
            Some(set) => format!("{} ({})", set.metric, set.protocol),
        }
    }

    fn text(&self, name: &str, cell: impl Fn(&TokenizerMeasures) -> String) -> MetricColumn {
        let cells = self.tokenizers.iter().map(|measures| MetricCell { text: cell(measures), is_best: false });
        MetricColumn { name: name.into(), better: None, cells: cells.collect() }
    }

    fn number(
        &self,
        name: &str,
        digits: usize,
        better: Better,
        value: impl Fn(&TokenizerMeasures) -> Option<f64>,
    ) -> MetricColumn {
        let values: Vec<Option<f64>> = self.tokenizers.iter().map(value).collect();
        let is_best = best(&values, &self.groups(), digits, better);
        let cell = |(value, is_best): (&Option<f64>, bool)| MetricCell { text: shown(*value, digits), is_best };
        MetricColumn { name: name.into(), better: Some(better), cells: values.iter().zip(is_best).map(cell).collect() }
    }
}

/// What stands for a value that is missing.
const NONE: &str = "–";

fn shown(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| NONE.into(), |value| format!("{value:.digits$}"))
}

/// Which values are the best of their group, as far as the digits that are shown tell; where all are equal, none is.
fn best(values: &[Option<f64>], groups: &[Vec<usize>], digits: usize, better: Better) -> Vec<bool> {
    let mut is_best = vec![false; values.len()];
    for group in groups {
        let known: Vec<(usize, f64)> = group.iter().filter_map(|index| Some((*index, values[*index]?))).collect();
        let larger_is_better = |value: f64| if better == Better::Larger { value } else { -value };
        let winner =
            known.iter().map(|(_, value)| *value).max_by(|a, b| larger_is_better(*a).total_cmp(&larger_is_better(*b)));
        let wins = |value: f64| shown(Some(value), digits) == shown(winner, digits);
        if known.iter().any(|(_, value)| !wins(*value)) {
            known.iter().for_each(|(index, value)| is_best[*index] = wins(*value));
        }
    }
    is_best
}

/// The mean over all codebooks of all levels.
fn mean(measures: &TokenizerMeasures, of: fn(&CodebookMeasures) -> f64) -> f64 {
    let codebooks: Vec<f64> = measures.levels.iter().flat_map(|level| level.codebooks.iter().map(of)).collect();
    codebooks.iter().sum::<f64>() / codebooks.len() as f64
}

/// Numbers of codes of every level, coarse first: `512`, `512 / 512`, `4 x 1024` for four codebooks of 1,024 codes.
fn codes(measures: &TokenizerMeasures) -> String {
    let of_level = |level: &LevelMeasures| {
        let sizes: Vec<i64> = level.codebooks.iter().map(|codebook| codebook.codes).collect();
        match sizes.as_slice() {
            [only] => only.to_string(),
            [first, others @ ..] if others.iter().all(|size| size == first) => format!("{} x {first}", sizes.len()),
            sizes => sizes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" x "),
        }
    };
    measures.levels.iter().map(of_level).collect::<Vec<_>>().join(" / ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_value_is_that_of_a_group_and_ties_are_marked_together() {
        let values = [Some(2.0), Some(3.0), Some(1.0), None, Some(3.0004)];
        let all = [vec![0, 1, 2, 3, 4]];
        assert_eq!(best(&values, &all, 2, Better::Larger), [false, true, false, false, true]);
        assert_eq!(best(&values, &all, 4, Better::Larger), [false, false, false, false, true]);
        assert_eq!(best(&values, &all, 2, Better::Smaller), [false, false, true, false, false]);
        let groups = [vec![0, 2], vec![1, 3], vec![4]];
        assert_eq!(best(&values, &groups, 2, Better::Larger), [true, false, false, false, false]);
        assert_eq!(best(&[Some(1.0), Some(1.001)], &[vec![0, 1]], 2, Better::Larger), [false, false]);
    }
}
