//! What a prior is built for: the tokens it models and the conditions it takes.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};
use vqkit_torch::TokenGrid;

use crate::limits::{MOST_BOOKS, MOST_CODES, MOST_DIM, MOST_POSITIONS};
use crate::{Condition, Embedding, GridSpec, PriorError, Text};

/// A text, without its values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextSpec {
    /// The number of ids, padding included.
    pub length: i64,
    /// The number of different ids.
    pub vocabulary: i64,
}

/// A sequence of vectors, without its values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddingSpec {
    /// The number of vectors, padding included.
    pub length: i64,
    /// The width of a vector.
    pub dim: i64,
}

/// What a prior is built for.
///
/// ```
/// use vqkit_priors::PriorSpec;
///
/// let spec = PriorSpec::new(vec![512], [8, 8]).with_classes(10);
/// assert_eq!(spec.positions(), 64);
/// ```
///
/// From a tokenizer's `sizes()` and `grid_shapes()`, with a prior that predicts both levels of a VQ-VAE-2:
///
/// ```
/// use vqkit_priors::{GridSpec, PriorSpec};
///
/// let (sizes, shapes) = ([[512], [512]], [[8, 8], [16, 16]]);
/// let level = |level: usize| GridSpec::new(sizes[level].to_vec(), &shapes[level]);
/// let spec = PriorSpec::of(level(0)?).with_finer_level(level(1)?);
/// assert_eq!(spec.positions(), 64 + 256);
/// # Ok::<(), vqkit_priors::PriorError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriorSpec {
    /// The grid that the prior predicts; of several levels the coarsest.
    pub target: GridSpec,
    /// The finer levels that the prior predicts too, coarse first. Autoregressive priors predict one level and refuse more.
    #[serde(default)]
    pub finer_levels: Vec<GridSpec>,
    /// Number of classes of the class condition; none: there is no such condition.
    #[serde(default)]
    pub num_classes: Option<i64>,
    /// The text that the target is conditioned on.
    #[serde(default)]
    pub text: Option<TextSpec>,
    /// The embedding that the target is conditioned on.
    #[serde(default)]
    pub embedding: Option<EmbeddingSpec>,
    /// The grids that the target is conditioned on, coarse first (the top grid for the bottom prior of a VQ-VAE-2).
    #[serde(default)]
    pub condition_grids: Vec<GridSpec>,
}

impl PriorSpec {
    /// A target without conditions: the number of codes of each codebook, height and width.
    pub fn new(sizes: Vec<i64>, grid: [i64; 2]) -> Self {
        Self::of(GridSpec { sizes, grid })
    }

    /// A target without conditions.
    pub fn of(target: GridSpec) -> Self {
        Self { target, finer_levels: vec![], num_classes: None, text: None, embedding: None, condition_grids: vec![] }
    }

    /// Adds a level to what the prior predicts, finer than those before it.
    pub fn with_finer_level(mut self, level: GridSpec) -> Self {
        self.finer_levels.push(level);
        self
    }

    /// Adds the class condition.
    pub fn with_classes(self, num_classes: i64) -> Self {
        Self { num_classes: Some(num_classes), ..self }
    }

    /// Adds a text to the condition.
    pub fn with_text(self, length: i64, vocabulary: i64) -> Self {
        Self { text: Some(TextSpec { length, vocabulary }), ..self }
    }

    /// Adds an embedding to the condition.
    pub fn with_embedding(self, length: i64, dim: i64) -> Self {
        Self { embedding: Some(EmbeddingSpec { length, dim }), ..self }
    }

    /// Adds a grid to the condition.
    pub fn with_condition_grid(mut self, grid: GridSpec) -> Self {
        self.condition_grids.push(grid);
        self
    }

    /// Every level that the prior predicts, coarse first.
    pub fn levels(&self) -> impl Iterator<Item = &GridSpec> {
        std::iter::once(&self.target).chain(&self.finer_levels)
    }

    /// Whether the target has any condition.
    pub fn has_condition(&self) -> bool {
        self.has_words() || !self.condition_grids.is_empty()
    }

