//! The tokens of many images, which stay in their files: the tokens of a batch are read when they are needed.

mod file;
mod opening;

use std::{ops::Range, path::Path};

use tch::{Device, Tensor};
use vqkit_priors::{Condition, Embedding};
use vqkit_run::RunError;
use vqkit_torch::TokenGrid;

use crate::{
    error::Result, error::TokensError, text_tokenizer::mask, token_file::TokenHeader, token_set::file::TokenFile,
};

/// The tokens of many images in one or more token files, which stay open.
///
/// Rows are read in place, and the operating system caches as much as it has room for; so a set may be larger than
/// memory.
#[derive(Debug)]
pub struct TokenSet {
    /// The header, which all files share.
    pub header: TokenHeader,
    /// Classes `[N]`, i64; -1 where an image has none.
    pub classes: Tensor,
    /// Number of ids of every caption, and number of vectors of every embedding, `[N]`.
    text_lengths: Option<Tensor>,
    embedding_lengths: Option<Tensor>,
    /// Shapes of every tensor of indices, `[Q, *S]`, in the order of [`TokenHeader::grids`], captions as `[1, P]`.
    shapes: Vec<Vec<i64>>,
    /// Shape of an embedding, `[L, D]`.
    embedding: Option<[i64; 2]>,
    files: Vec<TokenFile>,
}

impl TokenSet {
    /// Opens files and joins them in the given order. Every claim of a header is checked against the file, and every
    /// index against its codebook, once; none is kept.
    ///
    /// # Errors
    /// When one cannot be read, is not a token file, has a header that does not fit its content, or does not belong
    /// with the others.
    pub fn open(paths: &[impl AsRef<Path>]) -> Result<Self> {
        let mut opened = paths.iter().map(|path| Self::open_one(path.as_ref()).map(|set| (path.as_ref(), set)));
        let (_, mut joined) = opened.next().ok_or(TokensError::NoFiles)??;
        let mut columns = vec![joined.numbers()];
        for set in opened {
            let (path, set) = set?;
            if set.header != joined.header || set.shapes != joined.shapes || set.embedding != joined.embedding {
                return Err(RunError::artifact(
                    path,
                    "made by a different tokenizer or from different data than the rest",
                )
                .into());
            }
            columns.push(set.numbers());
            let first = joined.files.last().map_or(0, |file| file.places.end);
            joined.files.extend(set.files.into_iter().map(|file| file.shifted(first)));
        }
        let joint = |index: usize| -> Result<Option<Tensor>> {
            let parts: Option<Vec<Tensor>> =
                columns.iter().map(|columns| columns[index].as_ref().map(Tensor::shallow_clone)).collect();
            Ok(parts.map(|parts| Tensor::f_cat(&parts, 0)).transpose()?)
        };
        let [classes, texts, embeddings] = [joint(0)?, joint(1)?, joint(2)?];
        joined.classes = classes.unwrap_or(joined.classes);
        (joined.text_lengths, joined.embedding_lengths) = (texts, embeddings);
        Ok(joined)
    }

