//! Turns the conditions of an image, from the data or from a user, into tensors for the priors: class, token ids,
//! vectors, indices of the template.

use std::sync::{Arc, OnceLock};

use tch::Tensor;
use vqkit_data::{Batch, CropRegion};
use vqkit_models::{build, grids, load};
use vqkit_priors::{Condition, Embedding, Text};
use vqkit_recipe::{EmbeddingCondition, InvalidRequest, Modality, Recipe, stage_names};
use vqkit_run::{Context, Run, batch_tensors};
use vqkit_torch::{TokenGrid, Tokens};
use vqkit_vqvae::Tokenizer;

use crate::{
    embedding_file::EmbeddingFile, error::Result, split::Split, text_tokenizer::TextTokenizer, text_tokenizer::mask,
};

/// The file of the text tokenizer in the folder of the stage `tokens`.
pub const TEXT_TOKENIZER: &str = "text.json";

/// Encodes the conditions of a run.
#[derive(Debug)]
pub struct ConditionEncoder {
    recipe: Arc<Recipe>,
    context: Context,
    text: Option<TextTokenizer>,
    template: Option<Tokenizer>,
    split: Split,
    /// The vectors of the split's samples, opened when they are first needed.
    embeddings: OnceLock<EmbeddingFile>,
    /// The image's coarsest grid, for which coordinates are computed, and the number of their levels.
    coordinates: Option<([i64; 2], i64)>,
}

impl ConditionEncoder {
    /// The encoder of a run whose tokenizers are trained; `text`: the tokenizer of captions, where the recipe
    /// conditions on them.
    ///
    /// # Errors
    /// When a tokenizer or an embedding cannot be read.
    pub fn new(run: &Run, text: Option<TextTokenizer>, split: Split, context: &Context) -> Result<Self> {
        let recipe = run.recipe();
        let condition = &recipe.condition;
        let template = condition.template.as_ref().map(|_| load::tokenizer(run, Modality::Template, context));
        let coordinates = match condition.coordinates {
            None => None,
            Some(levels) => {
                let (_, images) = build::build(recipe, Modality::Image, context)?;
                let shapes = images.grid_shapes(recipe.data.image_size.into())?;
                Some((shapes[0], levels))
            }
        };
        Ok(Self {
            recipe: Arc::clone(recipe),
            context: context.clone(),
            text,
            template: template.transpose()?,
            split,
            embeddings: OnceLock::new(),
            coordinates,
        })
    }

    /// The encoder of a run whose stage `tokens` is done.
    ///
    /// # Errors
    /// As [`ConditionEncoder::new`].
    pub fn of_run(run: &Run, split: Split, context: &Context) -> Result<Self> {
        let recipe = run.recipe();
        let text = match &recipe.condition.text {
            None => None,
            Some(config) => {
                let folder = run.path().join(&run.require(stage_names::TOKENS)?.path);
                Some(TextTokenizer::read(&folder.join(TEXT_TOKENIZER), config.length)?)
            }
        };
        Self::new(run, text, split, context)
    }

    /// The tokenizer of captions.
    pub fn text(&self) -> Option<&TextTokenizer> {
        self.text.as_ref()
    }

    /// The tokenizer of templates.
    pub fn template(&self) -> Option<&Tokenizer> {
        self.template.as_ref()
    }

    /// Sizes of the codebooks of the condition grids, in their order.
    pub fn grid_sizes(&self) -> Vec<Vec<i64>> {
        let template = self.template.iter().flat_map(Tokenizer::codebook_sizes);
        template.chain(self.coordinates.map(|(_, levels)| vec![levels])).collect()
    }

