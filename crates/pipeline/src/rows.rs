//! Grids of tokens as people can read them in JSON: a text for every row.

use serde::{Deserialize, Serialize};
use tch::Tensor;
use vqkit_torch::TokenGrid;

use crate::error::{PipelineError, Result};

/// The indices of one grid `[Q, H, W]`: of every codebook the rows, each as numbers with blanks between.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rows(Vec<Vec<String>>);

impl Rows {
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
    /// When these are no rows of one length.
    pub fn tensor(&self) -> Result<Tensor> {
        let bad = || PipelineError::Usage("a grid of tokens in the record is no table of whole numbers".into());
        let rows: Vec<&String> = self.0.iter().flatten().collect();
        let numbers =
            rows.iter().flat_map(|row| row.split_whitespace()).map(|word| word.parse::<i64>().map_err(|_| bad()));
        let numbers = Tensor::f_from_slice(&numbers.collect::<Result<Vec<_>>>()?)?;
        let (books, height) = (self.0.len() as i64, self.0.first().map_or(0, Vec::len) as i64);
        numbers.f_view([books, height, -1]).map_err(|_| bad())
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn rows_are_read_back() {
        let indices = Tensor::arange(24, (Kind::Int64, Device::Cpu)).view([1, 2, 3, 4]);
        let grid = TokenGrid::new(indices.shallow_clone(), vec![99, 99]).unwrap();
        let rows = Rows::of(&grid);
        assert_eq!(serde_json::to_value(&rows).unwrap()[1][2], "20 21 22 23");
        assert_eq!(rows.tensor().unwrap(), indices.get(0));
        let broken: Rows = serde_json::from_str(r#"[["1 2", "3"]]"#).unwrap();
        assert!(broken.tensor().is_err());
    }
}
