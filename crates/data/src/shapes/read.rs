//! Reading objects back out of a picture, from its pixels alone.
//!
//! The background is grey, so that a pixel's chroma (largest channel less smallest) over that of the colour is the share
//! of the pixel that an object covers, and its hue says which. Connected pixels of one hue are an object; which shape it
//! has, how large and where, is a matter of fitting.

use super::{Hue, Looks, Size, fit::fit, patch::Patch};
use crate::Picture;

/// Chroma below this is background, 0 to 255.
const MIN_CHROMA: f64 = 40.0;

/// Specks below this width, in widths of the picture, are passed over.
const MIN_WIDTH: f64 = 0.08;

/// The largest share of an object that may differ from its shape.
const MAX_MISFIT: f64 = 0.15;

/// Pixels around an object that are compared as well.
const MARGIN: usize = 2;

/// An object as it was read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ObservedObject {
    /// How it looks.
    pub looks: Looks,
    /// Across and down to its middle, in widths of the picture.
    pub middle: [f64; 2],
    /// Its width, in widths of the picture.
    pub width: f64,
    /// The share of it, by squares, that is not its shape: 0 is perfect, 0.15 the most.
    pub misfit: f64,
}

/// The objects that a picture shows, the largest first. A picture that is not square is read as wide as it is high.
pub fn read(picture: &Picture) -> Vec<ObservedObject> {
    let side = picture.width().min(picture.height());
    let pixels: Vec<Option<(Hue, f64)>> =
        (0..side * side).map(|place| hue(picture.rgb(place % side, place / side))).collect();
    let mut found: Vec<ObservedObject> = components(&pixels, side as usize)
        .into_iter()
        .filter_map(|(hue, places)| object(hue, &places, &pixels, side as usize))
        .collect();
    found.sort_by(|a, b| b.width.total_cmp(&a.width));
    found
}

/// The hue and chroma of a pixel; `None` where it is nearly grey.
fn hue(rgb: [u8; 3]) -> Option<(Hue, f64)> {
    let [red, green, blue] = rgb.map(f64::from);
    let high = red.max(green).max(blue);
    let chroma = high - red.min(green).min(blue);
    if chroma < MIN_CHROMA {
        return None;
    }
    let sixth = if high == red {
        ((green - blue) / chroma).rem_euclid(6.0)
    } else if high == green {
        (blue - red) / chroma + 2.0
    } else {
        (red - green) / chroma + 4.0
    };
    Some((Hue::ALL[sixth.round() as usize % 6], chroma))
}

/// Connected pixels (by sides and corners) of one hue.
fn components(pixels: &[Option<(Hue, f64)>], side: usize) -> Vec<(Hue, Vec<usize>)> {
    let mut seen = vec![false; pixels.len()];
    let mut all = Vec::new();
    for start in 0..pixels.len() {
        let Some((hue, _)) = pixels[start].filter(|_| !seen[start]) else { continue };
        let mut places = vec![start];
        seen[start] = true;
        let mut next = 0;
        while let Some(&place) = places.get(next) {
            next += 1;
            for near in neighbours(place, side) {
                if !seen[near] && pixels[near].is_some_and(|(other, _)| other == hue) {
                    seen[near] = true;
                    places.push(near);
                }
            }
        }
        all.push((hue, places));
    }
    all
}

fn neighbours(place: usize, side: usize) -> impl Iterator<Item = usize> {
    let (column, row) = (place % side, place / side);
    let around = move |at: usize| at.saturating_sub(1)..(at + 2).min(side);
    around(row).flat_map(move |row| around(column).map(move |column| row * side + column))
}

/// The object that these pixels show, if they show one.
fn object(hue: Hue, places: &[usize], pixels: &[Option<(Hue, f64)>], side: usize) -> Option<ObservedObject> {
    let [left, right] = range(places.iter().map(|place| place % side))?;
    let [top, bottom] = range(places.iter().map(|place| place / side))?;
    let (left, top) = (left.saturating_sub(MARGIN), top.saturating_sub(MARGIN));
    let size = [(right + 1 + MARGIN).min(side) - left, (bottom + 1 + MARGIN).min(side) - top];
    let mut mask = Patch::empty(size);
    for &place in places {
        let inside = (place / side - top) * size[0] + place % side - left;
        mask.values[inside] = pixels[place].map_or(0.0, |(_, chroma)| chroma);
    }
    let fitted = fit(&mask)?;
    let scale = side as f64;
    let width = fitted.width / scale;
    let plain = width >= MIN_WIDTH && fitted.misfit <= MAX_MISFIT;
    plain.then(|| ObservedObject {
        looks: Looks { size: Size::of(width), hue, shape: fitted.shape },
        middle: [(left as f64 + fitted.middle[0]) / scale, (top as f64 + fitted.middle[1]) / scale],
        width,
        misfit: fitted.misfit,
    })
}

fn range(values: impl Iterator<Item = usize> + Clone) -> Option<[usize; 2]> {
    Some([values.clone().min()?, values.max()?])
}
