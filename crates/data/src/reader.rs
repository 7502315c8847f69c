//! Reading pictures within bounds that all threads share.

use std::{cell::Cell, marker::PhantomData, ops::Deref, path::Path, sync::Arc};

use crate::{
    DataError, Picture, TemplateKind,
    bounds::{DEFAULT_MAX_DECODED_MB, DEFAULT_MAX_FILE_MB},
    budget::{Budget, Reservation},
    decode::{Encoded, How},
    plain,
};

thread_local! {
    /// How much this thread holds: the number of tokens.
    static HELD: Cell<u32> = const { Cell::new(0) };
}

/// Reads pictures within `max_file_mb` and `max_decoded_mb` of `[data]`. Clones share the bounds: however many threads read, no more
/// is taken at once, and who wants more waits. A file that is larger alone is refused, and so is all that is no plain file.
///
/// ```
/// use vqkit_data::PictureReader;
///
/// let error = PictureReader::default().read("/dev/zero".as_ref()).unwrap_err();
/// assert_eq!(error.to_string(), "/dev/zero: is a device, not a plain file");
/// ```
#[derive(Debug, Clone)]
pub struct PictureReader {
    /// Bytes of files. Taken before memory, and waited for only by threads that hold none, so that no two wait for each other.
    files: Arc<Budget>,
    /// Bytes that decoding and resizing take.
    memory: Arc<Budget>,
}

/// Something decoded, with memory set aside for it and for resizing it, which other threads wait for.
///
/// It stays in its thread, and a thread that holds one waits for no other; so threads never wait for each other.
#[derive(Debug)]
pub struct Held<T> {
    value: T,
    token: Token,
}

#[derive(Debug)]
struct Token {
    _memory: Reservation,
    _stays_in_thread: PhantomData<*const ()>,
}

impl Default for PictureReader {
    /// With the bounds that hold where nothing is said.
    fn default() -> Self {
        Self::new(DEFAULT_MAX_FILE_MB, DEFAULT_MAX_DECODED_MB)
    }
}

impl PictureReader {
    /// With these bounds in MiB, which are `max_file_mb` and `max_decoded_mb` of `[data]`;
    /// [`DataConfig::reader`](crate::DataConfig::reader) has those of a recipe.
    pub fn new(max_file_mb: u64, max_decoded_mb: u64) -> Self {
        let bytes = |mb: u64| Budget::new(mb.saturating_mul(1 << 20));
        Self { files: bytes(max_file_mb), memory: bytes(max_decoded_mb) }
    }

    /// The picture at a path that somebody named, as [`decode`](crate::decode) reads it.
    ///
    /// # Errors
    /// [`DataError::Io`] or [`DataError::Source`] where there is no plain file, or a larger one than `max_file_mb`;
    /// [`DataError::Bad`] as [`decode`](crate::decode).
    pub fn read(&self, path: &Path) -> Result<Picture, DataError> {
        self.read_as(path, How::Fast)
    }

