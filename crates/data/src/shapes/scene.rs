//! Making up scenes and rendering them.

use super::{Hue, Looks, ParsedCaption, Relation, Shape, Size, patch::coverage};
use crate::{DataError, LabelMap, Picture, Pixels, TemplateKind, random::Random};

/// Free space around every object, in widths of the picture.
const GAP: f64 = 0.07;

/// The longer of two distances is at least this many times the shorter, so that a relation can be told.
const CLARITY: f64 = 1.35;

/// Layouts tried before a scene makes do with fewer objects.
const TRIES: usize = 400;

/// An object at its place; `x`, `y` (of the middle) and `width` are in widths of the picture, from its top left.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Object {
    looks: Looks,
    x: f64,
    y: f64,
    width: f64,
    brightness: f64,
}

/// One to three objects on a background.
#[derive(Debug, Clone, PartialEq)]
pub struct Scene {
    objects: Vec<Object>,
    background: [f64; 2],
}

/// A scene, rendered.
#[derive(Debug, Clone, PartialEq)]
pub struct RenderedScene {
    /// The picture, 8-bit RGB.
    pub image: Picture,
    /// Its segmentation map, 8-bit grey: 0 for the background, else the class of the shape plus 1.
    pub template: Picture,
}

impl Scene {
    /// What the templates of scenes are: a label for the background and one per shape.
    pub fn template_kind() -> TemplateKind {
        TemplateKind::Labels(LabelMap { count: Shape::ALL.len() as u32 + 1, offset: 0 })
    }

    /// The scene of this seed and index, of at most `max_objects` objects (1 to 3; others are brought into that range).
    pub fn new(seed: u64, index: u64, max_objects: usize) -> Self {
        Self::with_single(seed, index, max_objects, None)
    }

    /// As [`new`](Self::new); an object that is alone in its picture has the size `single`, where one is given.
    pub fn with_single(seed: u64, index: u64, max_objects: usize, single: Option<Size>) -> Self {
        let mut random = Random::keyed(&[seed, index]);
        let wanted = 1 + random.below(max_objects.clamp(1, 3) as u64) as usize;
        let top = random.between(20.0, 235.0);
        let background = [top, (top + random.between(-25.0, 25.0)).clamp(15.0, 240.0)];
        let looks = looks(&mut random, wanted, single);
        let mut objects = Vec::new();
        for count in (1..=wanted).rev() {
            objects = layout(&mut random, &looks[..count]);
            if !objects.is_empty() {
                break;
            }
        }
        Self { objects, background }
    }

    /// The class: the shape of the largest object.
    pub fn class(&self) -> u32 {
        let largest = self.objects.iter().max_by(|a, b| a.width.total_cmp(&b.width));
        largest.map_or(0, |object| object.looks.shape.class())
    }

    /// The caption, which names every object.
    pub fn caption(&self) -> String {
        self.parsed_caption().map_or_else(String::new, |caption| caption.to_string())
    }

    fn parsed_caption(&self) -> Option<ParsedCaption> {
        let (first, others) = self.objects.split_first()?;
        let related = |other: &Object| (Relation::between([first.x, first.y], [other.x, other.y]), other.looks);
        Some(ParsedCaption { first: first.looks, others: others.iter().map(related).collect() })
    }

    /// Renders the scene `size` pixels wide and high, anti-aliased.
    ///
    /// # Errors
    /// [`DataError::Picture`] for a size of 0.
    pub fn render(&self, size: u32) -> Result<RenderedScene, DataError> {
        let side = size as usize;
        let mut labels = vec![0; side * side];
        let mut colours: Vec<[f64; 3]> =
            (0..side * side).map(|place| self.backdrop(place / side.max(1), side)).collect();
        for object in &self.objects {
            let colour = object.looks.hue.rgb().map(|value| value * object.brightness);
            let [x, y, width] = [object.x, object.y, object.width].map(|length| length * f64::from(size));
            coverage(object.looks.shape, [x, y], width, [side, side], |place, covered| {
                let pixel = &mut colours[place];
                *pixel = std::array::from_fn(|channel| pixel[channel] + covered * (colour[channel] - pixel[channel]));
                if covered >= 0.5 {
                    labels[place] = object.looks.shape.class() as u8 + 1;
                }
            });
        }
        let values = colours.iter().flatten().map(|value| value.round() as u8).collect();
        Ok(RenderedScene {
            image: Picture::new(size, size, Pixels::Rgb8(values))?,
            template: Picture::new(size, size, Pixels::Gray8(labels))?,
        })
    }

    fn backdrop(&self, row: usize, side: usize) -> [f64; 3] {
        let down = (row as f64 + 0.5) / side as f64;
        [self.background[0] + down * (self.background[1] - self.background[0]); 3]
    }
}

/// Looks of distinct colours; where there are several objects, exactly one is large.
fn looks(random: &mut Random, count: usize, single: Option<Size>) -> Vec<Looks> {
    let mut hues = Hue::ALL.to_vec();
    let large = random.below(count as u64) as usize;
    let either = random.choose(&Size::ALL);
    let object = |place| {
        let hue = hues.swap_remove(random.below(hues.len() as u64) as usize);
        let size = match (count, place == large) {
            (1, _) => single.unwrap_or(either),
            (_, true) => Size::Large,
            (_, false) => Size::Small,
        };
        Looks { size, hue, shape: random.choose(&Shape::ALL) }
    };
    (0..count).map(object).collect()
}

/// Places for all of these; empty where none were found.
fn layout(random: &mut Random, looks: &[Looks]) -> Vec<Object> {
    for _ in 0..TRIES {
        let objects: Vec<Object> = looks.iter().map(|&looks| anywhere(random, looks)).collect();
        if is_clear(&objects) {
            return objects;
        }
    }
    Vec::new()
}

fn anywhere(random: &mut Random, looks: Looks) -> Object {
    let (low, high) = looks.size.widths();
    let width = random.between(low, high);
    let margin = width / 2.0 + GAP / 2.0;
    let [x, y] = [0; 2].map(|_| random.between(margin, 1.0 - margin));
    Object { looks, x, y, width, brightness: random.between(0.85, 1.0) }
}

fn is_clear(objects: &[Object]) -> bool {
    let apart = |a: &Object, b: &Object| {
        let (across, down) = ((a.x - b.x).abs(), (a.y - b.y).abs());
        across.max(down) >= (a.width + b.width) / 2.0 + GAP
    };
    let told = |a: &Object, b: &Object| {
        let (across, down) = ((a.x - b.x).abs(), (a.y - b.y).abs());
        across.max(down) >= CLARITY * across.min(down)
    };
    let all_apart = objects.iter().enumerate().all(|(i, a)| objects[..i].iter().all(|b| apart(a, b)));
    all_apart && objects.iter().skip(1).all(|other| told(&objects[0], other))
}
