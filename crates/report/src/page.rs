//! Parts of every page: the frame, embedded images, tables that scroll on a narrow screen.

use base64::{Engine, engine::general_purpose::STANDARD};
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("style.css");

/// A page that needs no other file and no network.
pub fn page(title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · vqkit" }
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) }
            }
            body { (body) }
        }
    };
    page.into_string()
}

/// An image embedded in the page.
pub fn image(alt: &str, png: &[u8]) -> Markup {
    html! { img alt=(alt) src=(format!("data:image/png;base64,{}", STANDARD.encode(png))); }
}

/// A table: its head, and rows of as many cells.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> Markup {
    html! {
        div.wide {
            table {
                tr { @for cell in head { th { (cell) } } }
                @for row in rows { tr { @for cell in row { td { (cell) } } } }
            }
        }
    }
}

/// A table of many columns, whose names may take several lines: its head, and rows of as many cells, which say whether they
/// are marked.
pub fn marked_table(head: &[String], rows: &[Vec<(String, bool)>]) -> Markup {
    html! {
        div.wide {
            table.narrow {
                tr { @for cell in head { th { (cell) } } }
                @for row in rows {
                    tr { @for (cell, is_marked) in row { td class=[is_marked.then_some("best")] { (cell) } } }
                }
            }
        }
    }
}

/// A paragraph that explains metrics.
pub fn note(text: &str) -> Markup {
    html! { p.note { (text) } }
}

/// A list of warnings.
pub fn warnings(warnings: &[String]) -> Markup {
    html! { @for warning in warnings { p.warning { (warning) } } }
}

/// A number with this many decimals, or a dash where there is none.
pub fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "–".into(), |value| format!("{value:.digits$}"))
}
