//! The book that mdBook makes of `docs`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use mdbook_driver::MDBook;
use mdbook_driver::builtin_renderers::MarkdownRenderer;

/// Where the book's `book.toml` lies, seen from the root of the checkout.
const HOME: &str = "docs";

/// The book, read but not rendered.
pub struct Book(MDBook);

/// A page of the book.
pub struct Chapter {
    /// Its file, seen from the root of the checkout.
    pub file: PathBuf,
    /// Its Markdown, with what it includes.
    pub text: String,
}

impl Book {
    /// Reads the book of the checkout `root`.
    pub fn load(root: &Path) -> Result<Self> {
        let home = root.join(HOME);
        let book = MDBook::load(&home).with_context(|| format!("cannot read the book in {}", home.display()))?;
        Ok(Self(book))
    }

    /// The folder of the pages, seen from the root of the checkout.
    pub fn pages(&self) -> PathBuf {
        Path::new(HOME).join(&self.0.config.book.src)
    }

    /// All pages, as they go to the renderer.
    pub fn chapters(&self) -> Result<Vec<Chapter>> {
        let (book, _) = self.0.preprocess_book(&MarkdownRenderer::new())?;
        let chapters = book.chapters().filter_map(|chapter| {
            let file = self.pages().join(chapter.source_path.as_ref()?);
            Some(Chapter { file, text: chapter.content.clone() })
        });
        Ok(chapters.collect())
    }

    /// Renders the book into the folder `out`, and returns its first page.
    pub fn render(mut self, out: &Path) -> Result<PathBuf> {
        // Relative paths would be taken from the folder of `book.toml`.
        let out = std::path::absolute(out)?;
        self.0.config.build.build_dir = out.clone();
        self.0.build()?;
        Ok(out.join("index.html"))
    }
}
