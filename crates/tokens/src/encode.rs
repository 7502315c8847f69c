//! Stage `tokens`: encodes every image, and its conditions, as grids of indices.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use tch::{Device, Kind, Tensor};
use vqkit_data::{Batch, Dataset, View};
use vqkit_models::{grids, load};
use vqkit_pretrained::hub;
use vqkit_priors::{Condition, Embedding, Text};
use vqkit_recipe::{Modality, Recipe, TextCondition, stage_names};
use vqkit_run::{Context, Home, Output, Run, RunError, files};
use vqkit_torch::TokenGrid;
use vqkit_vqvae::Tokenizer;

use crate::{
    condition_encoder::ConditionEncoder, condition_encoder::TEXT_TOKENIZER, error::Result, error::TokensError, loaders,
    split, split::Split, text_tokenizer::TextTokenizer, token_file, token_file::CLASS, token_file::Columns,
    token_file::EMBEDDING, token_file::EMBEDDING_LENGTH, token_file::TEXT, token_file::TEXT_LENGTH,
    token_file::TokenHeader, token_file::condition_name, token_file::level_name,
};

/// Number of images in one token file.
const PER_FILE: usize = 65_536;

/// Encodes training and validation images with the run's tokenizers; trains or reads the tokenizer of captions first,
/// where the recipe has text as condition.
///
/// # Errors
/// When data or files cannot be read or written, or the user interrupts; images that were encoded by then are encoded
/// again.
pub fn encode(run: &mut Run, data: &Dataset, context: &Context) -> Result<Output> {
    let recipe = &Arc::clone(run.recipe());
    run.begin(stage_names::TOKENS)?;
    let encoder = Encoder::of_run(run, context)?;
    let text = recipe.condition.text.as_ref().map(|config| text_tokenizer(config, &data.train, context)).transpose()?;
    let mut fingerprint = blake3::Hasher::new();
    files::replace(&run.folder(stage_names::TOKENS), |folder| {
        let mut paths = Vec::new();
        if let Some(text) = &text {
            paths.push(folder.join(TEXT_TOKENIZER));
            text.write(&paths[0])?;
        }
        for (split, view) in [(Split::Train, &data.train), (Split::Validation, &data.validation)] {
            let condition_encoder = ConditionEncoder::new(run, text.clone(), split, context)?;
            paths.extend(encoder.write_view(folder, split, view, Some(&condition_encoder))?.paths);
        }
        for path in paths {
            let bytes = std::fs::read(&path).map_err(|source| RunError::io("read", &path, source))?;
            fingerprint.update(&bytes);
        }
        Ok::<_, TokensError>(())
    })?;
    Ok(Output { path: stage_names::TOKENS.into(), fingerprint: fingerprint.finalize().to_hex().to_string() })
}

/// The tokenizer of captions that the recipe names, or one trained on those of the training samples.
fn text_tokenizer(config: &TextCondition, view: &View, context: &Context) -> Result<TextTokenizer> {
    if let Some(path) = &config.tokenizer {
        return TextTokenizer::read(&hub::local_path(path, &context.observer)?, config.length);
    }
    let captions = (0..view.len()).map(|index| Ok(view.caption(index)?)).collect::<Result<Vec<_>>>()?;
    TextTokenizer::train(captions.into_iter().flatten(), config)
}

/// The token files that were written for a view.
pub struct Encoded {
    /// The token files.
    pub paths: Vec<PathBuf>,
    /// Images in them.
    pub images: usize,
}

/// Turns images into token files.
pub struct Encoder {
    tokenizer: Tokenizer,
    /// Fingerprints of the tokenizers of images and of templates.
    fingerprints: (String, Option<String>),
    recipe: Arc<Recipe>,
    context: Context,
}

impl Encoder {
    /// The encoder of a run whose tokenizers are trained.
    ///
    /// # Errors
    /// When one is not.
    pub fn of_run(run: &Run, context: &Context) -> Result<Self> {
        let recipe = run.recipe();
        let fingerprint = |modality: Modality| Ok::<_, TokensError>(run.require(modality.stage())?.fingerprint.clone());
        let template = recipe.condition.template.as_ref().map(|_| fingerprint(Modality::Template)).transpose()?;
        Ok(Self {
            tokenizer: load::tokenizer(run, Modality::Image, context)?,
            fingerprints: (fingerprint(Modality::Image)?, template),
            recipe: Arc::clone(recipe),
            context: context.clone(),
        })
    }

