//! TensorBoard events: scalars and images, in one file per start of a stage.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use protobuf::{Message, RepeatedField};
use tensorboard_proto::{
    event::Event,
    summary::{Summary, Summary_Image, Summary_Value},
};

use crate::{error::Result, error::RunError, files};

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
            let mut version = Event::new();
            version.set_file_version("brain.Event:2".into());
            log.write(version)?;
            log.flush()?;
        }
        Ok(log)
    }

    /// One number.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn scalar(&mut self, tag: &str, value: f64, step: u64) -> Result<()> {
        let mut summary = Summary_Value::new();
        summary.set_tag(tag.into());
        summary.set_simple_value(value as f32);
        self.summary(summary, step)
    }

    /// One image, encoded as PNG.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn image(&mut self, tag: &str, png: Vec<u8>, (width, height): (u32, u32), step: u64) -> Result<()> {
        let mut image = Summary_Image::new();
        image.set_width(width as i32);
        image.set_height(height as i32);
        image.set_colorspace(3);
        image.set_encoded_image_string(png);
        let mut summary = Summary_Value::new();
        summary.set_tag(tag.into());
        summary.set_image(image);
        self.summary(summary, step)
    }

    /// Flushes everything to the operating system.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn flush(&mut self) -> Result<()> {
        self.writer.flush().map_err(|source| RunError::io("write", &self.path, source))
    }

    fn summary(&mut self, value: Summary_Value, step: u64) -> Result<()> {
        let mut summary = Summary::new();
        summary.set_value(RepeatedField::from_vec(vec![value]));
        let mut event = Event::new();
        event.set_step(step as i64);
        event.set_summary(summary);
        self.write(event)
    }

    fn write(&mut self, mut event: Event) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        event.set_wall_time(now.as_secs_f64());
        let written =
            event.write_to_bytes().map_err(io::Error::other).and_then(|bytes| self.writer.write_all(&record(&bytes)));
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
