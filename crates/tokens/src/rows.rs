//! Grids of tokens in readable JSON: a string for every row.

use serde::{Deserialize, Serialize};
use tch::Tensor;
use vqkit_torch::TokenGrid;

use crate::{error::Result, error::TokensError};

/// The indices of one grid `[Q, H, W]`: for every codebook the rows, each as numbers separated by blanks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenRows(Vec<Vec<String>>);

impl TokenRows {
    /// The first grid of a batch.
    pub fn of(grid: &TokenGrid) -> Self {
        let row = |numbers: &[i64]| numbers.iter().map(i64::to_string).collect::<Vec<_>>().join(" ");
        let [books, height, width] = [1, 2, 3].map(|axis| grid.indices.size()[axis] as usize);
        let numbers: Vec<i64> = Vec::try_from(grid.indices.get(0).flatten(0, -1)).unwrap_or_default();
        let planes = numbers.chunks(height * width).take(books);
        Self(planes.map(|plane| plane.chunks(width).map(row).collect()).collect())
    }

    /// `[Q, H, W]`, i64.
    ///
    /// # Errors
    /// When these are not whole numbers, or rows differ in length.
    pub fn tensor(&self) -> Result<Tensor> {
        let shape = self.shape()?;
        let mut numbers = Vec::new();
        for (row, text) in self.0.iter().flatten().enumerate() {
            let before = numbers.len();
            for word in text.split_whitespace() {
                numbers.push(word.parse::<i64>().map_err(|_| bad(row, &format!("{word:?} is not a whole number")))?);
            }
            let (found, width) = ((numbers.len() - before) as i64, shape[2]);
            if found != width {
                return Err(bad(row, &format!("it has {found} tokens, and the first row has {width}")));
            }
        }
        Ok(Tensor::f_from_slice(&numbers)?.f_view(shape)?)
    }

    /// Grids of one shape as a batch `[B, Q, H, W]`, i64.
    ///
    /// # Errors
    /// As [`tensor`](Self::tensor); when there are none, or their shapes differ.
    pub fn batch<'r>(grids: impl IntoIterator<Item = &'r Self>) -> Result<Tensor> {
        let grids: Vec<Tensor> = grids.into_iter().map(Self::tensor).collect::<Result<_>>()?;
        let Some(first) = grids.first().map(Tensor::size) else {
            return Err(TokensError::TokenRows("there are no grids of tokens in the record".into()));
        };
        if let Some((index, grid)) = grids.iter().enumerate().find(|(_, grid)| grid.size() != first) {
            let [want, got] = [&first, &grid.size()].map(|shape| format!("{:?}", &shape[1..]));
            let message = format!("grid {index} of the record is {got} tokens high and wide, and the first is {want}");
            return Err(TokensError::TokenRows(message));
        }
        Ok(Tensor::f_stack(&grids, 0)?)
    }

    /// `[Q, H, W]`, given by the number of codebooks, of rows of the first and of words in its first row.
    fn shape(&self) -> Result<[i64; 3]> {
        let height = self.0.first().map_or(0, Vec::len);
        let width = self.0.first().and_then(|book| book.first()).map_or(0, |row| row.split_whitespace().count());
        if height == 0 || width == 0 {
            return Err(TokensError::TokenRows("a grid of tokens in the record is empty".into()));
        }
        if let Some((book, rows)) = self.0.iter().enumerate().find(|(_, rows)| rows.len() != height) {
            let found = format!("codebook {book} of a grid of tokens in the record has {} rows", rows.len());
            return Err(TokensError::TokenRows(format!("{found}, and the first has {height}")));
        }
        Ok([self.0.len(), height, width].map(|length| length as i64))
    }
}

/// `row` counts over all codebooks, from 0.
fn bad(row: usize, reason: &str) -> TokensError {
    TokensError::TokenRows(format!("row {row} of a grid of tokens in the record: {reason}"))
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    fn rows(json: &str) -> TokenRows {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn rows_are_read_back() {
        let indices = Tensor::arange(24, (Kind::Int64, Device::Cpu)).view([1, 2, 3, 4]);
        let grid = TokenGrid::new(indices.shallow_clone(), vec![99, 99]).unwrap();
        let rows = TokenRows::of(&grid);
        assert_eq!(serde_json::to_value(&rows).unwrap()[1][2], "20 21 22 23");
        assert_eq!(rows.tensor().unwrap(), indices.get(0));
        assert_eq!(TokenRows::batch([&rows, &rows]).unwrap(), indices.repeat([2, 1, 1, 1]));
    }

    #[test]
    fn what_is_no_grid_is_refused_with_the_row() {
        for (json, want) in [
            (r#"[["1 2", "3"]]"#, "row 1 of a grid of tokens in the record: it has 1 tokens, and the first row has 2"),
            // As many words as a grid of [1, 2, 3] has.
            (r#"[["1 2 3 4", "5 6"]]"#, "row 1 of"),
            (
                r#"[["1 2"], ["1 2", "3 4"]]"#,
                "codebook 1 of a grid of tokens in the record has 2 rows, and the first has 1",
            ),
            (r#"[["1 x"]]"#, r#"row 0 of a grid of tokens in the record: "x" is not a whole number"#),
            (r#"[["1 9223372036854775808"]]"#, "is not a whole number"),
            ("[]", "empty"),
            ("[[]]", "empty"),
            (r#"[["", ""]]"#, "empty"),
        ] {
            let error = rows(json).tensor().unwrap_err().to_string();
            assert!(error.contains(want), "{json}: {error}");
        }
    }

    #[test]
    fn grids_of_other_shapes_make_no_batch() {
        let (small, large) = (rows(r#"[["1 2"]]"#), rows(r#"[["1 2"], ["3 4"]]"#));
        let error = TokenRows::batch([&small, &large]).unwrap_err().to_string();
        assert!(error.contains("grid 1 of the record"), "{error}");
        assert!(TokenRows::batch([]).is_err());
    }
}
