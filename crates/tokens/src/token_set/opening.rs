//! Opening a token file: every claim of its header is checked against the file.

use std::{collections::HashSet, ops::RangeInclusive, path::Path};

use safetensors::{Dtype, tensor::TensorInfo};
use tch::{Kind, Tensor};
use vqkit_run::RunError;
use vqkit_torch::{
    TokenError, memory,
    weights::{self, OpenFile},
};

use crate::{
    error::Result, error::TokensError, token_file::CLASS, token_file::EMBEDDING, token_file::EMBEDDING_LENGTH,
    token_file::TEXT, token_file::TEXT_LENGTH, token_file::TokenHeader, token_set::TokenSet, token_set::file::Column,
    token_set::file::TokenFile, token_set::file::Width,
};

/// Largest number of codes that 16-bit indices can name.
const CODES_OF_U16: i64 = 1 << 16;
/// libtorch's own limit.
const MAX_DIMENSIONS: usize = 64;

impl TokenSet {
    /// The images of one file.
    pub(super) fn open_one(path: &Path) -> Result<Self> {
        let opening = Opening { source: weights::open(path)? };
        let none = Default::default();
        let header = TokenHeader::of(opening.source.header().metadata().as_ref().unwrap_or(&none));
        let header = header.map_err(|reason| opening.bad(reason))?;
        let classes = opening.numbers(CLASS)?;
        let images = classes.len();
        if images == 0 {
            return Err(opening.bad("holds no images"));
        }
        opening.check_names(&header)?;
        opening.check_values(CLASS, &classes, -1..=header.classes.len() as i64 - 1)?;
        let (mut grids, mut shapes) = (Vec::new(), Vec::new());
        for (name, sizes) in header.grids() {
            let (column, shape) = opening.grid(&name, &sizes, images)?;
            column.check_range(&opening.source, images, &sizes)?;
            grids.push(column);
            shapes.push(shape);
        }
        opening.check_counts(&header)?;
        let lengths = |name: &str, most: i64| -> Result<Tensor> {
            let lengths = opening.numbers_of(name, images)?;
            opening.check_values(name, &lengths, 0..=most)?;
            Ok(Tensor::f_from_slice(&lengths)?)
        };
        let texts =
            header.text_vocabulary.and(shapes.last()).map(|shape| lengths(TEXT_LENGTH, shape[1])).transpose()?;
        let embedding = opening.embedding(images)?;
        let embedding_lengths =
            embedding.as_ref().map(|(_, [length, _])| lengths(EMBEDDING_LENGTH, *length)).transpose()?;
        let (column, embedding) = embedding.unzip();
        let files = vec![TokenFile { source: opening.source, grids, embedding: column, places: 0..images }];
        let classes = Tensor::f_from_slice(&classes)?;
        Ok(Self { header, classes, text_lengths: texts, embedding_lengths, shapes, embedding, files })
    }
}

/// A file whose header was read.
struct Opening {
    source: OpenFile,
}

impl Opening {
    fn bad(&self, reason: impl Into<String>) -> TokensError {
        RunError::artifact(self.source.path(), reason).into()
    }

    fn find(&self, name: &str) -> Result<&TensorInfo> {
        self.source.header().info(name).ok_or_else(|| self.bad(format!("holds no tensor `{name}`")))
    }

    /// Checks that there is no tensor that the header does not name.
    fn check_names(&self, header: &TokenHeader) -> Result<()> {
        let others = [CLASS, TEXT_LENGTH, EMBEDDING, EMBEDDING_LENGTH].map(str::to_owned);
        let known: HashSet<String> = header.grids().into_iter().map(|(name, _)| name).chain(others).collect();
        match self.source.header().offset_keys().iter().find(|name| !known.contains(*name)) {
            None => Ok(()),
            Some(name) => Err(self.bad(format!("holds `{name}`, which its header does not name"))),
        }
    }