    /// The conditions of the samples of a batch, including their class where the recipe has it; and how many captions
    /// were cut.
    ///
    /// # Errors
    /// When a sample lacks what it needs.
    pub fn of_batch(&self, batch: &Batch) -> Result<(Condition, usize)> {
        let device = self.context.device;
        let (mut condition, mut num_cut) = (Condition::none(), 0);
        if self.recipe.condition.class {
            condition = condition.with_class(Tensor::f_from_slice(&batch.classes)?.f_to_device(device)?);
        }
        if let Some(text) = &self.text {
            let mut ids = Vec::with_capacity(batch.captions.len());
            for (caption, key) in batch.captions.iter().zip(&batch.keys) {
                let missing = || InvalidRequest::key("condition.text", format!("{key} has no caption"));
                let (caption, is_cut) = text.encode_caption(caption.as_deref().ok_or_else(missing)?)?;
                ids.push(caption);
                num_cut += usize::from(is_cut);
            }
            let Text { ids, mask } = text.batch(&ids, device);
            condition = condition.with_text(ids, mask);
        }
        if self.recipe.condition.embedding.is_some() {
            let vectors = batch.keys.iter().map(|key| self.embeddings()?.get(key)).collect::<Result<Vec<_>>>()?;
            condition = self.with_vectors(condition, &vectors)?;
        }
        if self.template.is_some() {
            condition = with_grids(
                condition,
                self.template_tokens(&batch_tensors::of_batch(Modality::Template, batch, &self.context)?)?,
            );
        }
        Ok((with_grids(condition, self.coordinates(&batch.regions)?), num_cut))
    }

    /// The indices of templates, given as an encoder takes them, level by level; empty where the run has no templates.
    ///
    /// # Errors
    /// When the tokenizer cannot take them.
    pub fn template_tokens(&self, templates: &Tensor) -> Result<Tokens> {
        let kind = self.context.kind(self.recipe.head.precision);
        self.template
            .as_ref()
            .map_or(Ok(Tokens::new()), |tokenizer| Ok(grids::grids(tokenizer, templates, kind, &self.context)?))
    }

    /// The vectors of the split's samples.
    ///
    /// # Errors
    /// When the files cannot be read or hold vectors that do not fit the recipe, or the run has no embeddings as
    /// condition.
    pub fn embeddings(&self) -> Result<&EmbeddingFile> {
        if let Some(opened) = self.embeddings.get() {
            return Ok(opened);
        }
        let missing = || InvalidRequest::option("embedding", self.recipe.condition.describe());
        let config = self.recipe.condition.embedding.as_ref().ok_or_else(missing)?;
        let opened = open_embeddings(&self.recipe, config, self.split)?;
        Ok(self.embeddings.get_or_init(|| opened))
    }

    /// A condition with vectors, `L * D` numbers per image; unchanged where the run has no embeddings as condition.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn with_vectors(&self, condition: Condition, vectors: &[Vec<f32>]) -> Result<Condition> {
        match &self.recipe.condition.embedding {
            Some(config) => Ok(condition.with_embedding(self.embedding(vectors, config)?)),
            None => Ok(condition),
        }
    }

    /// Coordinates of parts of images, of the size of training; `None` where they are not a condition of the run.
    fn coordinates(&self, parts: &[CropRegion]) -> Result<Tokens> {
        let Some((grid, levels)) = self.coordinates else { return Ok(Tokens::new()) };
        let size = self.recipe.data.image_size;
        let rows = parts.iter().map(|part| coordinates(part, grid, levels, size));
        self.grid_of_coordinates(rows, grid, levels)
    }

    /// Coordinates of whole images of a height and width in pixels; `None` where they are not a condition of the run.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn coordinates_of_whole(&self, [height, width]: [u32; 2], batch: usize) -> Result<Tokens> {
        let Some((trained, levels)) = self.coordinates else { return Ok(Tokens::new()) };
        let size = i64::from(self.recipe.data.image_size);
        let grid = [trained[0] * i64::from(height) / size, trained[1] * i64::from(width) / size];
        let whole = CropRegion { top: 0.0, left: 0.0, height: 1.0, width: 1.0 };
        let row = coordinates(&whole, grid, levels, height);
        self.grid_of_coordinates((0..batch).map(|_| row.clone()), grid, levels)
    }

    fn grid_of_coordinates(
        &self,
        rows: impl ExactSizeIterator<Item = Vec<i64>>,
        [height, width]: [i64; 2],
        levels: i64,
    ) -> Result<Tokens> {
        let batch = rows.len() as i64;
        let indices = Tensor::f_from_slice(&rows.flatten().collect::<Vec<_>>())?.f_view([batch, 1, height, width])?;
        Ok(vec![TokenGrid::new(indices.to_device(self.context.device), vec![levels])?])
    }

    /// Vectors `[L, D]` of each sample as priors take them: cut at the end where there are too many, left-padded.
    fn embedding(&self, samples: &[Vec<f32>], config: &EmbeddingCondition) -> Result<Embedding> {
        let width = config.length * config.dim;
        let mut values = Vec::with_capacity(samples.len() * width as usize);
        let mut lengths = Vec::with_capacity(samples.len());
        for sample in samples {
            let read = &sample[..sample.len().min(width as usize)];
            values.extend(std::iter::repeat_n(0.0f32, width as usize - read.len()));
            values.extend_from_slice(read);
            lengths.push(read.len() as i64 / config.dim);
        }
        let device = self.context.device;
        let values = Tensor::f_from_slice(&values)?.f_view([-1, config.length, config.dim])?.f_to_device(device)?;
        Ok(Embedding { values, mask: Some(mask(&Tensor::from_slice(&lengths), config.length, device)) })
    }
}