    /// The template of this kind at a path that somebody named: label maps as [`decode_labels`](crate::decode_labels) reads them.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_template(&self, path: &Path, kind: &TemplateKind) -> Result<Picture, DataError> {
        self.read_as(path, How::of(Some(kind)))
    }

    /// Decodes as [`decode`](crate::decode), of the memory that is shared.
    ///
    /// # Errors
    /// As [`decode`](crate::decode).
    pub fn decode(&self, bytes: &[u8], name: &str) -> Result<Held<Picture>, DataError> {
        self.hold(Encoded { bytes, name, how: How::Fast })
    }

    /// Decodes as [`decode_as_libjpeg`](crate::decode_as_libjpeg), of the memory that is shared.
    ///
    /// # Errors
    /// As [`decode_as_libjpeg`](crate::decode_as_libjpeg).
    pub fn decode_as_libjpeg(&self, bytes: &[u8], name: &str) -> Result<Held<Picture>, DataError> {
        self.hold(Encoded { bytes, name, how: How::AsLibjpeg })
    }

    fn read_as(&self, path: &Path, how: How) -> Result<Picture, DataError> {
        let (file, len) = plain::open(path)?;
        let too_large = |reason| DataError::Source { path: path.into(), reason };
        let _room = self.room_for_file(len).map_err(too_large)?;
        let bytes = plain::read_open(path, &file, len, len)?;
        let name = path.display().to_string();
        Ok(self.hold(Encoded { bytes: &bytes, name: &name, how })?.into_inner())
    }

    fn hold(&self, file: Encoded) -> Result<Held<Picture>, DataError> {
        let measure = file.measure(self.memory.capacity())?;
        Held::new(self.memory_of(measure.peak), || file.decode(measure))
    }

    /// Decodes a picture and its template, whose memory is taken at once.
    pub(crate) fn hold_pair(&self, image: Encoded, template: Encoded) -> Result<Held<[Picture; 2]>, DataError> {
        let most = self.memory.capacity();
        let measures = [image.measure(most)?, template.measure(most)?];
        let peak = measures[0].peak.saturating_add(measures[1].peak);
        if peak > most {
            let reason = format!(
                "takes {needed} MiB to decode with its template, more than the {} given; raise data.max_decoded_mb to {needed} to read \
                 them",
                most >> 20,
                needed = peak.div_ceil(1 << 20)
            );
            return Err(DataError::bad(image.name, reason));
        }
        Held::new(self.memory_of(peak), || Ok([image.decode(measures[0])?, template.decode(measures[1])?]))
    }

    /// What `make` makes, of `bytes` of the memory that is shared.
    pub(crate) fn make<T>(
        &self,
        bytes: u64,
        make: impl FnOnce() -> Result<T, DataError>,
    ) -> Result<Held<T>, DataError> {
        Held::new(self.memory_of(bytes), make)
    }

    /// Room for the bytes of a file, or of several that are read together.
    ///
    /// # Errors
    /// In words, where they are more than are read.
    pub(crate) fn room_for_file(&self, len: u64) -> Result<Reservation, String> {
        self.check_file(len)?;
        Ok(if HELD.get() > 0 { self.files.take(len) } else { self.files.wait_for(len) })
    }

    /// Refuses a file that is larger than those that are read, in words.
    pub(crate) fn check_file(&self, len: u64) -> Result<(), String> {
        let most = self.files.capacity();
        match len > most {
            true => Err(format!(
                "has {len} bytes, more than the {most} given; raise data.max_file_mb to {} to read it",
                len.div_ceil(1 << 20)
            )),
            false => Ok(()),
        }
    }

    fn memory_of(&self, bytes: u64) -> Reservation {
        if HELD.get() > 0 { self.memory.take(bytes) } else { self.memory.wait_for(bytes) }
    }
}

impl How {
    /// How a template of this kind is read.
    pub(crate) fn of(kind: Option<&TemplateKind>) -> Self {
        match kind {
            Some(TemplateKind::Labels(_)) => Self::Labels,
            _ => Self::Fast,
        }
    }
}

impl<T> Held<T> {
    fn new(memory: Reservation, make: impl FnOnce() -> Result<T, DataError>) -> Result<Self, DataError> {
        HELD.set(HELD.get() + 1);
        let token = Token { _memory: memory, _stays_in_thread: PhantomData };
        Ok(Self { value: make()?, token })
    }

    /// What is held, and no memory set aside for it any more: it is the caller's.
    pub fn into_inner(self) -> T {
        self.value
    }

    /// Something else in the same memory.
    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> Result<U, DataError>) -> Result<Held<U>, DataError> {
        Ok(Held { value: change(self.value)?, token: self.token })
    }
}

impl<T> Deref for Held<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        HELD.set(HELD.get() - 1);
    }
}