    /// A column of whole numbers `[N]`.
    fn numbers(&self, name: &str) -> Result<Vec<i64>> {
        let info = self.find(name)?;
        if info.dtype != Dtype::I64 || info.shape.len() != 1 {
            return Err(self.bad(format!("its `{name}` must be I64 [N], found {:?} {:?}", info.dtype, info.shape)));
        }
        let mut bytes = vec![0; info.shape[0] * size_of::<i64>()];
        self.source.read(self.source.range(info).start, &mut bytes)?;
        let (words, _) = bytes.as_chunks::<8>();
        Ok(words.iter().map(|word| i64::from_le_bytes(*word)).collect())
    }

    fn numbers_of(&self, name: &str, images: usize) -> Result<Vec<i64>> {
        match self.numbers(name)? {
            numbers if numbers.len() == images => Ok(numbers),
            _ => Err(self.differs(name)),
        }
    }

    fn differs(&self, name: &str) -> TokensError {
        self.bad(format!("its `{name}` and classes differ in length"))
    }

    fn check_values(&self, name: &str, numbers: &[i64], allowed: RangeInclusive<i64>) -> Result<()> {
        match numbers.iter().position(|number| !allowed.contains(number)) {
            None => Ok(()),
            Some(at) => {
                let (number, least, most) = (numbers[at], allowed.start(), allowed.end());
                Err(self.bad(format!("its `{name}` of image {at} is {number}; it must lie in {least}..={most}")))
            }
        }
    }

    /// The place of the indices of a grid, and their shape `[Q, *S]`.
    fn grid(&self, name: &str, sizes: &[i64], images: usize) -> Result<(Column, Vec<i64>)> {
        let info = self.find(name)?;
        let width = match info.dtype {
            Dtype::U16 => Width::U16,
            Dtype::U32 => Width::U32,
            other => return Err(self.bad(format!("its `{name}`: indices must be u16 or u32, found {other:?}"))),
        };
        if width == Width::U16 && sizes.iter().any(|size| *size > CODES_OF_U16) {
            let claim = format!("its header claims codebooks of {sizes:?} codes");
            return Err(self.bad(format!("{claim}, but `{name}` is u16, which can name at most {CODES_OF_U16}")));
        }
        let shape: Vec<i64> = info.shape.iter().map(|length| *length as i64).collect();
        let is_text = name == TEXT;
        let has_rank = if is_text { shape.len() == 3 } else { (3..=MAX_DIMENSIONS).contains(&shape.len()) };
        if !has_rank || shape[1] != sizes.len() as i64 || shape[1..].contains(&0) {
            let error = TokenError::Shape { codebooks: sizes.len(), kind: Kind::Int64, shape };
            return Err(self.bad(format!("its `{name}`: {error}")));
        }
        if info.shape[0] != images {
            return Err(self.differs(name));
        }
        Ok((self.column(info, width, images), shape[1..].to_vec()))
    }

    /// The place of vectors, and their shape `[L, D]`.
    fn embedding(&self, images: usize) -> Result<Option<(Column, [i64; 2])>> {
        let Some(info) = self.source.header().info(EMBEDDING) else { return Ok(None) };
        match (info.dtype, info.shape.as_slice()) {
            (Dtype::F32, &[count, length, dim]) if count == images && length > 0 && dim > 0 => {
                Ok(Some((self.column(info, Width::F32, images), [length as i64, dim as i64])))
            }
            (dtype, shape) => {
                Err(self.bad(format!("embeddings must be f32 [{images}, L, D], found {dtype:?} {shape:?}")))
            }
        }
    }

    /// The size of a tensor in bytes follows from its shape, which was checked when the header was read.
    fn column(&self, info: &TensorInfo, width: Width, images: usize) -> Column {
        let range = self.source.range(info);
        Column { begin: range.start, row: (range.end - range.start) as usize / images, width }
    }

    /// Checks that there is memory to count the usage of codes: their number is only claimed by the header.
    fn check_counts(&self, header: &TokenHeader) -> Result<()> {
        let codes: i64 = header.sizes.iter().flatten().sum();
        let what = format!("counting the {codes} codes that its header claims");
        memory::check(&what, codes as u64 * 8).map_err(|error| self.bad(error.to_string()))
    }
}
