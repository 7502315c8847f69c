//! The tokens of many images, left in their files: what a batch needs is read when it is asked for.

use std::{fs::File, ops::Range, path::Path};

use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors, tensor::TensorInfo};
use tch::{Device, Kind, Tensor};
use vqkit_priors::{Condition, Embedding};
use vqkit_torch::{TokenError, TokenGrid};

use crate::{
    error::{PipelineError, Result},
    text_tokenizer::mask,
    token_file::{CLASS, EMBEDDING, EMBEDDING_LENGTH, TEXT_LENGTH, TokenHeader},
};

/// The tokens of many images, mapped into memory from one or more token files.
///
/// The system reads pages as they are used and drops them as it likes, so that a set may be larger than memory.
#[derive(Debug)]
pub struct TokenSet {
    /// What the files say of themselves.
    pub header: TokenHeader,
    /// Classes `[N]`, i64; -1 where an image has none.
    pub classes: Tensor,
    /// Number of ids of every caption, and of vectors of every embedding, `[N]`.
    text_lengths: Option<Tensor>,
    embedding_lengths: Option<Tensor>,
    /// Of every tensor of indices `[Q, *S]`, in the order of [`TokenHeader::grids`], captions as `[1, P]`.
    shapes: Vec<Vec<i64>>,
    /// Of an embedding, `[L, D]`.
    embedding: Option<[i64; 2]>,
    files: Vec<TokenFile>,
}

/// One file of a set.
#[derive(Debug)]
struct TokenFile {
    map: Mmap,
    /// In the order of [`TokenHeader::grids`].
    grids: Vec<Indices>,
    /// Where the embeddings lie, f32 `[N, L, D]`.
    embedding: Option<Range<usize>>,
    /// Place in the set of its first image, and of the next file's.
    places: Range<usize>,
}

/// Where in a file the indices of a level lie, `[N, Q, *S]`. They begin at any byte: safetensors aligns nothing.
#[derive(Debug)]
struct Indices {
    bytes: Range<usize>,
    width: Width,
}

/// How an index is written, little end first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    U16,
    U32,
}

impl Width {
    fn bytes(self) -> usize {
        match self {
            Self::U16 => 2,
            Self::U32 => 4,
        }
    }

    /// The largest of some indices, and -1 of none.
    fn largest(self, bytes: &[u8]) -> i64 {
        match self {
            Self::U16 => bytes.chunks_exact(2).map(u16_of).max().map_or(-1, i64::from),
            Self::U32 => bytes.chunks_exact(4).map(u32_of).max().map_or(-1, i64::from),
        }
    }

    fn append(self, bytes: &[u8], to: &mut Vec<i64>) {
        match self {
            Self::U16 => to.extend(bytes.chunks_exact(2).map(|b| i64::from(u16_of(b)))),
            Self::U32 => to.extend(bytes.chunks_exact(4).map(|b| i64::from(u32_of(b)))),
        }
    }
}

fn u16_of(bytes: &[u8]) -> u16 {
    u16::from_le_bytes([bytes[0], bytes[1]])
}

