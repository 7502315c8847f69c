//! A TOML file that remembers where everything stands.

use std::{fmt, ops::Range, sync::Arc};

use serde::de::DeserializeOwned;
use toml::{
    Spanned,
    de::{DeTable, DeValue, ValueDeserializer},
};

use crate::depth::{self, MAX_DEPTH, TOO_DEEP};

/// What is wrong with a configuration, and where.
#[derive(Debug, thiserror::Error)]
#[error("{location}: {message}")]
pub struct ConfigError {
    location: Location,
    message: String,
}

#[derive(Debug)]
struct Location {
    origin: String,
    line: Option<usize>,
    key: String,
}

impl fmt::Display for Location {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str(&self.origin)?;
        if let Some(line) = self.line {
            write!(out, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(out, ": {}", self.key)?;
        }
        Ok(())
    }
}

/// Parsed TOML, with the overrides of the command line laid over it.
///
/// ```
/// use serde::Deserialize;
/// use vqkit_config::Document;
///
/// #[derive(Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct Train { steps: u64 }
///
/// let mut document = Document::parse("recipe.toml", "[train]\nsteps = 10\n")?;
/// document.set("train.steps=20")?;
/// let train: Train = document.into_section().require("train")?.read()?;
/// assert_eq!(train.steps, 20);
///
/// let wrong = Document::parse("recipe.toml", "[train]\nstep = 10\n")?;
/// let error = wrong.into_section().require("train")?.read::<Train>().err().unwrap();
/// assert_eq!(error.to_string(), "recipe.toml:2: train.step: unknown field `step`, expected `steps`");
/// # Ok::<(), vqkit_config::ConfigError>(())
/// ```
#[derive(Debug)]
pub struct Document<'t> {
    input: Arc<Input<'t>>,
    root: Spanned<DeTable<'t>>,
}

#[derive(Debug, Default, Clone)]
struct Input<'t> {
    origin: String,
    text: &'t str,
    overrides: Vec<(Vec<String>, String)>,
}

/// A table of a [`Document`]. Sub-tables are taken out one by one; what is left is read into a struct.
#[derive(Debug)]
pub struct Section<'t> {
    input: Arc<Input<'t>>,
    path: Vec<String>,
    span: Range<usize>,
    table: DeTable<'t>,
}

impl<'t> Document<'t> {
    /// Parses `text`; `origin` is what errors call it.
    ///
    /// # Errors
    /// When it is not TOML, or nested more than 32 deep.
    pub fn parse(origin: &str, text: &'t str) -> Result<Self, ConfigError> {
        let input = Input { origin: origin.to_owned(), text, overrides: Vec::new() };
        let root = DeTable::parse(text).map_err(|error| input.syntax_error(&error))?;
        let root = depth::checked_table(root).map_err(|place| input.error(Some(place), &[], TOO_DEEP))?;
        Ok(Self { input: Arc::new(input), root })
    }

    /// Lays `key=value` over the document, as `--set tokenizer.train.steps=100` does. Parts of the key that are numbers
    /// lead into arrays (`prior.0.train.steps`). A value that is not TOML is taken as a string.
    ///
    /// # Errors
    /// When there is no `=`, the key leads through something that is not a table, or tables would be nested more than 32 deep.
    pub fn set(&mut self, assignment: &'t str) -> Result<(), ConfigError> {
        let bad = |message: String| ConfigError {
            location: Location { origin: set_of(assignment), line: None, key: String::new() },
            message,
        };
        let (key, text) =
            assignment.split_once('=').ok_or_else(|| bad("expected key=value, such as train.steps=100".into()))?;
        let keys: Vec<String> = key.trim().split('.').map(str::to_owned).collect();
        if keys.len() > MAX_DEPTH {
            return Err(bad(TOO_DEEP.into()));
        }
        let value = match DeValue::parse(text.trim()) {
            Ok(value) => depth::checked(value, keys.len()).map_err(|_| bad(TOO_DEEP.into()))?,
            Err(error) if is_too_deep(&error) => return Err(bad(TOO_DEEP.into())),
            Err(_) => Spanned::new(0..0, DeValue::String(text.trim().into())),
        };
        insert(self.root.get_mut(), &keys, value).map_err(bad)?;
        Arc::make_mut(&mut self.input).overrides.push((keys, assignment.to_owned()));
        Ok(())
    }

