//! The codebooks and the shape of a grid of tokens, without its values.

use serde::{Deserialize, Serialize};
use vqkit_torch::TokenGrid;

use crate::PriorError;
use crate::limits::{MOST_BOOKS, MOST_CODES, MOST_POSITIONS};

/// A grid of tokens, without its values.
///
/// ```
/// use vqkit_priors::GridSpec;
///
/// let grid = GridSpec::new(vec![512], &[8, 8])?;
/// assert_eq!(grid.tokens(), 64);
/// assert!(GridSpec::new(vec![512], &[64]).is_err());
/// # Ok::<(), vqkit_priors::PriorError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GridSpec {
    /// The number of codes `K` of each of the `Q` codebooks.
    pub sizes: Vec<i64>,
    /// Height and width, `[H, W]`.
    pub grid: [i64; 2],
}

impl GridSpec {
    /// A level of a tokenizer: the number of codes of each of its codebooks, and the shape of its grid.
    ///
    /// # Errors
    /// [`PriorError::Config`] for a shape that is not `[H, W]`.
    pub fn new(sizes: Vec<i64>, shape: &[i64]) -> Result<Self, PriorError> {
        match *shape {
            [height, width] => Ok(Self { sizes, grid: [height, width] }),
            _ => Err(PriorError::config("grid", format!("needs a height and a width, got the shape {shape:?}"))),
        }
    }

    /// Number of tokens of one grid: `Q · H · W`.
    pub fn tokens(&self) -> i64 {
        self.sizes.len() as i64 * self.grid[0] * self.grid[1]
    }

    /// Number of codes of all codebooks together.
    pub(crate) fn codes(&self) -> i64 {
        self.sizes.iter().sum()
    }

    /// Compares codebooks and height and width; does not look at the values.
    ///
    /// # Errors
    /// [`PriorError::Shape`] when they differ; `what` names the grid.
    pub fn check(&self, tokens: &TokenGrid, what: &str) -> Result<(), PriorError> {
        if tokens.sizes == self.sizes && tokens.spatial() == self.grid {
            return Ok(());
        }
        let words = |sizes: &[i64], grid: &[i64]| format!("a grid {grid:?} with codebooks of {sizes:?} codes");
        Err(PriorError::Shape {
            what: what.into(),
            want: words(&self.sizes, &self.grid),
            got: words(&tokens.sizes, &tokens.spatial()),
        })
    }

    /// Looks at every number; `field` names the grid.
    pub(crate) fn validate(&self, field: &'static str) -> Result<(), PriorError> {
        let refuse = |reason: String| Err(PriorError::config(field, reason));
        if self.sizes.is_empty() || self.sizes.iter().any(|&size| size < 1) {
            return refuse(format!("needs codebooks of at least 1 code, got {:?}", self.sizes));
        }
        if self.sizes.len() > MOST_BOOKS || self.sizes.iter().any(|&size| size > MOST_CODES) {
            let got = format!("{} codebooks of up to {:?} codes", self.sizes.len(), self.sizes.iter().max());
            return refuse(format!("takes {MOST_BOOKS} codebooks of {MOST_CODES} codes, got {got}"));
        }
        if self.grid.iter().any(|&side| side < 1) {
            return refuse(format!("needs a grid of at least 1 x 1, got {:?}", self.grid));
        }
        match self.grid[0].checked_mul(self.grid[1]) {
            Some(positions) if positions <= MOST_POSITIONS => Ok(()),
            _ => refuse(format!("takes a grid of {MOST_POSITIONS} positions, got {:?}", self.grid)),
        }
    }
}
