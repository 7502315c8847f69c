//! `sheet.png`: each row shows a condition, the validation image that belongs to it, and the generated images.

use plotters::{
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};
use vqkit_recipe::{Modality, Recipe};
use vqkit_run::{FONT, RgbImage, batch_tensors, chart};

use crate::{error::Result, prompt::Prompt, prompt::ResolvedPrompt};

/// Largest number of rows.
pub const ROWS: usize = 32;

/// Width to which small images are enlarged, in pixels.
const WIDTH: u32 = 128;

/// Height of a line of text, in pixels.
const LINE: i32 = 15;

/// Draws the sheet; `rows`: the images of every prompt. `None` where the images have no condition, or are not square.
///
/// # Errors
/// When text cannot be drawn.
pub fn draw(seen: &[ResolvedPrompt], rows: &[Vec<RgbImage>], recipe: &Recipe) -> Result<Option<RgbImage>> {
    let Some((width, height)) = rows.first().and_then(|row| row.first()).map(RgbImage::size) else { return Ok(None) };
    if width != height || seen.iter().all(|seen| seen.prompt == Prompt::default()) {
        return Ok(None);
    }
    let factor = WIDTH.div_ceil(width);
    let size = width * factor;
    let (has_words, has_template) =
        (seen.iter().any(|seen| words(&seen.prompt).is_some()), seen.iter().any(|s| s.template.is_some()));
    let has_truth = seen.iter().any(|seen| seen.truth.is_some());
    let blank = || RgbImage::from_rgb(vec![255; (size * size * 3) as usize], size, size);
    let rows = gathered(seen, rows);
    let most = rows.iter().map(|(_, pictures)| pictures.len()).max().unwrap_or(0);
    let mut cells = Vec::new();
    for (seen, pictures) in rows {
        if has_words {
            cells.push(words(&seen.prompt).map_or(Ok(blank()), |words| written(&words, size))?);
        }
        if has_template {
            cells.push(template(seen, recipe).map_or_else(blank, |picture| picture.resized(size)));
        }
        if has_truth {
            cells.push(seen.truth.as_ref().map_or_else(blank, |picture| picture.resized(size)));
        }
        cells.extend(pictures.iter().map(|picture| picture.enlarged(factor)));
        cells.extend((pictures.len()..most).map(|_| blank()));
    }
    let columns = [has_words, has_template, has_truth].into_iter().map(usize::from).sum::<usize>() + most;
    Ok(Some(RgbImage::grid(&cells, columns)))
}

/// The rows; prompts with the same words, and without an image that belongs to them, share a row.
fn gathered<'s>(seen: &'s [ResolvedPrompt], rows: &'s [Vec<RgbImage>]) -> Vec<(&'s ResolvedPrompt, Vec<&'s RgbImage>)> {
    let is_words_alone = |seen: &ResolvedPrompt| seen.template.is_none() && seen.truth.is_none();
    let mut gathered: Vec<(&ResolvedPrompt, Vec<&RgbImage>)> = Vec::new();
    for (seen, pictures) in seen.iter().zip(rows) {
        let mut before = gathered.iter_mut();
        match before.find(|(other, _)| [*other, seen].into_iter().all(is_words_alone) && other.prompt == seen.prompt) {
            Some((_, row)) => row.extend(pictures),
            None => gathered.push((seen, pictures.iter().collect())),
        }
    }
    gathered
}

fn words(prompt: &Prompt) -> Option<String> {
    let key = prompt.embedding.as_ref().map(|vectors| &vectors.key);
    let words = [prompt.class.as_ref(), prompt.text.as_ref(), key].into_iter().flatten();
    let words: Vec<&str> = words.map(String::as_str).collect();
    (!words.is_empty()).then(|| words.join(": "))
}

fn template(seen: &ResolvedPrompt, recipe: &Recipe) -> Option<RgbImage> {
    let kind = recipe.data.template_kind()?;
    let values = batch_tensors::encoder_input(seen.template.as_ref()?.unsqueeze(0), &kind);
    batch_tensors::pictures(Modality::Template.input_spec(&recipe.data), &values).into_iter().next()
}

/// Words in black on white, in a square.
fn written(words: &str, size: u32) -> Result<RgbImage> {
    Ok(chart::picture("a caption", (size, size), |canvas| {
        let style = (FONT, 13).into_font().color(&BLACK).pos(Pos::new(HPos::Left, VPos::Top));
        for (line, text) in (0i32..).zip(lines(words, size)) {
            canvas.draw_text(&text, &style, (6, 6 + line * LINE))?;
        }
        Ok(())
    })?)
}

/// Words in lines that fit the width: a letter is assumed to be half as wide as it is high.
fn lines(words: &str, size: u32) -> Vec<String> {
    let most = (size as usize / 7).max(1);
    let mut lines: Vec<String> = Vec::new();
    for word in words.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= most => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_of_one_class_share_a_row() {
        let picture = || RgbImage::from_rgb(vec![0; 12], 2, 2);
        let seen = |class: &str, truth| ResolvedPrompt {
            prompt: Prompt { class: Some(class.into()), ..Prompt::default() },
            template: None,
            truth,
        };
        let all = [seen("cat", None), seen("dog", None), seen("cat", None), seen("cat", Some(picture()))];
        let rows = [vec![picture()], vec![picture()], vec![picture(), picture()], vec![picture()]];
        let lengths: Vec<usize> = gathered(&all, &rows).iter().map(|(_, row)| row.len()).collect();
        assert_eq!(lengths, [3, 1, 1]);
    }

    #[test]
    fn words_are_broken_into_lines() {
        assert_eq!(lines("a small red circle above a square", 98), ["a small red", "circle above a", "square"]);
        assert_eq!(lines("", 98), Vec::<String>::new());
    }
}
