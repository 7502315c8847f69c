//! What a family reads out of a set of weights: networks as sections of a recipe, and where each of their variables comes from.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use toml::Table;

use crate::{config_file::ForeignConfig, file::ForeignTensor, weight_set::WeightSet};

/// What a family is asked to read.
#[derive(Debug)]
pub struct Source<'a, 'f> {
    /// The weights.
    pub set: &'a WeightSet<'f>,
    /// The tensors of the dict `discriminator` beside them, if any.
    pub discriminator: BTreeMap<String, &'f ForeignTensor>,
    /// The configuration beside the file.
    pub config: &'a ForeignConfig,
    /// The values inside of the file: arguments, counters.
    pub values: &'a ForeignConfig,
}

/// The networks in a set of weights.
#[derive(Debug, Default)]
pub struct Reading<'f> {
    /// The networks.
    pub networks: Vec<Network<'f>>,
    /// Tensors that are known and not needed, by name, with the reason.
    pub left_over: BTreeMap<String, &'static str>,
    /// What was concluded from names and shapes, or assumed, because no configuration says it.
    pub inferred: Vec<String>,
    /// Where the original differs from what its paper or its configuration lets expect.
    pub quirks: Vec<String>,
}

/// One network: its section of a recipe, and its variables.
#[derive(Debug)]
pub struct Network<'f> {
    /// Its place in a recipe.
    pub part: Part,
    /// The section of a recipe, with the sections below it.
    pub section: Table,
    /// What else a recipe has to say for it.
    pub needs: Needs,
    /// Where its variables come from.
    pub uses: Vec<Use<'f>>,
    /// The discriminator that it was trained against.
    pub discriminator: Option<Discriminator<'f>>,
}

/// A place in a recipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// `[tokenizer]`.
    Tokenizer,
    /// `[template]`.
    Template,
    /// One of `[[prior]]`.
    Prior,
    /// `[tokenizer.quantizer]` by itself: no run has one without a tokenizer around it, but training can start from its codes.
    Quantizer,
}

/// What a network needs around it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Needs {
    /// Width and height in pixels of its images, where they are known or were assumed.
    pub image_size: Option<i64>,
    /// Channels of its images.
    pub channels: Option<i64>,
    /// How many times smaller its coarsest grid is.
    pub downsampling: Option<i64>,
    /// Of a prior: the number of tokens that it predicts, where the weights tell.
    pub tokens: Option<i64>,
    /// Of a prior: what it is conditioned on.
    pub condition: Conditions,
}

/// What a prior is conditioned on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Conditions {
    /// The number of classes.
    pub classes: Option<i64>,
    /// The levels of coordinates.
    pub coordinates: Option<i64>,
    /// Whether on a template, whose tokenizer is another network of the reading.
    pub template: bool,
    /// Number and width of the vectors of an embedding.
    pub embedding: Option<[i64; 2]>,
    /// Whether on the coarser grid.
    pub coarser: bool,
}

/// A discriminator.
#[derive(Debug)]
pub struct Discriminator<'f> {
    /// The keys of `[loss.adversarial]`.
    pub section: Table,
    /// Where its variables come from.
    pub uses: Vec<Use<'f>>,
}

/// A variable of ours and where its value comes from.
#[derive(Debug, Clone)]
pub struct Use<'f> {
    /// The variable.
    pub ours: String,
    /// The tensor's name in the set.
    pub theirs: String,
    /// The tensor.
    pub tensor: &'f ForeignTensor,
    /// What is done with it.
    pub change: Change,
}

/// What is done with a tensor before it becomes a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// Its two axes are exchanged.
    Transposed,
    /// A matrix `[O, I]` becomes the kernel `[O, I, 1, 1]` of a convolution, or the other way round.
    Kernel,
    /// One of its rows, as a matrix of one row.
    Row(i64),
    /// One of its items along the first axis, without that axis.
    Item(i64),
}

impl Change {
    /// The shape that comes out.
    pub fn shape(self, shape: &[i64]) -> Vec<i64> {
        match (self, shape) {
            (Self::Transposed, [rows, columns]) => vec![*columns, *rows],
            (Self::Kernel, [outputs, inputs]) => vec![*outputs, *inputs, 1, 1],
            (Self::Kernel, [outputs, inputs, 1, 1]) => vec![*outputs, *inputs],
            (Self::Row(_), [_, columns]) => vec![1, *columns],
            (Self::Item(_), [_, rest @ ..]) => rest.to_vec(),
            _ => shape.to_vec(),
        }
    }
}

