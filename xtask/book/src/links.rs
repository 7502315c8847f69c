//! Links that lead nowhere: to no file, no heading, or from the book to what the book does not hold.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};

use crate::book::{Book, Chapter};
use crate::checkout::markdown;
use crate::page::Page;

/// The file that lists the pages of the book.
const SUMMARY: &str = "SUMMARY.md";

/// The checkout as links see it: all paths from its root.
struct Map<'a> {
    root: &'a Path,
    /// The folder of the book's pages.
    book: PathBuf,
    /// Files of Markdown as they lie there.
    texts: BTreeMap<PathBuf, String>,
    files: BTreeMap<PathBuf, Page>,
    /// Pages of the book with what they include.
    chapters: BTreeMap<PathBuf, Page>,
}

/// Everything that is broken in the Markdown of the checkout `root`, one to a line: file, line, target, reason.
pub fn broken(root: &Path, book: &Book) -> Result<Vec<String>> {
    let chapters = book.chapters()?;
    let map = Map::draw(root, book, &chapters)?;
    let mut found = Vec::new();
    for (file, page) in &map.files {
        if !map.is_of_book(file) {
            found.extend(map.broken_in(file, page, false));
        }
    }
    for (file, page) in &map.chapters {
        found.extend(map.broken_in(file, page, true));
    }
    found.extend(map.pages_without_a_place());
    found.extend(chapters.iter().flat_map(includes_of_nothing));
    Ok(found)
}

/// The directives that mdBook left as they were, since it could not read the file.
fn includes_of_nothing(chapter: &Chapter) -> Vec<String> {
    let is_left =
        |line: &&str| ["include", "rustdoc_include"].iter().any(|word| line.contains(&format!("{{{{#{word} ")));
    let left = chapter.text.lines().filter(is_left);
    left.map(|line| format!("{}: `{}`: there is no such file", chapter.file.display(), line.trim())).collect()
}

impl<'a> Map<'a> {
    fn draw(root: &'a Path, book: &Book, chapters: &[Chapter]) -> Result<Self> {
        let read = |file: PathBuf| -> Result<_> {
            let path = root.join(&file);
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            Ok((file, text))
        };
        let texts: BTreeMap<_, _> = markdown(root)?.into_iter().map(read).collect::<Result<_>>()?;
        let files = texts.iter().map(|(file, text)| (file.clone(), Page::read(text))).collect();
        let chapters = chapters.iter().map(|chapter| (chapter.file.clone(), Page::read(&chapter.text))).collect();
        Ok(Self { root, book: book.pages(), texts, files, chapters })
    }

    fn is_of_book(&self, file: &Path) -> bool {
        file.starts_with(&self.book)
    }

    /// The page in `file`, and what is wrong with it.
    fn broken_in(&self, file: &Path, page: &Page, in_book: bool) -> Vec<String> {
        let links = page.targets.iter().filter_map(|target| {
            let reason = self.reason(file, target, in_book)?;
            Some(format!("{}: `{target}`: {reason}", self.place(file, target)))
        });
        // Documentation of crates may link to items by their names.
        let labels = page
            .undefined
            .iter()
            .filter(|_| !is_documentation(file))
            .map(|label| format!("{}: `[{label}]` has no definition", self.place(file, &format!("[{label}]"))));
        let empty = page.empty_blocks.iter().filter(|_| in_book);
        let empty = empty.map(|language| format!("{}: an empty block of code ({language})", file.display()));
        links.chain(labels).chain(empty).collect()
    }

    /// The file and, where the words stand in it and not in what it includes, their line.
    fn place(&self, file: &Path, words: &str) -> String {
        let line = self.texts.get(file).and_then(|text| text.lines().position(|line| line.contains(words)));
        line.map_or_else(|| file.display().to_string(), |line| format!("{}:{}", file.display(), line + 1))
    }

    /// Why a link in `file` leads nowhere, if it does.
    fn reason(&self, file: &Path, target: &str, in_book: bool) -> Option<String> {
        let is_elsewhere = target.contains("://") || target.starts_with("mailto:");
        if is_elsewhere || (is_documentation(file) && names_an_item(target)) {
            return None;
        }
        let (path, anchor) = target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
        if path.starts_with('/') {
            return Some("begins with `/`; write it relative to the page".into());
        }
        let aim = if path.is_empty() { Some(file.to_owned()) } else { join(file.parent()?, path) };
        let Some(aim) = aim else { return Some("leads out of the checkout".into()) };
        if !self.root.join(&aim).exists() {
            return Some(format!("there is no {}", aim.display()));
        }
        if in_book { self.reason_in_book(&aim, anchor) } else { self.no_such_anchor(&self.files, &aim, anchor) }
    }

    fn reason_in_book(&self, aim: &Path, anchor: Option<&str>) -> Option<String> {
        if !self.is_of_book(aim) {
            return Some(format!("the book holds only what lies in {}", self.book.display()));
        }
        if self.root.join(aim).is_dir() {
            return Some("a folder is no page".into());
        }
        let is_page = aim.extension().is_some_and(|ending| ending == "md");
        if is_page && !self.chapters.contains_key(aim) {
            return Some(format!("{} is not in {SUMMARY}", aim.display()));
        }
        self.no_such_anchor(&self.chapters, aim, anchor)
    }

