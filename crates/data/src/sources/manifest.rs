//! A file with a line per sample.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    sync::Arc,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::annotation::Annotation;
use super::catalogue::{Item, ScanResult};
use super::files::{FilePlace, Files, gather, item};
use super::labels::Label;
use super::open::{DataKeys, OpenSource, Opening};
use super::table::{Cells, Lines, Table};
use super::text::{present, utf8};
use crate::{BadFile, DataError, PassedOver, Source, TemplateKind, plain};

/// The columns and fields that are read; the last only where the recipe says what templates are.
const FIELDS: [&str; 4] = ["image", "class", "caption", "template"];

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
        let fields = if self.template.is_some() { &FIELDS[..] } else { &FIELDS[..3] };
        let found = Manifest { path, fields, rows: Vec::new(), rejected: Vec::new(), passed: PassedOver::default() };
        let found = found.read()?.items();
        Ok(Arc::new(Files::new(path, found, self.template.clone(), opening)?))
    }
}

/// A line of a manifest.
struct Row {
    image: String,
    class: Option<Label>,
    caption: Option<String>,
    template: Option<String>,
}

/// What was read of a manifest so far.
struct Manifest<'a> {
    path: &'a Path,
    /// The columns that are read.
    fields: &'a [&'static str],
    rows: Vec<Row>,
    /// Lines that cannot be used.
    rejected: Vec<BadFile>,
    /// Columns that are not read.
    passed: PassedOver,
}

impl Manifest<'_> {
    fn read(mut self) -> Result<Self, DataError> {
        let wrong = |reason: String| DataError::Source { path: self.path.into(), reason };
        let lines = Lines::new(plain::open(self.path)?.0).map_err(wrong)?;
        let extension = self.path.extension().and_then(|extension| extension.to_str()).map(str::to_ascii_lowercase);
        let outcome = match extension.as_deref() {
            Some("csv") => self.read_table(lines, b','),
            Some("tsv") => self.read_table(lines, b'\t'),
            Some("jsonl") => self.read_lines(lines),
            _ => Err("a manifest must end in .csv, .tsv or .jsonl".into()),
        };
        match outcome {
            Ok(()) => Ok(self),
            Err(reason) => Err(DataError::Source { path: self.path.into(), reason }),
        }
    }

    fn read_table(&mut self, lines: Lines, delimiter: u8) -> Result<(), String> {
        let mut table = Table::open(lines, delimiter, FIELDS[0], self.fields)?;
        while let Some(cells) = table.next()? {
            let row = row_of(&cells, self.fields);
            self.add(cells.line, row);
        }
        let (rows, fields) = (self.rows.len(), self.fields);
        for column in table.columns().iter().filter(|column| rows > 0 && !fields.contains(&column.as_str())) {
            self.passed.add(&format!("in the column `{column}`"), rows);
        }
        Ok(())
    }

    fn read_lines(&mut self, lines: Lines) -> Result<(), String> {
        for (number, line) in BufReader::new(lines).split(b'\n').enumerate() {
            let line = line.map_err(|error| format!("line {}: {error}", number + 1))?;
            if line.trim_ascii().is_empty() {
                continue;
            }
            let read = utf8(line).and_then(|text| Annotation::read(&text, self.fields));
            let row = read.and_then(|annotation| {
                let Annotation { image, class, caption, template, unread } = annotation;
                let found = || format!("has no `image`; its other fields are {}", Annotation::listed(&unread));
                let image = image.ok_or_else(found)?;
                unread.iter().for_each(|name| self.passed.add(&format!("in the field `{name}`"), 1));
                Ok(Row { image, class, caption, template })
            });
            self.add(number as u64 + 1, row);
        }
        Ok(())
    }

    fn add(&mut self, line: u64, row: Result<Row, String>) {
        match row {
            Ok(row) => self.rows.push(row),
            Err(reason) => {
                self.rejected.push(BadFile { key: format!("{}: line {line}", self.path.display()), reason });
            }
        }
    }

    fn items(self) -> ScanResult<FilePlace> {
        let folder = self.path.parent().unwrap_or(Path::new(""));
        gather(self.rows.into_iter().map(|row| item_of(row, folder)), self.rejected, self.passed)
    }
}

fn row_of(cells: &Cells, fields: &[&'static str]) -> Result<Row, String> {
    cells.check()?;
    let text = |column: &str| cells.get(column).map(|cell| cell.filter(|text| !text.trim().is_empty()));
    let class = match text("class")? {
        Some(class) => Label::parse(&class)?,
        None => None,
    };
    let caption = text("caption")?.as_deref().and_then(present);
    let template = if fields.contains(&"template") { text("template")? } else { None };
    let image = text("image")?.ok_or("its column `image` is empty")?;
    Ok(Row { image, class, caption, template })
}

fn item_of(row: Row, folder: &Path) -> Result<Item<FilePlace>, BadFile> {
    let image = file_name(folder, &row.image);
    let template = row.template.as_deref().map(|path| folder.join(file_name(folder, path)));
    let place = FilePlace { image: folder.join(image), template, caption: row.caption };
    item(image.to_owned(), place, row.class)
}

/// The name of a file as it stands in a manifest, without blanks around it unless they are the name's.
fn file_name<'a>(folder: &Path, cell: &'a str) -> &'a str {
    let trimmed = cell.trim();
    if trimmed != cell && folder.join(cell).exists() { cell } else { trimmed }
}
