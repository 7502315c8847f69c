//! What a prior is built for: the tokens it models and the conditions it takes.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};
use vqkit_torch::TokenGrid;

use crate::{Condition, Embedding, PriorError, Text};

/// The most positions of a grid, a text or an embedding; of all together, products stay far from where numbers end.
pub(crate) const MOST_POSITIONS: i64 = 1 << 24;
/// The most codes of a codebook, ids of a vocabulary and classes: what 32 bits tell apart.
const MOST_CODES: i64 = 1 << 32;
/// The most codebooks of a grid, and grids of a condition.
const MOST_BOOKS: usize = 1 << 10;
/// The widest vector of an embedding.
const MOST_DIM: i64 = 1 << 16;

/// A grid of tokens, without its values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GridSpec {
    /// The number of codes `K` of each of the `Q` codebooks.
    pub sizes: Vec<i64>,
    /// Height and width, `[H, W]`.
    pub grid: [i64; 2],
}

impl GridSpec {
    /// Number of tokens of one grid: `Q · H · W`.
    pub fn tokens(&self) -> i64 {
        self.sizes.len() as i64 * self.grid[0] * self.grid[1]
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

    fn validate(&self, field: &'static str) -> Result<(), PriorError> {
        if self.sizes.is_empty() || self.sizes.iter().any(|&size| size < 1) {
            return Err(PriorError::config(field, format!("needs codebooks of at least 1 code, got {:?}", self.sizes)));
        }
        if self.sizes.len() > MOST_BOOKS || self.sizes.iter().any(|&size| size > MOST_CODES) {
            let got = format!("{} codebooks of up to {:?} codes", self.sizes.len(), self.sizes.iter().max());
            return Err(PriorError::config(
                field,
                format!("takes {MOST_BOOKS} codebooks of {MOST_CODES} codes, got {got}"),
            ));
        }
        if self.grid.iter().any(|&side| side < 1) {
            return Err(PriorError::config(field, format!("needs a grid of at least 1 x 1, got {:?}", self.grid)));
        }
        match self.grid[0].checked_mul(self.grid[1]) {
            Some(places) if places <= MOST_POSITIONS => Ok(()),
            _ => {
                Err(PriorError::config(field, format!("takes a grid of {MOST_POSITIONS} places, got {:?}", self.grid)))
            }
        }
    }
}

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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriorSpec {
    /// The number of codes `K` of each of the `Q` codebooks of the target.
    pub sizes: Vec<i64>,
    /// Height and width of the target, `[H, W]`.
    pub grid: [i64; 2],
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
    /// A target without conditions.
    pub fn new(sizes: Vec<i64>, grid: [i64; 2]) -> Self {
        Self { sizes, grid, num_classes: None, text: None, embedding: None, condition_grids: Vec::new() }
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

    /// The target alone.
    pub fn target(&self) -> GridSpec {
        GridSpec { sizes: self.sizes.clone(), grid: self.grid }
    }

    /// Whether the target has any condition.
    pub fn has_condition(&self) -> bool {
        self.has_words() || !self.condition_grids.is_empty()
    }

    /// Whether the condition is more than grids: a class, a text or an embedding.
    pub(crate) fn has_words(&self) -> bool {
        self.num_classes.is_some() || self.text.is_some() || self.embedding.is_some()
    }

    /// # Errors
    /// [`PriorError::Config`] for a condition that only a transformer can read: a text or an embedding.
    pub(crate) fn refuse_sequences(&self, network: &str) -> Result<(), PriorError> {
        let refuse =
            |what| Err(PriorError::config("type", format!("`{network}` takes no {what}; `gpt2` and `llama` do")));
        match (&self.text, &self.embedding) {
            (Some(_), _) => refuse("text"),
            (None, Some(_)) => refuse("embedding"),
            (None, None) => Ok(()),
        }
    }

    /// Number of positions that a cursor visits: `H · W · Q`, `Q` innermost.
    pub fn positions(&self) -> i64 {
        self.target().tokens()
    }

    /// # Errors
    /// [`PriorError::Config`] when a size is not positive.
    pub fn validate(&self) -> Result<(), PriorError> {
        self.target().validate("grid")?;
        for grid in &self.condition_grids {
            grid.validate("condition_grids")?;
        }
        if self.condition_grids.len() > MOST_BOOKS {
            let reason = format!("takes {MOST_BOOKS} grids, got {}", self.condition_grids.len());
            return Err(PriorError::config("condition_grids", reason));
        }
        if let Some(TextSpec { length, vocabulary }) = self.text
            && !((1..=MOST_POSITIONS).contains(&length) && (1..=MOST_CODES).contains(&vocabulary))
        {
            let allowed = format!("1 to {MOST_POSITIONS} places and 1 to {MOST_CODES} ids");
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