fn u32_of(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

impl TokenSet {
    /// Opens files and joins them in the order given. Every index is compared with its codebook, once; none is kept. The files are
    /// mapped: nobody may write into them, or cut them shorter, while the set is in use.
    ///
    /// # Errors
    /// When one cannot be read, is not a token file, holds an index outside its codebook, or does not belong with the
    /// others.
    pub fn open(paths: &[impl AsRef<Path>]) -> Result<Self> {
        let mut opened = paths.iter().map(|path| Self::open_one(path.as_ref()).map(|set| (path.as_ref(), set)));
        let (_, mut joined) = opened.next().ok_or_else(|| PipelineError::Usage("no token files given".into()))??;
        let mut columns = vec![joined.numbers()];
        for set in opened {
            let (path, set) = set?;
            if set.header != joined.header || set.shapes != joined.shapes || set.embedding != joined.embedding {
                return Err(PipelineError::artifact(path, "made by another tokenizer or of other data than the rest"));
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

    fn open_one(path: &Path) -> Result<Self> {
        let map = map(path)?;
        let bad = |reason: String| PipelineError::artifact(path, reason);
        let (header_bytes, metadata) = SafeTensors::read_metadata(&map).map_err(|error| bad(error.to_string()))?;
        let none = Default::default();
        let header = TokenHeader::of(metadata.metadata().as_ref().unwrap_or(&none)).map_err(bad)?;
        // In front of the header stands its length, in eight bytes.
        let begin = header_bytes + 8;
        let find = |name: &str| metadata.info(name).ok_or_else(|| bad(format!("holds no tensor `{name}`")));
        let classes = read_numbers(find(CLASS)?, begin, &map).map_err(bad)?;
        let images = classes.size()[0] as usize;
        let lengths = |name: &str| -> Result<Tensor> {
            match read_numbers(find(name)?, begin, &map).map_err(bad)? {
                lengths if lengths.size()[0] as usize == images => Ok(lengths),
                _ => Err(bad(format!("its `{name}` and classes differ in length"))),
            }
        };
        if images == 0 {
            return Err(bad("holds no images".into()));
        }
        let (mut grids, mut shapes) = (Vec::new(), Vec::new());
        for (name, sizes) in header.grids() {
            let info = find(&name)?;
            let indices = Indices::new(info, begin).map_err(bad)?;
            let shape = shape_of(info, &sizes).map_err(|error| bad(error.to_string()))?;
            if info.shape[0] != images {
                return Err(bad(format!("its `{name}` and classes differ in length")));
            }
            indices.check_range(&map, images, &sizes).map_err(|error| bad(error.to_string()))?;
            grids.push(indices);
            shapes.push(shape);
        }
        let text_lengths = header.text_vocabulary.map(|_| lengths(TEXT_LENGTH)).transpose()?;
        let embedding =
            metadata.info(EMBEDDING).map(|info| floats_of(info, begin, images).map_err(&bad)).transpose()?;
        let embedding_lengths = embedding.as_ref().map(|_| lengths(EMBEDDING_LENGTH)).transpose()?;
        let (place, embedding) = embedding.unzip();
        let files = vec![TokenFile { map, grids, embedding: place, places: 0..images }];
        Ok(Self { header, classes, text_lengths, embedding_lengths, shapes, embedding, files })
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

    /// The grids of a level at the given places (`[B]`, i64, in any order), on `device`.
    ///
    /// # Errors
    /// When there is no such level, or a place lies outside.
    pub fn grid(&self, level: usize, places: &Tensor, device: Device) -> Result<TokenGrid> {
        let levels = self.header.sizes.len();
        match level < levels {
            true => Ok(TokenGrid::new(self.indices(level, places, device)?, self.header.sizes[level].clone())?),
            false => Err(PipelineError::Usage(format!("there is no level {level} in token files of {levels} levels"))),
        }
    }

    /// What the images at the given places are conditioned on, without their classes, on `device`.
    ///
    /// # Errors
    /// When a place lies outside.
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

    /// The ids of the captions at the given places, padding in front: `[B, P]`; none where there are no captions.
    ///
    /// # Errors
    /// When a place lies outside.
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
        for &place in &places {
            let file = self.file_of(place)?;
            file.append(column, place as usize, &mut indices);
        }
        let shape = [&[places.len() as i64], shape.as_slice()].concat();
        Ok(Tensor::f_from_slice(&indices)?.f_view(shape.as_slice())?.f_to_device(device)?)
    }

    fn embedding(&self, places: &Tensor) -> Result<Tensor> {
        let mut values: Vec<f32> = Vec::new();
        for place in Vec::<i64>::try_from(places)? {
            values.extend(self.file_of(place)?.embedding_at(place as usize));
        }
        Ok(Tensor::f_from_slice(&values)?)
    }

    fn file_of(&self, place: i64) -> Result<&TokenFile> {
        let found = usize::try_from(place)
            .ok()
            .and_then(|place| self.files.get(self.files.partition_point(|file| file.places.end <= place)));
        found.ok_or_else(|| {
            PipelineError::Usage(format!("there is no place {place} in token files of {} images", self.len()))
        })
    }
}

impl TokenFile {
    fn shifted(self, first: usize) -> Self {
        Self { places: self.places.start + first..self.places.end + first, ..self }
    }

    /// Adds the indices of the image at a place of the set.
    fn append(&self, column: usize, place: usize, to: &mut Vec<i64>) {
        let Indices { bytes, width } = &self.grids[column];
        let row = bytes.len() / self.places.len();
        let begin = bytes.start + (place - self.places.start) * row;
        width.append(&self.map[begin..begin + row], to);
    }

    /// The vectors of the image at a place of the set.
    fn embedding_at(&self, place: usize) -> impl Iterator<Item = f32> {
        let bytes = self.embedding.clone().unwrap_or_default();
        let row = bytes.len() / self.places.len();
        let begin = bytes.start + (place - self.places.start) * row;
        self.map[begin..begin + row].chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
    }
}

impl Indices {
    fn new(info: &TensorInfo, begin: usize) -> Result<Self, String> {
        let width = match info.dtype {
            Dtype::U16 => Width::U16,
            Dtype::U32 => Width::U32,
            other => return Err(format!("indices must be u16 or u32, found {other:?}")),
        };
        Ok(Self { bytes: begin + info.data_offsets.0..begin + info.data_offsets.1, width })
    }

    /// Looks at every index of `images` grids.
    fn check_range(&self, map: &Mmap, images: usize, sizes: &[i64]) -> Result<(), TokenError> {
        let plane = self.bytes.len() / (images * sizes.len());
        for (index, plane) in map[self.bytes.clone()].chunks_exact(plane.max(self.width.bytes())).enumerate() {
            let codebook = index % sizes.len();
            let (index, size) = (self.width.largest(plane), sizes[codebook]);
            if index >= size {
                return Err(TokenError::Range { index, codebook, size });
            }
        }
        Ok(())
    }
}

/// The shape of a grid, `[Q, *S]`.
fn shape_of(info: &TensorInfo, sizes: &[i64]) -> Result<Vec<i64>, TokenError> {
    let shape: Vec<i64> = info.shape.iter().map(|length| *length as i64).collect();
    if shape.len() < 3 || sizes.is_empty() || shape[1] != sizes.len() as i64 {
        return Err(TokenError::Shape { codebooks: sizes.len(), kind: Kind::Int64, shape });
    }
    Ok(shape[1..].to_vec())
}

/// Where vectors lie, and their shape `[L, D]`.
fn floats_of(info: &TensorInfo, begin: usize, images: usize) -> Result<(Range<usize>, [i64; 2]), String> {
    match (info.dtype, info.shape.as_slice()) {
        (Dtype::F32, &[count, length, dim]) if count == images => {
            let place = begin + info.data_offsets.0..begin + info.data_offsets.1;
            Ok((place, [length as i64, dim as i64]))
        }
        (dtype, shape) => Err(format!("embeddings must be f32 [{images}, L, D], found {dtype:?} {shape:?}")),
    }
}

fn read_numbers(info: &TensorInfo, begin: usize, map: &Mmap) -> Result<Tensor, String> {
    if info.dtype != Dtype::I64 || info.shape.len() != 1 {
        return Err(format!("classes and lengths must be i64 [N], found {:?} {:?}", info.dtype, info.shape));
    }
    let word = |b: &[u8]| i64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]);
    let bytes = &map[begin + info.data_offsets.0..begin + info.data_offsets.1];
    Ok(Tensor::from_slice(&bytes.chunks_exact(8).map(word).collect::<Vec<_>>()))
}

/// Maps a file to be read.
fn map(path: &Path) -> Result<Mmap> {
    let io = |source| PipelineError::io("read", path, source);
    let file = File::open(path).map_err(io)?;
    // SAFETY: the bytes must not change while they are mapped, and a file cut shorter by another process would end this one with
    // SIGBUS. vqkit does neither: it writes a token file beside its place and renames it, so what is mapped here stays as it is even
    // where a new file takes its name. Of other programs, [`TokenSet::open`] says that they must not.
    unsafe { Mmap::map(&file) }.map_err(io)
}

#[cfg(test)]
mod tests;