    fn no_such_anchor(&self, pages: &BTreeMap<PathBuf, Page>, aim: &Path, anchor: Option<&str>) -> Option<String> {
        let (page, anchor) = (pages.get(aim)?, anchor?);
        let is_missing = !page.anchors.contains(anchor);
        is_missing.then(|| format!("{} has no heading `#{anchor}`", aim.display()))
    }

    /// Pages in the book's folder that the book does not show.
    fn pages_without_a_place(&self) -> Vec<String> {
        let own = self.files.keys().filter(|file| self.is_of_book(file) && !file.ends_with(SUMMARY));
        let lost = own.filter(|file| !self.chapters.contains_key(*file));
        lost.map(|file| format!("{}: is not in {SUMMARY}", file.display())).collect()
    }
}

/// Whether a file is also the documentation of a crate.
fn is_documentation(file: &Path) -> bool {
    file.starts_with("crates") && file.ends_with("README.md")
}

/// Whether a target is a path of Rust, as `crate::Recipe` or `Recipe`; rustdoc checks those.
fn names_an_item(target: &str) -> bool {
    let target = target.trim_end_matches("()").trim_end_matches('!');
    let is_word = |word: &str| !word.is_empty() && word.chars().all(|letter| letter.is_alphanumeric() || letter == '_');
    target.split("::").all(is_word)
}

/// `path` as seen from `folder`; nothing where it leads out of the checkout.
fn join(folder: &Path, path: &str) -> Option<PathBuf> {
    let mut joined = folder.to_owned();
    for part in Path::new(path).components() {
        match part {
            Component::Normal(name) => joined.push(name),
            Component::ParentDir if joined.as_os_str().is_empty() => return None,
            Component::ParentDir => drop(joined.pop()),
            _ => {}
        }
    }
    Some(joined)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkout::fixture;

    /// What is broken in the fixture with one file more or other.
    fn broken_with(file: &str, text: &str) -> Vec<String> {
        let checkout = fixture(&[(file, text)]);
        broken(checkout.path(), &Book::load(checkout.path()).unwrap()).unwrap()
    }

    #[track_caller]
    fn assert_broken(file: &str, text: &str, expected: &str) {
        let found = broken_with(file, text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(expected), "{found:?}");
    }

    #[test]
    fn a_sound_checkout_has_no_broken_link() {
        assert_eq!(broken_with("CHANGELOG.md", "# Changes\n\n[up](#changes), [out](https://a.example/b#c)\n"), [""; 0]);
    }

    #[test]
    fn a_link_outside_the_book_needs_a_file_and_a_heading() {
        assert_broken("README.md", "# A\n\n[b](docs/none.md)", "README.md:3: `docs/none.md`: there is no docs/none.md");
        assert_broken("README.md", "<img src=\"none.png\">", "README.md:1: `none.png`: there is no none.png");
        assert_broken("README.md", "[b](docs/src/guide/run.md#gone)", "docs/src/guide/run.md has no heading `#gone`");
        assert_broken("README.md", "[b](#gone)", "README.md has no heading `#gone`");
        assert_broken("README.md", "[b](/docs)", "write it relative to the page");
        assert_broken("README.md", "[b](../elsewhere.md)", "leads out of the checkout");
        assert_broken("README.md", "[b][c]", "README.md:1: `[c]` has no definition");
    }

    #[test]
    fn documentation_of_crates_may_name_items() {
        let text = "# A\n\n[b](crate::Recipe), [c](Recipe), [d][Recipe], [e](../../README.md)\n";
        assert_eq!(broken_with("crates/data/README.md", text), [""; 0]);
        assert_broken("crates/data/README.md", "[b](../README.md)", "there is no crates/README.md");
    }

    #[test]
    fn a_link_in_the_book_stays_in_the_book() {
        let page = "docs/src/guide/run.md";
        assert_broken(page, "# Run\n## Resume a run\n[b](../gone.md)", "there is no docs/src/gone.md");
        assert_broken(page, "# Run\n## Resume a run\n[b](../introduction.md#gone)", "has no heading `#gone`");
        assert_broken(page, "# Run\n## Resume a run\n[b](../../../README.md)", "the book holds only");
        assert_broken(page, "# Run\n## Resume a run\n[b](../guide)", "a folder is no page");
    }

    #[test]
    fn every_page_has_its_place_in_the_summary() {
        assert_broken("docs/src/lost.md", "# Lost\n", "docs/src/lost.md: is not in SUMMARY.md");
    }

    #[test]
    fn what_a_page_includes_is_part_of_it() {
        let page = |text: &str| format!("# Run\n\n## Resume a run\n\n{text}\n");
        let file = "docs/src/guide/run.md";
        assert_broken(file, &page("{{#include ../../gone.md}}"), "`{{#include ../../gone.md}}`: there is no such file");
        assert_broken(file, &page("```toml\n{{#include ../../../configs/demo.toml:gone}}\n```"), "an empty block");
        assert_broken(file, &page("{{#include ../../ARCHITECTURE.md}}"), "there is no docs/src/configs/demo.toml");
        assert_eq!(broken_with(file, &page("```toml\n{{#include ../../../configs/demo.toml}}\n```")), [""; 0]);
    }
}
