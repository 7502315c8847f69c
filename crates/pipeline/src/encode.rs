//! Stage `tokens`: every image becomes its grids of indices.

use std::path::{Path, PathBuf};

use tch::{Kind, Tensor, no_grad};
use vqkit_data::{Dataset, View};
use vqkit_quantizer::Mode;
use vqkit_torch::Tokens;
use vqkit_vqvae::Tokenizer;

use crate::{
    batches,
    context::Context,
    error::{PipelineError, Result},
    files,
    progress::Progress,
    recipe::Recipe,
    run::{Output, Run},
    token_file::{self, TokenHeader},
    train_tokenizer,
};

/// The stage's name, and its folder inside the run.
pub const STAGE: &str = "tokens";

/// Images in one token file.
const PER_FILE: usize = 65_536;

/// A part of the data that is written under its own name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// `train-00000.safetensors` and on.
    Train,
    /// `held-out-00000.safetensors` and on.
    HeldOut,
}

impl Split {
    fn prefix(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::HeldOut => "held-out",
        }
    }
}

/// Encodes training and held-out images with the run's tokenizer.
///
/// # Errors
/// When data or files cannot be read or written, or the user leaves; what was encoded by then is made again.
pub fn encode(run: &mut Run, recipe: &Recipe, data: &Dataset, context: &Context) -> Result<Output> {
    run.begin(STAGE)?;
    let trained = run.require(train_tokenizer::STAGE)?.clone();
    let tokenizer = crate::load::tokenizer(run, recipe, context)?;
    let mut fingerprint = blake3::Hasher::new();
    let folder = run.folder(STAGE);
    files::create_folder(&folder, |folder| {
        for (split, view) in [(Split::Train, &data.train), (Split::HeldOut, &data.held_out)] {
            for path in write_view(folder, split, view, &tokenizer, &trained.fingerprint, recipe, context)? {
                let bytes = std::fs::read(&path).map_err(|source| PipelineError::io("read", &path, source))?;
                fingerprint.update(&bytes);
            }
        }
        Ok(())
    })?;
    Ok(Output { path: STAGE.into(), fingerprint: fingerprint.finalize().to_hex().to_string() })
}

/// Encodes a view into token files inside `folder` and returns their paths.
///
/// # Errors
/// As [`encode`].
pub fn write_view(
    folder: &Path,
    split: Split,
    view: &View,
    tokenizer: &Tokenizer,
    fingerprint: &str,
    recipe: &Recipe,
    context: &Context,
) -> Result<Vec<PathBuf>> {
    let header = TokenHeader {
        tokenizer: fingerprint.to_owned(),
        data: view.fingerprint(),
        sizes: tokenizer.sizes(),
        classes: classes(view),
    };
    let mut progress = Progress::new(STAGE, "images", 0, view.len() as u64);
    let (mut paths, mut part) = (Vec::new(), Part::new(header.sizes.len()));
    let kind = context.kind(recipe.head.precision);
    for batch in batches::once(recipe, view, view.len())? {
        let batch = batch?;
        let images = context.images(&batch)?;
        let grids = grids(tokenizer, &images, kind, context)?;
        let grids = grids.into_iter().map(|grid| grid.indices.to_kind(Kind::Int).to_device(tch::Device::Cpu));
        part.add(grids, &batch.classes);
        if part.classes.len() >= PER_FILE {
            paths.push(part.write(folder, split, paths.len(), &header)?);
        }
        progress.advance(batch.keys.len() as u64);
        progress.say("");
        if context.interrupt.is_set() {
            return Err(PipelineError::Interrupted);
        }
    }
    if !part.classes.is_empty() {
        paths.push(part.write(folder, split, paths.len(), &header)?);
    }
    progress.finish(&format!("{} {} images encoded", view.len(), split.prefix()));
    Ok(paths)
}

/// The tokens of images `[B, C, H, W]`, level by level, coarse first; outside of any graph, and the tokenizer stays as it is.
///
/// # Errors
/// When the tokenizer cannot take the images.
pub fn grids(tokenizer: &Tokenizer, images: &Tensor, kind: Kind, context: &Context) -> Result<Tokens> {
    let levels = no_grad(|| context.autocast(kind, || tokenizer.encode(images, Mode::Eval)))?;
    Ok(levels.into_iter().map(|level| level.grid).collect())
}

/// The names of the classes; their numbers where they have no names.
fn classes(view: &View) -> Vec<String> {
    match view.class_names() {
        [] => (0..view.num_classes()).map(|class| class.to_string()).collect(),
        names => names.to_vec(),
    }
}

/// The token files of a split, in order; none where nothing was held out.
pub fn files_of(folder: &Path, split: Split) -> Vec<PathBuf> {
    (0..).map(|index| folder.join(file_name(split, index))).take_while(|path| path.is_file()).collect()
}

fn file_name(split: Split, index: usize) -> String {
    format!("{}-{index:05}.safetensors", split.prefix())
}

/// Grids on their way into one file.
struct Part {
    levels: Vec<Vec<Tensor>>,
    classes: Vec<i64>,
}

impl Part {
    fn new(levels: usize) -> Self {
        Self { levels: (0..levels).map(|_| Vec::new()).collect(), classes: Vec::new() }
    }

    fn add(&mut self, grids: impl Iterator<Item = Tensor>, classes: &[i64]) {
        self.levels.iter_mut().zip(grids).for_each(|(level, grid)| level.push(grid));
        self.classes.extend_from_slice(classes);
    }

    fn write(&mut self, folder: &Path, split: Split, index: usize, header: &TokenHeader) -> Result<PathBuf> {
        let path = folder.join(file_name(split, index));
        let levels = self.levels.iter_mut().map(|level| Ok(Tensor::f_cat(&std::mem::take(level), 0)?));
        let classes = Tensor::from_slice(&std::mem::take(&mut self.classes));
        token_file::write(&path, header, &levels.collect::<Result<Vec<_>>>()?, &classes)?;
        Ok(path)
    }
}
