//! Procedural images of coloured shapes, with class, caption and template, and a checker that reads them back.
//!
//! A scene is one to three objects on a grey background. Objects never touch, no two have the same colour, and where
//! there are several exactly one is large; its shape is the class. The caption names all of them and where the first
//! one is, relative to the others. Everything is a function of a seed and an index.
//!
//! ```
//! use vqkit_data::shapes::{self, Scene};
//!
//! let scene = Scene::new(7, 0, 3);
//! let rendered = scene.render(64)?;
//! assert!(shapes::check(&rendered.image, &scene.caption()).holds());
//! assert!(!shapes::check(&rendered.image, "a small red circle above a large red circle").holds());
//! # Ok::<(), vqkit_data::DataError>(())
//! ```

mod caption;
mod check;
mod fit;
mod label_map;
mod patch;
mod read;
mod scene;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use caption::ParsedCaption;
pub use check::{Problem, Verdict, check, lies_as_asked};
pub use label_map::label_map;
pub use read::{ObservedObject, read};
pub use scene::{RenderedScene, Scene};

/// The shape of an object; its position in [`Shape::ALL`] is its class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A disc.
    Circle,
    /// A square with horizontal and vertical sides.
    Square,
    /// A triangle that points up, as high as it is wide.
    Triangle,
    /// A square on its corner.
    Diamond,
    /// Two bars of a third of its width.
    Cross,
}

impl Shape {
    /// All of them, in the order of their classes.
    pub const ALL: [Self; 5] = [Self::Circle, Self::Square, Self::Triangle, Self::Diamond, Self::Cross];

    /// Its class, from 0; in templates it is one more, 0 being the background.
    pub fn class(self) -> u32 {
        self as u32
    }

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Circle => "circle",
            Self::Square => "square",
            Self::Triangle => "triangle",
            Self::Diamond => "diamond",
            Self::Cross => "cross",
        }
    }

    /// Whether the shape, in the square from -1 to 1 with `y` downwards, covers this point.
    fn covers(self, x: f64, y: f64) -> bool {
        let (across, along) = (x.abs(), y.abs());
        match self {
            Self::Circle => x * x + y * y <= 1.0,
            Self::Square => across.max(along) <= 1.0,
            Self::Triangle => along <= 1.0 && across <= (y + 1.0) / 2.0,
            Self::Diamond => across + along <= 1.0,
            Self::Cross => across.max(along) <= 1.0 && across.min(along) <= 1.0 / 3.0,
        }
    }

    /// The share of that square that it covers.
    fn fill(self) -> f64 {
        match self {
            Self::Circle => std::f64::consts::FRAC_PI_4,
            Self::Square => 1.0,
            Self::Triangle | Self::Diamond => 0.5,
            Self::Cross => 5.0 / 9.0,
        }
    }

    /// How far below the middle of that square its centre of mass lies, in half widths.
    fn drop(self) -> f64 {
        if self == Self::Triangle { 1.0 / 3.0 } else { 0.0 }
    }
}

/// The colour of an object: the corners of the colour cube, which are furthest apart in hue, toned down a little.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hue {
    /// Red.
    Red,
    /// Red and green.
    Yellow,
    /// Green.
    Green,
    /// Green and blue.
    Cyan,
    /// Blue.
    Blue,
    /// Blue and red.
    Magenta,
}

impl Hue {
    /// All of them, around the circle.
    pub const ALL: [Self; 6] = [Self::Red, Self::Yellow, Self::Green, Self::Cyan, Self::Blue, Self::Magenta];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Red => "red",
            Self::Yellow => "yellow",
            Self::Green => "green",
            Self::Cyan => "cyan",
            Self::Blue => "blue",
            Self::Magenta => "magenta",
        }
    }

    /// Red, green and blue, 0 to 255.
    fn rgb(self) -> [f64; 3] {
        match self {
            Self::Red => [225.0, 35.0, 35.0],
            Self::Yellow => [235.0, 225.0, 30.0],
            Self::Green => [30.0, 190.0, 50.0],
            Self::Cyan => [30.0, 215.0, 225.0],
            Self::Blue => [35.0, 60.0, 225.0],
            Self::Magenta => [220.0, 40.0, 215.0],
        }
    }
}

/// How large an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Size {
    /// About a quarter as wide as the image.
    Small,
    /// About four tenths as wide as the image.
    Large,
}

impl Size {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Small, Self::Large];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Large => "large",
        }
    }

    /// Smallest and largest width, as shares of the image's width.
    fn widths(self) -> (f64, f64) {
        match self {
            Self::Small => (0.21, 0.26),
            Self::Large => (0.38, 0.46),
        }
    }

    /// The size of an object of this width, a share of the image's width.
    fn of(width: f64) -> Self {
        if width < 0.32 { Self::Small } else { Self::Large }
    }
}

/// Where the first object is, relative to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// Higher up.
    Above,
    /// Lower down.
    Below,
    /// Further left.
    LeftOf,
    /// Further right.
    RightOf,
}

impl Relation {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Above, Self::Below, Self::LeftOf, Self::RightOf];

    /// The words for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Above => "above",
            Self::Below => "below",
            Self::LeftOf => "left of",
            Self::RightOf => "right of",
        }
    }

    /// Where the first position is, relative to the second; the longer of the two distances decides.
    fn between(first: [f64; 2], second: [f64; 2]) -> Self {
        let (across, down) = (first[0] - second[0], first[1] - second[1]);
        match across.abs() > down.abs() {
            true if across < 0.0 => Self::LeftOf,
            true => Self::RightOf,
            false if down < 0.0 => Self::Above,
            false => Self::Below,
        }
    }
}

/// What a caption says of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Looks {
    /// Small or large.
    pub size: Size,
    /// Its colour.
    pub hue: Hue,
    /// Its shape.
    pub shape: Shape,
}

impl fmt::Display for Looks {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "a {} {} {}", self.size.name(), self.hue.name(), self.shape.name())
    }
}
