//! What steers a prior.

use tch::Tensor;
use vqkit_torch::TokenGrid;

/// The conditions of a batch; kinds combine. Which ones a prior takes, its [`PriorSpec`](crate::PriorSpec) says.
///
/// ```
/// use tch::Tensor;
/// use vqkit_priors::Condition;
///
/// let condition = Condition::none().with_class(Tensor::from_slice(&[3i64, 7]));
/// assert!(condition.class.is_some() && condition.grids.is_empty());
/// ```
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Condition {
    /// Labels `[B]`, i64, `0 <= class < num_classes`; `num_classes` itself is the null class where the prior has one.
    pub class: Option<Tensor>,
    /// Aligned grids of tokens, coarse first.
    pub grids: Vec<TokenGrid>,
}

impl Condition {
    /// No condition.
    pub fn none() -> Self {
        Self::default()
    }

    /// Adds class labels `[B]`, i64.
    pub fn with_class(self, class: Tensor) -> Self {
        Self { class: Some(class), ..self }
    }

    /// Adds a grid of tokens.
    pub fn with_grid(mut self, grid: TokenGrid) -> Self {
        self.grids.push(grid);
        self
    }

    /// A second handle on the same memory.
    pub fn shallow_clone(&self) -> Self {
        Self {
            class: self.class.as_ref().map(Tensor::shallow_clone),
            grids: self.grids.iter().map(TokenGrid::shallow_clone).collect(),
        }
    }

    /// The rows `rows` `[R]`, i64, of every part.
    pub(crate) fn rows(&self, rows: &Tensor) -> Self {
        let pick = |tensor: &Tensor| tensor.index_select(0, &rows.to_device(tensor.device()));
        let pick_grid = |grid: &TokenGrid| TokenGrid { indices: pick(&grid.indices), sizes: grid.sizes.clone() };
        Self { class: self.class.as_ref().map(pick), grids: self.grids.iter().map(pick_grid).collect() }
    }

    /// The rows of `self`, then those of `other`, which must be of the same kinds.
    pub(crate) fn followed_by(&self, other: &Self) -> Self {
        let pair = |first: &Tensor, second: &Tensor| Tensor::cat(&[first, &second.to_device(first.device())], 0);
        let class = self.class.as_ref().zip(other.class.as_ref()).map(|(first, second)| pair(first, second));
        let grids = self.grids.iter().zip(&other.grids);
        let grids = grids.map(|(first, second)| TokenGrid {
            indices: pair(&first.indices, &second.indices),
            sizes: first.sizes.clone(),
        });
        Self { class, grids: grids.collect() }
    }
}
