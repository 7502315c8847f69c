//! Lines of a manifest, and the columns of a table.

use std::{
    fs::File,
    io::{self, Read},
};

use csv::{ByteRecord, Reader, ReaderBuilder};

use super::{
    annotation::Annotation,
    text::{is_utf16, utf8},
};
use crate::plain;

/// The longest line, in bytes.
const MAX_LINE: u64 = 1 << 20;

/// Bytes at the beginning of a file that say which text it is, and what is between its columns.
const HEAD: u64 = 1 << 16;

/// A file whose lines are no longer than [`MAX_LINE`], so that one without line ends is not taken into memory as a whole.
pub(super) struct Lines {
    file: File,
    /// Bytes since the last end of a line.
    open: u64,
    /// In a table, whether its quotes are closed.
    quotes: Option<Quotes>,
}

impl Lines {
    /// Of a file at its beginning.
    ///
    /// # Errors
    /// In words, where it is not UTF-8 at first sight.
    pub(super) fn new(file: File) -> Result<Self, String> {
        match is_utf16(&head(&file)?) {
            true => Err("is UTF-16; save it as UTF-8".into()),
            false => Ok(Self { file, open: 0, quotes: None }),
        }
    }
}

impl Read for Lines {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.open = match buffer[..count].iter().rposition(|byte| *byte == b'\n') {
            Some(end) => (count - end - 1) as u64,
            None => self.open + count as u64,
        };
        if self.open > MAX_LINE {
            return Err(io::Error::other(format!("a line has more than {MAX_LINE} bytes; is it a manifest?")));
        }
        if let Some(quotes) = &mut self.quotes {
            quotes.check(&buffer[..count]).map_err(io::Error::other)?;
        }
        Ok(count)
    }
}

fn head(file: &File) -> Result<Vec<u8>, String> {
    let len = file.metadata().map_err(|error| error.to_string())?.len();
    plain::read_at(file, 0, len.min(HEAD)).map_err(|error| error.to_string())
}

/// Follows the quotes of a table: a field that one opens and that runs over the end of a line must be closed before the next field,
/// or the lines that it runs over are lost in it.
struct Quotes {
    delimiter: u8,
    state: Place,
    line: u64,
    /// The line of the field's first quote.
    opened: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    Plain,
    Quoted,
    /// Behind a quote inside a field that one opened: its end, or the first of two.
    Behind,
}

impl Quotes {
    fn new(delimiter: u8) -> Self {
        Self { delimiter, state: Place::Start, line: 1, opened: 1 }
    }

    fn unclosed(&self) -> String {
        format!(
            "line {}: a field begins with a quote that is not closed before the end of the line, and takes in the lines behind it; put \
             the whole field into quotes, and write a quote inside it twice",
            self.opened
        )
    }

    /// Follows these bytes; none mean the end.
    fn check(&mut self, bytes: &[u8]) -> Result<(), String> {
        if bytes.is_empty() && self.state == Place::Quoted && self.line > self.opened {
            return Err(self.unclosed());
        }
        for byte in bytes {
            let ends_field = *byte == self.delimiter || matches!(byte, b'\n' | b'\r');
            self.state = match (self.state, byte) {
                (Place::Start, b'"') => {
                    self.opened = self.line;
                    Place::Quoted
                }
                (Place::Quoted, b'"') => Place::Behind,
                (Place::Behind, b'"') | (Place::Quoted, _) => Place::Quoted,
                _ if ends_field => Place::Start,
                (Place::Behind, _) if self.line > self.opened => return Err(self.unclosed()),
                _ => Place::Plain,
            };
            self.line += u64::from(*byte == b'\n');
        }
        Ok(())
    }
}

/// A table with a line of names of columns.
pub(super) struct Table {
    reader: Reader<Lines>,
    columns: Vec<String>,
}

/// A row of a table.
pub(super) struct Cells<'a> {
    /// The line it begins at.
    pub line: u64,
    columns: &'a [String],
    record: ByteRecord,
}

impl Table {
    /// Reads the names of columns, without the blanks around them. Between columns stands `usual`, or a comma, semicolon or tab, where
    /// that gives a column of the name `needed`.
    ///
    /// # Errors
    /// In words: where no column is called `needed`, or two have the same name among those in `read`.
    pub(super) fn open(mut lines: Lines, usual: u8, needed: &str, read: &[&str]) -> Result<Self, String> {
        let delimiter = delimiter(&head(&lines.file)?, usual, needed);
        lines.quotes = Some(Quotes::new(delimiter));
        let mut reader = ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(lines);
        let names = reader.byte_headers().map_err(|error| error.to_string())?;
        let columns: Vec<String> = names.iter().map(|name| String::from_utf8_lossy(name).trim().to_owned()).collect();
        let count = |name: &&&str| columns.iter().filter(|column| column == *name).count();
        if let Some(twice) = read.iter().find(|name| count(name) > 1) {
            return Err(format!("has the column `{twice}` twice"));
        }
        if count(&&needed) == 0 {
            let found = Annotation::listed(&columns);
            return Err(format!("has no column `{needed}`; its first line names the columns {found}"));
        }
        Ok(Self { reader, columns })
    }

    /// The names of the columns.
    pub(super) fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The next row; `None` behind the last.
    ///
    /// # Errors
    /// In words, where the file cannot be read on.
    pub(super) fn next(&mut self) -> Result<Option<Cells<'_>>, String> {
        let mut record = ByteRecord::new();
        let more = self.reader.read_byte_record(&mut record).map_err(|error| error.to_string())?;
        let line = record.position().map_or(0, csv::Position::line);
        Ok(more.then_some(Cells { line, columns: &self.columns, record }))
    }
}

impl Cells<'_> {
    /// Refuses a row that has not one cell for each column.
    ///
    /// # Errors
    /// In words, with both numbers.
    pub(super) fn check(&self) -> Result<(), String> {
        match (self.record.len(), self.columns.len()) {
            (found, wanted) if found == wanted => Ok(()),
            (found, wanted) => Err(format!(
                "has {found} fields, and the first line names {wanted} columns; put texts with a separator inside into quotes"
            )),
        }
    }

    /// The cell of this column, where there is one.
    ///
    /// # Errors
    /// In words, where it is no text.
    pub(super) fn get(&self, column: &str) -> Result<Option<String>, String> {
        let place = self.columns.iter().position(|name| name == column);
        let cell = place.and_then(|place| self.record.get(place));
        let text = cell.map(|cell| utf8(cell.to_vec())).transpose();
        text.map_err(|reason| format!("its column `{column}` {reason}; save the manifest as UTF-8"))
    }
}

/// What stands between the columns: the first of what is usual, comma, semicolon and tab that gives a column of this name.
fn delimiter(head: &[u8], usual: u8, needed: &str) -> u8 {
    let text = String::from_utf8_lossy(head);
    let names = text.trim_start_matches('\u{feff}').lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let gives =
        |delimiter: &u8| names.split(char::from(*delimiter)).any(|name| name.trim().trim_matches('"').trim() == needed);
    [usual, b',', b';', b'\t'].into_iter().find(gives).unwrap_or(usual)
}