/// A condition with further grids appended.
pub fn with_grids(condition: Condition, grids: Tokens) -> Condition {
    grids.into_iter().fold(condition, Condition::with_grid)
}

/// The coordinates of the positions of a grid over a part of an image, row by row, in `levels` steps.
///
/// As in taming-transformers (`CoordStage`): the share of the whole image's pixels, numbered row by row, that precede a
/// pixel, averaged over the pixels of a token. So it encodes the vertical position, and hardly the horizontal one.
pub fn coordinates(part: &CropRegion, [height, width]: [i64; 2], levels: i64, size: u32) -> Vec<i64> {
    // Height of the whole image in pixels, at the scale of the part that the model receives.
    let whole = f64::from(size) / f64::from(part.height);
    let at = |index: i64, length: i64, first: f32, share: f32| {
        f64::from(first) + (index as f64 + 0.5) / length as f64 * f64::from(share)
    };
    let level = |row: i64, column: i64| {
        let (down, right) = (at(row, height, part.top, part.height), at(column, width, part.left, part.width));
        // A row of tokens is centred between pixels, half a pixel row below the first of its number.
        let preceding = down + (right - 0.5) / whole;
        ((preceding * levels as f64).round() as i64).clamp(0, levels - 1)
    };
    (0..height).flat_map(|row| (0..width).map(move |column| level(row, column))).collect()
}

fn open_embeddings(recipe: &Recipe, config: &EmbeddingCondition, split: Split) -> Result<EmbeddingFile> {
    let files = match split {
        Split::Validation if !config.validation.is_empty() => &config.validation,
        _ => &config.train,
    };
    if files.is_empty() {
        return Err(InvalidRequest::key("condition.embedding.train", "lists no file").into());
    }
    let paths: Vec<_> = files.iter().map(|file| recipe.data.root().join(file)).collect();
    let file = EmbeddingFile::open(&paths)?;
    match file.dim() as i64 == config.dim {
        true => Ok(file),
        false => {
            let (path, found) = (paths[0].display(), file.dim());
            let reason = format!("is {}, but the vectors of {path} have {found}", config.dim);
            Err(InvalidRequest::key("condition.embedding.dim", reason).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_go_from_top_to_bottom_of_the_whole_picture() {
        let whole = CropRegion { top: 0.0, left: 0.0, height: 1.0, width: 1.0 };
        let all = coordinates(&whole, [8, 8], 64, 64);
        assert!(all.is_sorted_by_key(|level| level / 8), "{all:?}");
        assert_eq!((all[0], all[63]), (4, 60));
        let lower = CropRegion { top: 0.5, left: 0.0, height: 0.5, width: 0.5 };
        let rows = coordinates(&lower, [8, 8], 64, 64);
        assert_eq!((rows[0], rows[63]), (34, 62));
    }
}