    /// The whole document as a section, each table's key `type` moved to its head.
    pub fn into_section(self) -> Section<'t> {
        let span = self.root.span();
        let mut table = self.root.into_inner();
        put_type_first(&mut table);
        Section { input: self.input, path: Vec::new(), span, table }
    }
}

impl<'t> Section<'t> {
    /// Takes a sub-table out, if it is there.
    ///
    /// # Errors
    /// When the key holds something else than a table.
    pub fn take(&mut self, key: &str) -> Result<Option<Section<'t>>, ConfigError> {
        let Some(value) = self.table.remove(key) else { return Ok(None) };
        self.table_at(vec![key.to_owned()], value).map(Some)
    }

    /// Takes a sub-table out that must be there.
    ///
    /// # Errors
    /// When it is missing, or not a table.
    pub fn require(&mut self, key: &str) -> Result<Section<'t>, ConfigError> {
        match self.take(key)? {
            Some(section) => Ok(section),
            None => Err(self.error(&format!("missing section [{}]", self.below(&[key.to_owned()]).join(".")))),
        }
    }

    /// Takes a single value out and reads it, if it is there.
    ///
    /// # Errors
    /// When it is of another type, at its own place.
    pub fn take_value<T: DeserializeOwned>(&mut self, key: &str) -> Result<Option<T>, ConfigError> {
        let Some((name, value)) = self.table.remove_entry(key) else { return Ok(None) };
        match T::deserialize(ValueDeserializer::from(value)) {
            Ok(value) => Ok(Some(value)),
            Err(error) => {
                Err(self.input.error(Some(name.span().start), &self.below(&[key.to_owned()]), error.message()))
            }
        }
    }

    /// The first key or sub-table that is left in the section.
    pub fn first_key(&self) -> Option<String> {
        self.table.keys().next().map(|key| key.get_ref().to_string())
    }

    /// Takes an array of tables out (`[[key]]`); none there is an empty list.
    ///
    /// # Errors
    /// When the key holds something else.
    pub fn take_list(&mut self, key: &str) -> Result<Vec<Section<'t>>, ConfigError> {
        let Some(value) = self.table.remove(key) else { return Ok(Vec::new()) };
        let span = value.span();
        let DeValue::Array(items) = value.into_inner() else {
            return Err(self.input.error(Some(span.start), &self.below(&[key.to_owned()]), "expected [[tables]]"));
        };
        let items = items.into_iter().enumerate();
        items.map(|(index, item)| self.table_at(vec![key.to_owned(), index.to_string()], item)).collect()
    }

    /// Refuses the first key or sub-table that is none of `known`.
    ///
    /// # Errors
    /// At that key.
    pub fn expect_only(&self, known: &[&str]) -> Result<(), ConfigError> {
        match self.table.keys().find(|key| !known.contains(&key.get_ref().as_ref())) {
            None => Ok(()),
            Some(key) => {
                let message =
                    format!("unknown key or section `{}`, expected one of {}", key.get_ref(), known.join(", "));
                Err(self.input.error(Some(key.span().start), &self.below(&[key.get_ref().to_string()]), &message))
            }
        }
    }

    /// Reads what is left of the section.
    ///
    /// # Errors
    /// For an unknown, missing or ill-typed key, with its own file, line and path.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        let value = Spanned::new(self.span.clone(), DeValue::Table(self.table.clone()));
        serde_path_to_error::deserialize(ValueDeserializer::from(value)).map_err(|error| {
            let keys: Vec<String> = error.path().iter().map(|segment| segment.to_string()).collect();
            let inner = error.into_inner();
            let start = inner.span().map_or(self.span.start, |span| span.start);
            self.input.error(Some(start), &self.below(&keys), inner.message())
        })
    }

    /// An error at a key of this section (dots lead deeper), or at its head if the key is not written there.
    pub fn error_at(&self, key: &str, message: &str) -> ConfigError {
        let keys: Vec<String> = key.split('.').map(str::to_owned).collect();
        let start = place_of(&self.table, &keys).unwrap_or(self.span.start);
        self.input.error(Some(start), &self.below(&keys), message)
    }

    /// An error at the head of this section.
    pub fn error(&self, message: &str) -> ConfigError {
        self.input.error(Some(self.span.start), &self.path, message)
    }

    fn below(&self, keys: &[String]) -> Vec<String> {
        [self.path.as_slice(), keys].concat()
    }

    fn table_at(&self, keys: Vec<String>, value: Spanned<DeValue<'t>>) -> Result<Section<'t>, ConfigError> {
        let (path, span) = (self.below(&keys), value.span());
        match value.into_inner() {
            DeValue::Table(table) => Ok(Section { input: Arc::clone(&self.input), path, span, table }),
            other => {
                let message = format!("expected a table, found {}", other.type_str());
                Err(self.input.error(Some(span.start), &path, &message))
            }
        }
    }
}