    /// Whether the condition is more than grids: a class, a text or an embedding.
    pub(crate) fn has_words(&self) -> bool {
        self.num_classes.is_some() || self.text.is_some() || self.embedding.is_some()
    }

    /// Whether a convolutional prior can model it: one level with one codebook, and as conditions a class, which `class_dropout`
    /// drops, and grids.
    ///
    /// # Errors
    /// [`PriorError::Config`] where it cannot; `network` is the type of the prior.
    pub(crate) fn check_convolutional(&self, network: &str, class_dropout: f64) -> Result<(), PriorError> {
        self.validate()?;
        self.refuse_levels(network)?;
        let refuse = |reason: String| Err(PriorError::config("type", reason));
        let books = self.target.sizes.len();
        if books != 1 {
            return refuse(format!("`{network}` models grids with one codebook, these tokens have {books}"));
        }
        if self.text.is_some() || self.embedding.is_some() {
            let what = if self.text.is_some() { "text" } else { "embedding" };
            return refuse(format!("`{network}` takes no {what}; `gpt2` and `llama` do"));
        }
        match class_dropout > 0.0 && self.num_classes.is_none() {
            true => Err(PriorError::config("class_dropout", "needs a class condition to drop; set it to 0")),
            false => Ok(()),
        }
    }

    /// Number of tokens that the prior predicts: `H · W · Q`, summed over its levels.
    pub fn positions(&self) -> i64 {
        self.levels().map(GridSpec::tokens).sum()
    }

    /// # Errors
    /// [`PriorError::Config`] for several levels; `network` is the type of a prior that predicts one.
    pub(crate) fn refuse_levels(&self, network: &str) -> Result<(), PriorError> {
        match self.finer_levels.len() {
            0 => Ok(()),
            finer => {
                let levels = finer + 1;
                let reason = format!("`{network}` predicts one level of tokens, got {levels}: give each level a prior");
                Err(PriorError::config("predicts", reason))
            }
        }
    }

