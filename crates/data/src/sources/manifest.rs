//! A file with a line per sample.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::files::{FilePlace, Files, gather, item};
use super::labels::Label;
use super::open::{DataKeys, OpenSource, Opening};
use crate::{DataError, Source, TemplateKind, plain};

/// The longest line, in bytes.
const MAX_LINE: u64 = 1 << 20;

/// `type = "manifest"`: a `.csv` or `.tsv` file with a header, or a `.jsonl` file with an object per line. The column
/// `image` is required; `class` (a number or a name), `caption` and `template` are optional; other columns are ignored.
/// Paths are relative to the manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ManifestConfig {
    /// Manifest of the training samples, relative to `data.root`.
    pub train: PathBuf,
    /// Manifest of the validation samples. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<PathBuf>,
    /// What the templates in the column `template` are; without this key, that column is ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<TemplateKind>,
}

#[derive(Deserialize)]
struct Row {
    image: String,
    class: Option<Label>,
    caption: Option<String>,
    template: Option<String>,
}

impl OpenSource for ManifestConfig {
    fn validate(&self, _data: &DataKeys) -> Result<(), DataError> {
        self.template.as_ref().map_or(Ok(()), TemplateKind::validate)
    }

    fn template(&self) -> Option<TemplateKind> {
        self.template.clone()
    }

    fn train(&self, opening: &Opening) -> Result<Arc<dyn Source>, DataError> {
        self.open(&opening.root.join(&self.train), opening)
    }

    fn validation(&self, opening: &Opening) -> Result<Option<Arc<dyn Source>>, DataError> {
        self.validation.as_ref().map(|path| self.open(&opening.root.join(path), opening)).transpose()
    }
}

impl ManifestConfig {
    fn open(&self, path: &Path, opening: &Opening) -> Result<Arc<dyn Source>, DataError> {
        let folder = path.parent().unwrap_or(Path::new(""));
        let items = read(path)?.into_iter().map(|row| {
            let template = self.template.as_ref().and(row.template).filter(|path| !path.is_empty());
            let place = FilePlace {
                image: folder.join(&row.image),
                template: template.map(|path| folder.join(path)),
                caption: row.caption.filter(|caption| !caption.is_empty()),
            };
            item(row.image, place, row.class.and_then(normal))
        });
        let found = gather(items, Vec::new());
        Ok(Arc::new(Files::new(path, found, self.template.clone(), opening)?))
    }
}

/// A number that is written as text is a number.
fn normal(label: Label) -> Option<Label> {
    match label {
        Label::Name(text) => Label::parse(&text),
        number => Some(number),
    }
}

fn read(path: &Path) -> Result<Vec<Row>, DataError> {
    let file = Lines::new(plain::open(path)?.0);
    let wrong = |reason: String| DataError::Source { path: path.into(), reason };
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("csv") => read_table(file, b',').map_err(|error| wrong(error.to_string())),
        Some("tsv") => read_table(file, b'\t').map_err(|error| wrong(error.to_string())),
        Some("jsonl") => read_lines(file).map_err(wrong),
        _ => Err(wrong("a manifest must end in .csv, .tsv or .jsonl".into())),
    }
}

/// A file whose lines are no longer than [`MAX_LINE`], so that one without line ends is not read into memory as a
/// whole.
struct Lines {
    file: File,
    /// Bytes since the last end of a line.
    open: u64,
}

impl Lines {
    fn new(file: File) -> Self {
        Self { file, open: 0 }
    }
}

impl Read for Lines {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.open = match buffer[..count].iter().rposition(|byte| *byte == b'\n') {
            Some(end) => (count - end - 1) as u64,
            None => self.open + count as u64,
        };
        match self.open > MAX_LINE {
            true => Err(io::Error::other(format!("a line has more than {MAX_LINE} bytes; is it a manifest?"))),
            false => Ok(count),
        }
    }
}

fn read_table(file: Lines, delimiter: u8) -> Result<Vec<Row>, csv::Error> {
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(file);
    // Rows are read without headers where these cannot be read.
    reader.headers()?;
    reader.deserialize().collect()
}

fn read_lines(file: Lines) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(|error| format!("line {}: {error}", number + 1))?;
        if !line.trim().is_empty() {
            rows.push(serde_json::from_str(&line).map_err(|error| format!("line {}: {error}", number + 1))?);
        }
    }
    Ok(rows)
}
