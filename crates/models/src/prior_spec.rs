//! The specifications for which the priors of a recipe are built.

use vqkit_priors::{GridSpec, PriorSpec};
use vqkit_recipe::{Modality, Recipe};
use vqkit_run::Context;
use vqkit_vqvae::Tokenizer;

use crate::{build, error::ModelError, error::Result};

/// What the data determines about conditions, in addition to the recipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConditionVocabulary {
    /// Number of classes.
    pub classes: u32,
    /// Number of different ids in captions.
    pub text_vocabulary: i64,
}

/// The tokenizers of a recipe; only their shapes matter here.
#[derive(Debug)]
pub struct Tokenizers {
    /// That of the images.
    pub images: Tokenizer,
    /// That of the templates, where there are templates.
    pub templates: Option<Tokenizer>,
}

impl ConditionVocabulary {
    /// As far as the recipe determines them, and notes on what it leaves open.
    pub fn of_recipe(recipe: &Recipe) -> (Self, Vec<&'static str>) {
        let mut unsaid = Vec::new();
        let named = || recipe.data.class_names.as_ref().map(|names| names.len() as u32);
        let classes = recipe.condition.num_classes.or_else(named);
        if recipe.condition.class && classes.is_none() {
            unsaid.push(
                "the recipe does not give the number of classes, and the data was not read: computed with 1 class; give \
                 condition.num_classes",
            );
        }
        let text = recipe.condition.text.as_ref();
        if text.is_some() {
            unsaid.push("computed with condition.text.vocabulary ids of captions; the data may have fewer");
        }
        let text_vocabulary = text.map_or(1, |text| text.vocabulary as i64 + 2);
        (Self { classes: classes.unwrap_or(1), text_vocabulary }, unsaid)
    }
}

impl Tokenizers {
    /// Builds them with random weights.
    ///
    /// # Errors
    /// When one cannot be built for its input.
    pub fn build(recipe: &Recipe, context: &Context) -> Result<Self> {
        let templates = recipe.modalities().contains(&Modality::Template);
        let build = |modality| Ok::<_, ModelError>(build::build(recipe, modality, context)?.1);
        Ok(Self {
            images: build(Modality::Image)?,
            templates: templates.then(|| build(Modality::Template)).transpose()?,
        })
    }

    /// The specification of the prior of a level: its own grid, and as conditions the class, the text, the embedding,
    /// the grids of the template, coordinates, and the coarser grids, in this order.
    ///
    /// # Errors
    /// When the size of the images does not fit a tokenizer.
    pub fn prior_spec(&self, recipe: &Recipe, level: usize, facts: ConditionVocabulary) -> Result<PriorSpec> {
        let condition = &recipe.condition;
        let grids = grids(&self.images, recipe.data.image_size)?;
        let mut spec = PriorSpec::of(grids[level].clone());
        if condition.class {
            spec = spec.with_classes(facts.classes.into());
        }
        if let Some(text) = &condition.text {
            spec = spec.with_text(text.length as i64, facts.text_vocabulary);
        }
        if let Some(embedding) = &condition.embedding {
            spec = spec.with_embedding(embedding.length, embedding.dim);
        }
        let templates = self.templates.as_ref().map(|tokenizer| grids_of(tokenizer, Modality::Template, recipe));
        let coordinates = condition.coordinates.map(|levels| GridSpec { sizes: vec![levels], grid: grids[0].grid });
        let coarser = grids.into_iter().take(level);
        let all = templates.transpose()?.into_iter().flatten().chain(coordinates).chain(coarser);
        Ok(all.fold(spec, PriorSpec::with_condition_grid))
    }
}

fn grids_of(tokenizer: &Tokenizer, modality: Modality, recipe: &Recipe) -> Result<Vec<GridSpec>> {
    grids(tokenizer, modality.input_spec(&recipe.data).size)
}

/// The grid of every level, coarse first.
fn grids(tokenizer: &Tokenizer, size: u32) -> Result<Vec<GridSpec>> {
    let shapes = tokenizer.grid_shapes(size.into())?;
    let of_level = |(grid, sizes): ([i64; 2], Vec<i64>)| Ok(GridSpec::new(sizes, &grid)?);
    shapes.into_iter().zip(tokenizer.codebook_sizes()).map(of_level).collect()
}