impl Input<'_> {
    fn error(&self, start: Option<usize>, keys: &[String], message: &str) -> ConfigError {
        let overriding = self.overrides.iter().rev().find(|(key, _)| keys.starts_with(key));
        let (origin, line) = match overriding {
            Some((_, assignment)) if !keys.is_empty() => (set_of(assignment), None),
            _ => (self.origin.clone(), start.map(|at| self.line(at))),
        };
        ConfigError {
            location: Location { origin, line, key: keys.join(".") },
            message: shortened(message.trim(), 4000),
        }
    }

    /// What the parser says, in words about recipes; of keys that are too long it does not say where.
    fn syntax_error(&self, error: &toml::de::Error) -> ConfigError {
        let start = error.span().map(|span| span.start);
        match is_too_deep(error) {
            true => self.error(start.or_else(|| self.most_dotted()), &[], TOO_DEEP),
            false => self.error(start, &[], error.message()),
        }
    }

    /// The line with the most dots.
    fn most_dotted(&self) -> Option<usize> {
        let dots = |line: &&str| line.bytes().filter(|byte| *byte == b'.').count();
        let line = self.text.lines().max_by_key(dots)?;
        Some(line.as_ptr() as usize - self.text.as_ptr() as usize)
    }

    fn line(&self, at: usize) -> usize {
        self.text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
    }
}

/// Whether the parser gave up at its own bound, which is 80.
fn is_too_deep(error: &toml::de::Error) -> bool {
    error.message().contains("recurs")
}

/// What errors call an override, which may be long.
fn set_of(assignment: &str) -> String {
    format!("--set {}", shortened(assignment, 200))
}

/// The text, or its beginning of that many characters.
fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

fn insert<'t>(table: &mut DeTable<'t>, keys: &[String], value: Spanned<DeValue<'t>>) -> Result<(), String> {
    let (key, rest) = keys.split_first().ok_or("the key is empty")?;
    if key.is_empty() {
        return Err("the key has an empty part".into());
    }
    if rest.is_empty() {
        table.insert(Spanned::new(0..0, key.clone().into()), value);
        return Ok(());
    }
    let below = table
        .entry(Spanned::new(0..0, key.clone().into()))
        .or_insert_with(|| Spanned::new(0..0, DeValue::Table(DeTable::new())));
    insert_below(below.get_mut(), key, rest, value)
}

fn insert_below<'t>(
    below: &mut DeValue<'t>,
    key: &str,
    rest: &[String],
    value: Spanned<DeValue<'t>>,
) -> Result<(), String> {
    match below {
        DeValue::Table(table) => insert(table, rest, value),
        DeValue::Array(items) => {
            let (index, rest) = rest.split_first().ok_or("the key is empty")?;
            let count = items.len();
            let item = index.parse().ok().and_then(|index: usize| items.get_mut(index));
            let item = item.ok_or_else(|| format!("`{key}` has {count} entries, `{index}` is none of them"))?;
            insert_below(item.get_mut(), key, rest, value)
        }
        other => Err(format!("`{key}` is a {}, not a table", other.type_str())),
    }
}

fn put_type_first(table: &mut DeTable) {
    let entries = std::mem::take(table);
    let (head, tail): (Vec<_>, Vec<_>) = entries.into_iter().partition(|(key, _)| key.get_ref() == "type");
    for (key, mut value) in head.into_iter().chain(tail) {
        match value.get_mut() {
            DeValue::Table(below) => put_type_first(below),
            DeValue::Array(items) => {
                items.iter_mut().for_each(|item| {
                    if let DeValue::Table(below) = item.get_mut() {
                        put_type_first(below);
                    }
                });
            }
            _ => {}
        }
        table.insert(key, value);
    }
}

fn place_of(table: &DeTable, keys: &[String]) -> Option<usize> {
    let (key, rest) = keys.split_first()?;
    let (name, value) = table.get_key_value(key.as_str())?;
    match value.get_ref() {
        DeValue::Table(below) if !rest.is_empty() => place_of(below, rest),
        _ => Some(name.span().start),
    }
}