/// The longest axis that a tensor of a model has.
const LONGEST: i64 = 1 << 31;

/// More levels or blocks than any model has.
const MOST: usize = 1 << 12;

/// Shapes by our names.
#[derive(Debug, Clone, Default)]
pub struct Shapes(BTreeMap<String, Vec<i64>>);

impl Shapes {
    /// Those of the variables of `uses`.
    pub fn of(uses: &[Use]) -> Self {
        Self(uses.iter().map(|one| (one.ours.clone(), one.change.shape(&one.tensor.shape))).collect())
    }

    /// Whether there is a variable.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Whether a name begins so.
    pub fn has_below(&self, prefix: &str) -> bool {
        self.0.range(prefix.to_owned()..).next().is_some_and(|(name, _)| name.starts_with(prefix))
    }

    /// A length of a variable, above 0; an error names what is missing or impossible.
    pub fn length(&self, name: &str, axis: usize) -> Result<i64, String> {
        let shape = self.0.get(name).ok_or_else(|| format!("there is no `{name}`, which tells a size"))?;
        if shape.iter().any(|length| !(1..=LONGEST).contains(length)) {
            return Err(format!("`{name}` has the impossible shape {shape:?}"));
        }
        shape.get(axis).copied().ok_or_else(|| format!("`{name}` has the shape {shape:?}, and no axis {axis}"))
    }

    /// How many numbers follow each other from 0 in place of `#` of a prefix such as `encoder.down.#.`.
    pub fn count(&self, pattern: &str) -> usize {
        (0..MOST).take_while(|number: &usize| self.has_below(&pattern.replace('#', &number.to_string()))).count()
    }
}

/// Divides the tensors of a set: those that a network takes, those that are known and not needed, and the rest.
#[derive(Debug)]
pub struct Divided<'f> {
    /// Taken.
    pub uses: Vec<Use<'f>>,
    /// Known, with the reason why they are not needed.
    pub left_over: BTreeMap<String, &'static str>,
}

impl<'f> Divided<'f> {
    /// `ours`: our name of theirs, and what is done with it. `expected`: why a tensor is not needed.
    pub fn of(
        set: &WeightSet<'f>,
        ours: impl Fn(&str) -> Option<(String, Change)>,
        expected: impl Fn(&str) -> Option<&'static str>,
    ) -> Self {
        let (mut uses, mut left_over) = (Vec::new(), BTreeMap::new());
        for (theirs, tensor) in &set.tensors {
            if let Some(reason) = expected(theirs) {
                left_over.insert(theirs.clone(), reason);
            } else if let Some((ours, change)) = ours(theirs) {
                uses.push(Use { ours, theirs: theirs.clone(), tensor, change });
            }
        }
        Self { uses, left_over }
    }
}

impl Reading<'_> {
    /// The names that a network, a discriminator or a reason accounts for.
    pub fn accounted(&self) -> BTreeSet<&str> {
        let uses = self.networks.iter().flat_map(|network| {
            network.uses.iter().chain(network.discriminator.iter().flat_map(|discriminator| &discriminator.uses))
        });
        uses.map(|one| one.theirs.as_str()).chain(self.left_over.keys().map(String::as_str)).collect()
    }
}

impl Network<'_> {
    /// The same network, whose tensors have `prefix` in front of their names in the file.
    pub fn under(mut self, prefix: &str) -> Self {
        let discriminator = self.discriminator.iter_mut().flat_map(|discriminator| &mut discriminator.uses);
        for one in self.uses.iter_mut().chain(discriminator) {
            one.theirs.insert_str(0, prefix);
        }
        self
    }
}

impl Discriminator<'_> {
    /// The shortest side of an image that leaves it one logit, in pixels.
    pub fn least_size(&self) -> i64 {
        let layers = self.section.get("n_layers").and_then(toml::Value::as_integer).unwrap_or(0);
        3 << layers.clamp(0, 30)
    }
}
