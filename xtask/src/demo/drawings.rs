//! The first minute: pictures from the models that come with vqkit.

use std::path::Path;

use anyhow::Result;

use super::page::{Drawn, picture};
use crate::cargo::{display, run};
use crate::forward;

/// One call of `vqkit sample`, and what it shows.
pub struct Drawing {
    /// The heading on the page.
    pub title: &'static str,
    /// What there is to see.
    pub about: &'static str,
    /// The model.
    model: &'static str,
    /// What is asked for.
    arguments: &'static [&'static str],
    /// The drawing whose first picture is completed, if this one completes a picture.
    completes: Option<&'static str>,
    /// The folder that it is drawn into.
    folder: &'static str,
}

/// By text, by class, by a template, and a completed picture.
const DRAWINGS: [Drawing; 7] = [
    Drawing {
        title: "Emoji by text",
        about: "A caption becomes tokens, and a GPT continues them with the tokens of a picture.",
        model: "emoji",
        arguments: &["--text", "cat with tears of joy", "-n", "8"],
        completes: None,
        folder: "emoji",
    },
    Drawing {
        title: "Other captions",
        about: "The names of emoji are what the model has learned.",
        model: "emoji",
        arguments: &["--text", "red apple", "--text", "honeybee", "--text", "rainbow", "--text", "house", "-n", "12"],
        completes: None,
        folder: "captions",
    },
    Drawing {
        title: "Clothes by class",
        about: "Two pictures of each of ten classes. The model was trained on 1,515 photographs.",
        model: "clothes",
        arguments: &["-n", "20", "--samples-per-condition", "2"],
        completes: None,
        folder: "clothes",
    },
    Drawing {
        title: "A completed picture",
        about: "The upper half of the first cat above is given, and the lower half is drawn under two other captions.",
        model: "emoji",
        arguments: &[
            "--text",
            "grinning cat",
            "--text",
            "kissing cat",
            "--keep",
            "top=0.5",
            "-n",
            "8",
            "--samples-per-condition",
            "4",
        ],
        completes: Some("emoji"),
        folder: "completed",
    },
    Drawing {
        title: "Shapes by class",
        about: "The model knows classes, captions and maps, and draws under any of them. Here it gets a class.",
        model: "shapes",
        arguments: &["--class", "square", "-n", "8"],
        completes: None,
        folder: "classes",
    },
    Drawing {
        title: "Shapes by caption",
        about: "The same model under a caption.",
        model: "shapes",
        arguments: &["--text", "a large red circle", "-n", "8"],
        completes: None,
        folder: "shapes",
    },
    Drawing {
        title: "Shapes by a map",
        about: "Each row begins with a segmentation map, which a second tokenizer turns into tokens; captions set the colour.",
        model: "shapes",
        arguments: &[
            "--template",
            "assets/models/shapes/map.png",
            "--text",
            "a large green cross",
            "--text",
            "a large blue cross",
            "--text",
            "a large yellow cross",
            "--samples-per-condition",
            "3",
            "-n",
            "9",
        ],
        completes: None,
        folder: "maps",
    },
];

/// Draws everything that there is a model for into `folder`.
pub fn draw(folder: &Path, models: &Path) -> Result<Vec<Drawn>> {
    let there = DRAWINGS.iter().filter(|drawing| models.join(drawing.model).join("run.json").is_file());
    there.map(|drawing| drawing.draw(folder)).collect()
}

impl Drawing {
    fn draw(&self, folder: &Path) -> Result<Drawn> {
        let out = folder.join(self.folder);
        let mut sample = forward::binary("sample");
        sample.args(["--model", self.model]).args(self.arguments);
        if let Some(other) = self.completes {
            sample.arg("--image").arg(folder.join(other).join("000000.png"));
        }
        let command = typed(&display(&sample));
        run(sample.arg("--out").arg(&out))?;
        let picture = picture(&out)?;
        Ok(Drawn { title: self.title.into(), about: self.about.into(), command, picture })
    }
}

/// The call of `vqkit` in a call of Cargo that builds it.
fn typed(command: &str) -> String {
    let (_, call) = command.split_once(" -- ").unwrap_or(("", command));
    format!("vqkit {call}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_without_cargo() {
        assert_eq!(typed("cargo run --release -- sample --model shapes"), "vqkit sample --model shapes");
    }

    #[test]
    fn nothing_is_drawn_without_models() {
        let folder = tempfile::tempdir().unwrap();
        assert!(draw(&folder.path().join("out"), folder.path()).unwrap().is_empty());
    }

    #[test]
    fn what_is_completed_is_drawn_before() {
        for (place, drawing) in DRAWINGS.iter().enumerate() {
            let is_before = |other: &str| DRAWINGS[..place].iter().any(|drawing| drawing.folder == other);
            assert!(drawing.completes.is_none_or(is_before), "{}", drawing.title);
        }
    }
}
