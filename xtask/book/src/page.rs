//! A page of Markdown: what it links to, and where links may lead in it.

use std::collections::BTreeSet;

use pulldown_cmark::{BrokenLink, CodeBlockKind, CowStr, Event, LinkType, Options, Parser, Tag, TagEnd};

/// What a page links to and offers.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Targets of links and images, as they are written.
    pub targets: Vec<String>,
    /// The ids of headings, defined terms, and HTML elements.
    pub anchors: BTreeSet<String>,
    /// Labels of links like `[text][label]` that nothing defines.
    pub undefined: Vec<String>,
    /// Blocks of code with nothing in them, by their language: mdBook leaves them where there is nothing to include.
    pub empty_blocks: Vec<String>,
}

impl Page {
    /// Reads a page as mdBook and GitHub do.
    pub fn read(text: &str) -> Self {
        let mut undefined = Vec::new();
        let note = |link: BrokenLink| -> Option<(CowStr, CowStr)> {
            let is_explicit = matches!(link.link_type, LinkType::Reference | LinkType::Collapsed);
            undefined.extend(is_explicit.then(|| link.reference.to_string()));
            None
        };
        let options = Options::ENABLE_TABLES
            | Options::ENABLE_FOOTNOTES
            | Options::ENABLE_STRIKETHROUGH
            | Options::ENABLE_HEADING_ATTRIBUTES
            | Options::ENABLE_DEFINITION_LIST
            | Options::ENABLE_GFM;
        let mut page = Self::default();
        let mut title = None;
        let mut block = None;
        for event in Parser::new_with_broken_link_callback(text, options, Some(note)) {
            page.note_title(&event, &mut title);
            page.note_block(&event, &mut block);
            match event {
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.targets.push(dest_url.into_string());
                }
                Event::Html(html) | Event::InlineHtml(html) => page.note_html(&html),
                _ => {}
            }
        }
        Self { undefined, ..page }
    }

    /// Collects the text of a heading or defined term, which its id is made of where it states none.
    fn note_title(&mut self, event: &Event, title: &mut Option<String>) {
        match event {
            Event::Start(Tag::Heading { id: Some(id), .. }) => self.anchors.extend([id.to_string()]),
            Event::Start(Tag::Heading { .. } | Tag::DefinitionListTitle) => *title = Some(String::new()),
            Event::Text(text) | Event::Code(text) => {
                if let Some(title) = title {
                    title.push_str(text);
                }
            }
            Event::End(TagEnd::Heading(_) | TagEnd::DefinitionListTitle) => {
                if let Some(title) = title.take() {
                    self.add_anchor(&id(&title));
                }
            }
            _ => {}
        }
    }

    /// Counts as the renderers do, where several headings would have the same id.
    fn add_anchor(&mut self, id: &str) {
        let numbered = (1..).map(|number| format!("{id}-{number}"));
        let free = std::iter::once(id.to_owned()).chain(numbered).find(|id| !self.anchors.contains(id));
        self.anchors.extend(free);
    }

    fn note_block(&mut self, event: &Event, block: &mut Option<String>) {
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))) => *block = Some(language.to_string()),
            Event::Text(text) if !text.trim().is_empty() => *block = None,
            Event::End(TagEnd::CodeBlock) => self.empty_blocks.extend(block.take()),
            _ => {}
        }
    }

    fn note_html(&mut self, html: &str) {
        for (name, value) in attributes(html) {
            match name {
                "href" | "src" => self.targets.push(value.to_owned()),
                "id" | "name" => self.anchors.extend([value.to_owned()]),
                _ => {}
            }
        }
    }
}

/// The id of a heading by its text.
fn id(title: &str) -> String {
    let character = |letter: char| match letter {
        '_' | '-' => Some(letter),
        _ if letter.is_alphanumeric() => Some(letter),
        _ if letter.is_whitespace() => Some('-'),
        _ => None,
    };
    title.trim().to_lowercase().chars().filter_map(character).collect()
}

/// The attributes of HTML tags, by name and quoted value.
fn attributes(html: &str) -> impl Iterator<Item = (&str, &str)> {
    html.match_indices("=\"").filter_map(move |(at, mark)| {
        let name = html[..at].rsplit(|letter: char| letter.is_whitespace()).next()?;
        let value = html[at + mark.len()..].split('"').next()?;
        Some((name, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_images_and_html_are_targets() {
        let page = Page::read(
            "[a](one.md) ![b](two.png) [c][d] <https://e.example>\n\n<img src=\"three.png\" width=\"4\">\n\n\
             `[no](code.md)`\n\n[d]: four.md#five\n",
        );
        assert_eq!(page.targets, ["one.md", "two.png", "four.md#five", "https://e.example", "three.png"]);
        assert_eq!(page.undefined, [""; 0]);
    }

    #[test]
    fn headings_get_the_ids_that_mdbook_and_github_give_them() {
        let page =
            Page::read("# `vqkit` train: A & B\n\n## Twice\n\n## Twice\n\n# Own {#mine}\n\n<a id=\"raw\"></a>\n");
        let expected = ["vqkit-train-a--b", "twice", "twice-1", "mine", "raw"];
        assert_eq!(page.anchors, expected.map(str::to_owned).into());
    }

    #[test]
    fn a_label_without_a_definition_is_noted() {
        assert_eq!(
            Page::read("[text][label], [label][] and [prior] in a table `[x][y]`").undefined,
            ["label", "label"]
        );
    }

    #[test]
    fn an_empty_block_of_code_is_noted() {
        assert_eq!(
            Page::read("```rust\n```\n\n```toml\na = 1\n```\n\n```text\n\n```\n").empty_blocks,
            ["rust", "text"]
        );
    }
}