    /// Encodes a view, with the conditions that `condition_encoder` encodes, into token files inside `folder`.
    ///
    /// # Errors
    /// When data or files cannot be read or written, or the user interrupts.
    pub fn write_view(
        &self,
        folder: &Path,
        split: Split,
        view: &View,
        condition_encoder: Option<&ConditionEncoder>,
    ) -> Result<Encoded> {
        let header = self.header(view, condition_encoder);
        let progress = self.context.progress(stage_names::TOKENS, "images", view.len() as u64);
        let (mut paths, mut part, mut images, mut num_cut) = (Vec::new(), Part::default(), 0, 0);
        let home = Home::open(folder)?;
        for batch in loaders::once(&self.recipe, view, view.len(), &self.context)? {
            let batch = batch?;
            home.check()?;
            num_cut += part.add(self.columns(&batch, condition_encoder)?, batch.keys.len());
            images += batch.keys.len();
            if part.images >= PER_FILE {
                paths.push(part.write(folder, split, paths.len(), &header)?);
            }
            progress.advance(batch.keys.len() as u64);
            progress.status("");
        }
        if part.images > 0 {
            paths.push(part.write(folder, split, paths.len(), &header)?);
        }
        progress.finish(&format!("{images} {} images encoded", split.prefix()));
        if num_cut > 0 {
            self.context.warn(format_args!("{num_cut} captions are longer than condition.text.length and were cut"));
        }
        Ok(Encoded { paths, images })
    }

    fn header(&self, view: &View, condition_encoder: Option<&ConditionEncoder>) -> TokenHeader {
        let (tokenizer, template) = self.fingerprints.clone();
        TokenHeader {
            tokenizer,
            data: view.fingerprint(),
            sizes: self.tokenizer.codebook_sizes(),
            empty_classes: empty_classes(view),
            classes: classes(view),
            template: condition_encoder.and(template),
            condition_sizes: condition_encoder.map(ConditionEncoder::grid_sizes).unwrap_or_default(),
            text_vocabulary: condition_encoder.and_then(ConditionEncoder::text).map(TextTokenizer::vocabulary),
        }
    }

    /// The columns of a batch, and how many of its captions were cut.
    fn columns(&self, batch: &Batch, condition_encoder: Option<&ConditionEncoder>) -> Result<(Columns, usize)> {
        let images = self.context.images(batch)?;
        let grids =
            grids::grids(&self.tokenizer, &images, self.context.kind(self.recipe.head.precision), &self.context)?;
        let of_level = |(level, grid): (usize, TokenGrid)| (level_name(level), kept(&grid.indices));
        let mut columns: Columns = grids.into_iter().enumerate().map(of_level).collect();
        columns.push((CLASS.into(), Tensor::from_slice(&batch.classes)));
        let Some(condition_encoder) = condition_encoder else { return Ok((columns, 0)) };
        let (Condition { text, embedding, grids, .. }, num_cut) = condition_encoder.of_batch(batch)?;
        let of_grid = |(index, grid): (usize, TokenGrid)| (condition_name(index), kept(&grid.indices));
        columns.extend(grids.into_iter().enumerate().map(of_grid));
        if let Some(Text { ids, mask }) = text {
            columns.push((TEXT.into(), kept(&ids.unsqueeze(1))));
            columns.push((TEXT_LENGTH.into(), counted(&mask)));
        }
        if let Some(Embedding { values, mask: Some(mask) }) = embedding {
            columns.push((EMBEDDING.into(), values.to_device(Device::Cpu)));
            columns.push((EMBEDDING_LENGTH.into(), counted(&mask)));
        }
        Ok((columns, num_cut))
    }
}

/// Indices that wait to be written.
fn kept(indices: &Tensor) -> Tensor {
    indices.to_kind(Kind::Int).to_device(Device::Cpu)
}

/// How many entries of each row count.
fn counted(mask: &Tensor) -> Tensor {
    mask.sum_dim_intlist([1i64].as_slice(), false, Kind::Int64).to_device(Device::Cpu)
}

/// The names of the classes; their numbers where they have no names.
fn classes(view: &View) -> Vec<String> {
    match view.class_names() {
        [] => (0..view.num_classes()).map(|class| class.to_string()).collect(),
        names => names.to_vec(),
    }
}

/// Those of the classes that have no sample, as where labels are sparse numbers.
fn empty_classes(view: &View) -> Vec<String> {
    let counts = view.class_counts();
    (0..).zip(classes(view)).filter(|(class, _)| !counts.contains_key(class)).map(|(_, name)| name).collect()
}

/// Columns that are collected for one file.
#[derive(Default)]
struct Part {
    /// In the order of the columns of a batch, the same in all of them.
    columns: Vec<(String, Vec<Tensor>)>,
    images: usize,
}

impl Part {
    /// Adds the columns of a batch; returns what came with them.
    fn add(&mut self, (columns, num_cut): (Columns, usize), images: usize) -> usize {
        self.images += images;
        for (name, tensor) in columns {
            match self.columns.iter_mut().find(|(other, _)| *other == name) {
                Some((_, tensors)) => tensors.push(tensor),
                None => self.columns.push((name, vec![tensor])),
            }
        }
        num_cut
    }

    fn write(&mut self, folder: &Path, split: Split, index: usize, header: &TokenHeader) -> Result<PathBuf> {
        let path = folder.join(split::file_name(split, index));
        let Self { columns, .. } = std::mem::take(self);
        let joined = columns.into_iter().map(|(name, tensors)| Ok((name, Tensor::f_cat(&tensors, 0)?)));
        token_file::write(&path, header, &joined.collect::<Result<_>>()?)?;
        Ok(path)
    }
}
