//! The modules of one crate, read from its sources; what is compiled for tests alone is left out.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::Visit as _;
use syn::{Item, ItemMacro, ItemMod};

use super::items::{head, is_for_tests};
use super::paths::{Names, text};

/// The texts of a crate's files by their paths below `src`.
pub type Sources = BTreeMap<String, String>;

/// What a name means in a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// The module defines it.
    Item,
    /// A child, by its place in [`Modules`].
    Child(usize),
    /// Another path means the same.
    Import(Vec<String>),
}

/// A file, or a module inside one.
#[derive(Debug, Default)]
pub struct Module {
    pub file: String,
    pub parent: Option<usize>,
    pub meanings: BTreeMap<String, Vec<Meaning>>,
    /// Paths whose every name is in scope.
    pub globs: Vec<Vec<String>>,
    /// What its macros may define.
    pub made_by_macros: BTreeSet<String>,
    pub names: Names,
}

/// All modules of a crate; the first one is its root.
#[derive(Debug)]
pub struct Modules(pub Vec<Module>);

impl Modules {
    /// Reads the crate whose root is the file `root`.
    pub fn read(sources: &Sources, root: &str) -> Result<Self, String> {
        let mut modules = Self(Vec::new());
        let folder = root.rsplit_once('/').map_or("", |(folder, _)| folder);
        modules.read_file(sources, root, folder, None)?;
        Ok(modules)
    }

    /// Whether `parent` contains `child`, at whatever depth.
    pub fn contains(&self, parent: usize, child: usize) -> bool {
        let mut above = std::iter::successors(self.0[child].parent, |module| self.0[*module].parent);
        above.any(|module| module == parent)
    }

    /// Reads a file, whose children lie in `folder`.
    fn read_file(
        &mut self,
        sources: &Sources,
        file: &str,
        folder: &str,
        parent: Option<usize>,
    ) -> Result<usize, String> {
        let source = sources.get(file).ok_or_else(|| format!("{file}: there is no such file"))?;
        let parsed = syn::parse_file(source).map_err(|error| {
            let at = error.span().start();
            format!("{file}:{}:{}: {error}", at.line, at.column + 1)
        })?;
        self.read_items(sources, &parsed.items, Place { file, folder, parent })
    }

    fn read_items(&mut self, sources: &Sources, items: &[Item], place: Place) -> Result<usize, String> {
        let index = self.0.len();
        self.0.push(Module { file: place.file.to_owned(), parent: place.parent, ..Module::default() });
        for item in items {
            let (attributes, name) = head(item);
            let name = name.map(text);
            if is_for_tests(attributes) || (matches!(item, Item::Mod(_)) && name.as_deref() == Some("tests")) {
                continue;
            }
            let meaning = match item {
                Item::Mod(child) => Meaning::Child(self.read_child(sources, child, place.inside(index))?),
                Item::Macro(ItemMacro { ident: None, mac, .. }) => {
                    words(mac.tokens.clone(), &mut self.0[index].made_by_macros);
                    Meaning::Item
                }
                _ => Meaning::Item,
            };
            let module = &mut self.0[index];
            module.names.visit_item(item);
            if let Some(name) = name {
                module.meanings.entry(name).or_default().push(meaning);
            }
        }
        self.0[index].bring_into_scope();
        Ok(index)
    }

    fn read_child(&mut self, sources: &Sources, child: &ItemMod, place: Place) -> Result<usize, String> {
        let name = text(&child.ident);
        let folder = if place.folder.is_empty() { name.clone() } else { format!("{}/{name}", place.folder) };
        match &child.content {
            Some((_, items)) => self.read_items(sources, items, Place { folder: &folder, ..place }),
            None => {
                let [flat, nested] = [format!("{folder}.rs"), format!("{folder}/mod.rs")];
                let file = if sources.contains_key(&nested) { nested } else { flat };
                self.read_file(sources, &file, &folder, place.parent)
            }
        }
    }
}

/// Where a module stands.
#[derive(Clone, Copy)]
struct Place<'a> {
    file: &'a str,
    folder: &'a str,
    parent: Option<usize>,
}

impl Place<'_> {
    /// The place of a child of the module `parent`, which stands here.
    fn inside(self, parent: usize) -> Self {
        Self { parent: Some(parent), ..self }
    }
}

impl Module {
    /// Takes over what the imports mean.
    fn bring_into_scope(&mut self) {
        for import in &self.names.imports {
            let path = import.named.path.clone();
            match &import.name {
                Some(name) => self.meanings.entry(name.clone()).or_default().push(Meaning::Import(path)),
                None => self.globs.push(path),
            }
        }
    }
}

/// All words among tokens.
fn words(tokens: TokenStream, found: &mut BTreeSet<String>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => words(group.stream(), found),
            TokenTree::Ident(word) => {
                found.insert(text(&word));
            }
            _ => {}
        }
    }
}
