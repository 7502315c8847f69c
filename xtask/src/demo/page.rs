//! The page of the demo: pictures with the commands that made them.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// What was drawn, and how.
#[derive(Debug, Clone)]
pub struct Drawn {
    /// The heading on the page.
    pub title: String,
    /// What there is to see.
    pub about: String,
    /// The command, as one would type it.
    pub command: String,
    /// The picture.
    pub picture: PathBuf,
}

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;\
    color:#222;background:#fff}img{max-width:100%;image-rendering:pixelated}code{background:#eee;padding:.1rem .3rem}\
    @media(prefers-color-scheme:dark){body{color:#ddd;background:#111}code{background:#333}}";

/// Writes the page; pictures are named from its folder.
pub fn write(path: &Path, drawn: &[Drawn]) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let text = html(drawn, folder)?;
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn html(drawn: &[Drawn], folder: &Path) -> Result<String> {
    let mut text = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>vqkit</title>\n<style>{STYLE}</style>\n<h1>vqkit</h1>\n"
    );
    for Drawn { title, about, command, picture } in drawn {
        let source = relative(picture, folder);
        let [title, about, command, source] = [title, about, command, &source].map(|part| escaped(part));
        writeln!(
            text,
            "<h2>{title}</h2>\n<p>{about}</p>\n<p><code>{command}</code></p>\n<img src=\"{source}\" alt=\"{title}\">"
        )?;
    }
    Ok(text)
}

/// The path of a picture below the folder of the page, or beside it.
fn relative(picture: &Path, folder: &Path) -> String {
    let inside = picture.strip_prefix(folder).map(Path::to_owned);
    let beside = || Some(Path::new("..").join(picture.strip_prefix(folder.parent()?).ok()?));
    inside.ok().or_else(beside).unwrap_or_else(|| picture.to_owned()).to_string_lossy().into_owned()
}

/// The picture of a folder of samples: the sheet with the conditions, if there is one.
pub fn picture(samples: &Path) -> Result<PathBuf> {
    let overview = samples.join("overview");
    let there = ["sheet.png", "grid.png"].map(|name| overview.join(name)).into_iter().find(|path| path.is_file());
    there.with_context(|| format!("there is no picture in {}", overview.display()))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_named_from_the_page_and_commands_are_escaped() {
        let of = |picture: &str| Drawn {
            title: "A title".into(),
            about: "About".into(),
            command: "vqkit sample --text \"a < b\"".into(),
            picture: Path::new(picture).into(),
        };
        let drawn = [of("runs/demo-pictures/first/overview/sheet.png"), of("runs/demo/samples/overview/grid.png")];
        let text = html(&drawn, Path::new("runs/demo-pictures")).unwrap();
        assert!(text.contains("src=\"first/overview/sheet.png\""), "{text}");
        assert!(text.contains("src=\"../demo/samples/overview/grid.png\""), "{text}");
        assert!(text.contains("--text &quot;a &lt; b&quot;"), "{text}");
    }
}
