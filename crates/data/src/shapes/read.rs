//! Reading objects back out of a picture, from its pixels alone.
//!
//! The background is grey, so that a pixel's chroma (largest channel less smallest) over that of the colour is the share
//! of the pixel that an object covers, and its hue says which. Connected pixels of one hue are an object. Each shape is
//! laid over it with the area and centre of mass that were found; the one that differs least is its shape.

use super::{Hue, Looks, Shape, Size, scene::coverage};
use crate::Picture;

/// Chroma below this is background, 0 to 255.
const MIN_CHROMA: f64 = 40.0;

/// Specks below this width, in widths of the picture, are passed over.
const MIN_WIDTH: f64 = 0.08;

/// The largest squared difference to a shape, over the area, at which something still counts as that shape.
const MAX_MISFIT: f64 = 0.3;

/// An object as it was read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    /// How it looks.
    pub looks: Looks,
    /// Across and down to its middle, in widths of the picture.
    pub middle: [f64; 2],
    /// Its width, in widths of the picture.
    pub width: f64,
    /// Squared difference to its shape, over the area; 0 is perfect, and at most 0.3.
    pub misfit: f64,
}

/// The objects that a picture shows, the largest first. A picture that is not square is read as wide as it is high.
pub fn read(picture: &Picture) -> Vec<Found> {
    let side = picture.width().min(picture.height());
    let pixels: Vec<Option<(Hue, f64)>> =
        (0..side * side).map(|place| hue(picture.rgb(place % side, place / side))).collect();
    let mut found: Vec<Found> = components(&pixels, side as usize)
        .into_iter()
        .filter_map(|(hue, places)| fit(hue, &places, &pixels, side as usize))
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
fn fit(hue: Hue, places: &[usize], pixels: &[Option<(Hue, f64)>], side: usize) -> Option<Found> {
    let mut chromas: Vec<f64> = places.iter().filter_map(|&place| pixels[place].map(|(_, chroma)| chroma)).collect();
    chromas.sort_by(f64::total_cmp);
    let full = chromas[chromas.len() * 9 / 10];
    let mut mask = vec![0.0; side * side];
    for &place in places {
        mask[place] = pixels[place].map_or(0.0, |(_, chroma)| (chroma / full).min(1.0));
    }
    let area: f64 = mask.iter().sum();
    let moment = |at: fn(usize, usize) -> usize| {
        places.iter().map(|&place| mask[place] * (at(place, side) as f64 + 0.5)).sum::<f64>() / (area * side as f64)
    };
    let mass = [moment(|place, side| place % side), moment(|place, side| place / side)];
    let best = Shape::ALL.map(|shape| laid_over(shape, &mask, area, mass, side));
    let (shape, best) = Shape::ALL.into_iter().zip(best).min_by(|a, b| a.1.misfit.total_cmp(&b.1.misfit))?;
    let plain = best.width >= MIN_WIDTH && best.misfit <= MAX_MISFIT;
    plain.then(|| Found {
        looks: Looks { size: Size::of(best.width), hue, shape },
        middle: best.middle,
        width: best.width,
        misfit: best.misfit,
    })
}

struct Overlay {
    middle: [f64; 2],
    width: f64,
    misfit: f64,
}

/// `shape` with this area, in pixels, and centre of mass, and how far it is from the mask.
fn laid_over(shape: Shape, mask: &[f64], area: f64, mass: [f64; 2], side: usize) -> Overlay {
    let width = (area / shape.fill()).sqrt() / side as f64;
    let middle = [mass[0], mass[1] - shape.drop() * width / 2.0];
    let mut difference: f64 = mask.iter().map(|value| value * value).sum();
    coverage(shape, middle, width, side, |place, covered| {
        difference += covered * covered - 2.0 * covered * mask[place];
    });
    Overlay { middle, width, misfit: difference / area }
}
