//! TensorBoard events: scalars and images, in one file per start of a stage.

use std::{
    fs::{File, OpenOptions},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use prost::Message;

use crate::{
    error::Result,
    error::RunError,
    event_messages::{Content, Event, Image, Summary, Value, What},
    files,
};

/// Appends events to one file.
pub struct EventLog {
    path: PathBuf,
    writer: BufWriter<File>,
}

impl EventLog {
    /// Opens `path` for appending and begins it with the format's version if it is new.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn open(path: &Path) -> Result<Self> {
        let io = |source| RunError::io("open", path, source);
        let file = files::open_own(path, OpenOptions::new().create(true).append(true))?;
        let is_new = file.metadata().map_err(io)?.len() == 0;
        let mut log = Self { path: path.to_owned(), writer: BufWriter::new(file) };
        if is_new {
            log.write(0, What::FileVersion("brain.Event:2".into()))?;
            log.flush()?;
        }
        Ok(log)
    }

    /// One number.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn scalar(&mut self, tag: &str, value: f64, step: u64) -> Result<()> {
        self.summary(tag, Content::Scalar(value as f32), step)
    }

    /// One image, encoded as PNG.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn image(&mut self, tag: &str, png: Vec<u8>, (width, height): (u32, u32), step: u64) -> Result<()> {
        let image = Image { height: height as i32, width: width as i32, colorspace: 3, encoded_image_string: png };
        self.summary(tag, Content::Image(image), step)
    }

    /// Flushes everything to the operating system.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn flush(&mut self) -> Result<()> {
        self.writer.flush().map_err(|source| RunError::io("write", &self.path, source))
    }

    fn summary(&mut self, tag: &str, content: Content, step: u64) -> Result<()> {
        let value = Value { tag: tag.into(), content: Some(content) };
        self.write(step, What::Summary(Summary { value: vec![value] }))
    }

    fn write(&mut self, step: u64, what: What) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let event = Event { wall_time: now.as_secs_f64(), step: step as i64, what: Some(what) };
        let written = self.writer.write_all(&record(&event.encode_to_vec()));
        written.map_err(|source| RunError::io("write", &self.path, source))
    }
}

/// A record of TensorFlow's format TFRecord: the length, its checksum, the data, its checksum; little end first.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked_checksum(&length), data, &masked_checksum(data)].concat()
}

/// CRC-32C, rotated and moved by a constant, so that a checksum of data that holds checksums is no weaker.
fn masked_checksum(data: &[u8]) -> [u8; 4] {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}