    /// The one grid among the `targets` of a prior that predicts one level, once it was compared with the specification.
    pub(crate) fn only_target<'t>(&self, targets: &'t [TokenGrid]) -> Result<&'t TokenGrid, PriorError> {
        let [target] = targets else {
            let (want, got) = ("one grid of tokens".into(), format!("{} grids", targets.len()));
            return Err(PriorError::Shape { what: "the targets".into(), want, got });
        };
        self.target.check(target, "the target")?;
        Ok(target)
    }

    /// # Errors
    /// [`PriorError::Config`] when a size is not positive.
    pub fn validate(&self) -> Result<(), PriorError> {
        self.target.validate("grid")?;
        for (field, grids) in [("predicts", &self.finer_levels), ("condition_grids", &self.condition_grids)] {
            grids.iter().try_for_each(|grid| grid.validate(field))?;
            if grids.len() > MOST_BOOKS {
                return Err(PriorError::config(field, format!("takes {MOST_BOOKS} grids, got {}", grids.len())));
            }
        }
        if let Some(TextSpec { length, vocabulary }) = self.text
            && !((1..=MOST_POSITIONS).contains(&length) && (1..=MOST_CODES).contains(&vocabulary))
        {
            let allowed = format!("1 to {MOST_POSITIONS} positions and 1 to {MOST_CODES} ids");
            return Err(PriorError::config("text", format!("needs {allowed}, got {length} and {vocabulary}")));
        }
        if let Some(EmbeddingSpec { length, dim }) = self.embedding
            && !((1..=MOST_POSITIONS).contains(&length) && (1..=MOST_DIM).contains(&dim))
        {
            let allowed = format!("1 to {MOST_POSITIONS} vectors of 1 to {MOST_DIM} numbers");
            return Err(PriorError::config("embedding", format!("needs {allowed}, got {length} of {dim}")));
        }
        match self.num_classes {
            Some(classes) if !(1..=MOST_CODES).contains(&classes) => {
                Err(PriorError::config("num_classes", format!("needs 1 to {MOST_CODES} classes, got {classes}")))
            }
            _ => Ok(()),
        }
    }

    /// Compares kinds and shapes of a condition for `batch` rows; does not look at the values.
    /// A class, a text and an embedding are needed unless the prior has null values for them (`has_null`), which then stand in.
    ///
    /// # Errors
    /// [`PriorError::Condition`] for a kind that is missing or that the prior does not take, [`PriorError::Shape`] for
    /// one of another shape.
    pub fn check(&self, condition: &Condition, batch: i64, has_null: bool) -> Result<(), PriorError> {
        match (&condition.class, self.num_classes) {
            (Some(_), None) => return Err(self.refuse("a class was given".into())),
            (None, Some(_)) if !has_null => return Err(self.refuse("no class was given".into())),
            (Some(class), Some(_)) => check_class(class, batch)?,
            (None, _) => {}
        }
        match (&condition.text, &self.text) {
            (Some(_), None) => return Err(self.refuse("a text was given".into())),
            (None, Some(_)) if !has_null => return Err(self.refuse("no text was given".into())),
            (Some(text), Some(spec)) => check_text(text, spec, batch)?,
            (None, _) => {}
        }
        match (&condition.embedding, &self.embedding) {
            (Some(_), None) => return Err(self.refuse("an embedding was given".into())),
            (None, Some(_)) if !has_null => return Err(self.refuse("no embedding was given".into())),
            (Some(embedding), Some(spec)) => check_embedding(embedding, spec, batch)?,
            (None, _) => {}
        }
        if condition.grids.len() != self.condition_grids.len() {
            return Err(self.refuse(format!("{} condition grids were given", condition.grids.len())));
        }
        for (index, (grid, spec)) in condition.grids.iter().zip(&self.condition_grids).enumerate() {
            spec.check(grid, &format!("condition grid {index}"))?;
            if grid.batch() != batch {
                let what = format!("condition grid {index}");
                return Err(PriorError::shape(what, format!("of {batch} rows"), &grid.indices));
            }
        }
        Ok(())
    }

    fn refuse(&self, what: String) -> PriorError {
        let mut takes = Vec::new();
        if let Some(classes) = self.num_classes {
            takes.push(format!("a class of {classes}"));
        }
        if let Some(TextSpec { length, vocabulary }) = self.text {
            takes.push(format!("a text of {length} of {vocabulary} ids"));
        }
        if let Some(EmbeddingSpec { length, dim }) = self.embedding {
            takes.push(format!("an embedding of {length} vectors of {dim}"));
        }
        if !self.condition_grids.is_empty() {
            let grids: Vec<_> = self.condition_grids.iter().map(|spec| spec.grid).collect();
            takes.push(format!("{} condition grids {grids:?}", grids.len()));
        }
        let takes = if takes.is_empty() { "no condition".into() } else { takes.join(" and ") };
        PriorError::Condition { what, takes }
    }
}

fn check_class(class: &Tensor, batch: i64) -> Result<(), PriorError> {
    if class.kind() == Kind::Int64 && class.size() == [batch] {
        return Ok(());
    }
    Err(PriorError::shape("the class", format!("Int64 [{batch}]"), class))
}

fn check_text(text: &Text, spec: &TextSpec, batch: i64) -> Result<(), PriorError> {
    let shape = [batch, spec.length];
    if text.ids.kind() != Kind::Int64 || text.ids.size() != shape {
        return Err(PriorError::shape("the text", format!("Int64 {shape:?}"), &text.ids));
    }
    match text.mask.kind() == Kind::Bool && text.mask.size() == shape {
        true => Ok(()),
        false => Err(PriorError::shape("the mask of the text", format!("Bool {shape:?}"), &text.mask)),
    }
}

fn check_embedding(embedding: &Embedding, spec: &EmbeddingSpec, batch: i64) -> Result<(), PriorError> {
    let shape = [batch, spec.length, spec.dim];
    if embedding.values.size() != shape {
        return Err(PriorError::shape("the embedding", format!("{shape:?}"), &embedding.values));
    }
    match &embedding.mask {
        Some(mask) if mask.kind() != Kind::Bool || mask.size() != shape[..2] => {
            Err(PriorError::shape("the mask of the embedding", format!("Bool {:?}", &shape[..2]), mask))
        }
        _ => Ok(()),
    }
}