    /// Classes and lengths.
    fn numbers(&self) -> [Option<Tensor>; 3] {
        let copy = |tensor: &Tensor| tensor.shallow_clone();
        [Some(copy(&self.classes)), self.text_lengths.as_ref().map(copy), self.embedding_lengths.as_ref().map(copy)]
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.classes.size()[0] as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Shape of every level's grid, `[Q, *S]`, coarse first.
    pub fn shapes(&self) -> &[Vec<i64>] {
        &self.shapes[..self.header.sizes.len()]
    }

    /// The grids of a level of the images with the given indices (`[B]`, i64, in any order), on `device`.
    ///
    /// # Errors
    /// When there is no such level or image; when a file cannot be read, or was truncated.
    pub fn grid(&self, level: usize, places: &Tensor, device: Device) -> Result<TokenGrid> {
        let levels = self.header.sizes.len();
        match level < levels {
            true => Ok(TokenGrid::new(self.indices(level, places, device)?, self.header.sizes[level].clone())?),
            false => Err(TokensError::OutOfRange { what: "level", index: level as i64, count: levels }),
        }
    }

    /// The conditions of the images with the given indices, without their classes, on `device`.
    ///
    /// # Errors
    /// When there is no such image; when a file cannot be read, or was truncated.
    pub fn condition(&self, places: &Tensor, device: Device) -> Result<Condition> {
        let mut condition = Condition::none();
        let levels = self.header.sizes.len();
        for (index, sizes) in self.header.condition_sizes.iter().enumerate() {
            let indices = self.indices(levels + index, places, device)?;
            condition = condition.with_grid(TokenGrid::new(indices, sizes.clone())?);
        }
        if let (Some(lengths), Some(ids)) = (&self.text_lengths, self.texts(places, device)?) {
            let mask = mask(&lengths.f_index_select(0, places)?, ids.size()[1], device);
            condition = condition.with_text(ids, mask);
        }
        if let (Some(lengths), Some([length, dim])) = (&self.embedding_lengths, self.embedding) {
            let values = self.embedding(places)?.f_view([-1, length, dim])?.f_to_device(device)?;
            let mask = mask(&lengths.f_index_select(0, places)?, length, device);
            condition = condition.with_embedding(Embedding { values, mask: Some(mask) });
        }
        Ok(condition)
    }

    /// The ids of the captions of the images with the given indices, left-padded: `[B, P]`; `None` where there are no
    /// captions.
    ///
    /// # Errors
    /// When there is no such image; when a file cannot be read, or was truncated.
    pub fn texts(&self, places: &Tensor, device: Device) -> Result<Option<Tensor>> {
        match self.header.text_vocabulary {
            // Captions are the last column.
            Some(_) => Ok(Some(self.indices(self.shapes.len() - 1, places, device)?.squeeze_dim(1))),
            None => Ok(None),
        }
    }

    /// Indices `[B, Q, *S]` of a column.
    fn indices(&self, column: usize, places: &Tensor, device: Device) -> Result<Tensor> {
        let shape = &self.shapes[column];
        let places: Vec<i64> = Vec::try_from(places)?;
        let mut indices = Vec::with_capacity(places.len() * shape.iter().product::<i64>() as usize);
        self.for_each_run(&places, |file, run| file.append_indices(column, run, &mut indices))?;
        let shape = [&[places.len() as i64], shape.as_slice()].concat();
        Ok(Tensor::f_from_slice(&indices)?.f_view(shape.as_slice())?.f_to_device(device)?)
    }

    /// Vectors, `[B * L * D]`.
    fn embedding(&self, places: &Tensor) -> Result<Tensor> {
        let mut values: Vec<f32> = Vec::new();
        self.for_each_run(&Vec::<i64>::try_from(places)?, |file, run| file.append_embeddings(run, &mut values))?;
        Ok(Tensor::f_from_slice(&values)?)
    }

    /// Calls `work` for the indices in their order, with consecutive ones of one file at once.
    fn for_each_run(&self, places: &[i64], mut work: impl FnMut(&TokenFile, Range<usize>) -> Result<()>) -> Result<()> {
        let mut rest = places;
        while let Some(&first) = rest.first() {
            let file = self.file_of(first)?;
            let follow = (first..file.places.end as i64).zip(rest);
            let count = follow.take_while(|(wanted, place)| wanted == *place).count();
            work(file, first as usize..first as usize + count)?;
            rest = &rest[count..];
        }
        Ok(())
    }

    fn file_of(&self, place: i64) -> Result<&TokenFile> {
        let found = usize::try_from(place)
            .ok()
            .and_then(|place| self.files.get(self.files.partition_point(|file| file.places.end <= place)));
        found.ok_or_else(|| TokensError::OutOfRange { what: "image", index: place, count: self.len() })
    }
}

#[cfg(test)]
mod tests;
