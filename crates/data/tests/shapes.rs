//! The checker of shapes is itself checked: right on fresh renderings, and wrong captions are told.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use vqkit_data::{
    Picture, Pixels,
    shapes::{Hue, Looks, ParsedCaption, Relation, Scene, Shape, Size, check},
};

const FRESH: u64 = 1000;

fn request(scene: &Scene) -> ParsedCaption {
    ParsedCaption::parse(&scene.caption()).unwrap()
}

#[test]
fn fresh_renderings_hold_what_their_captions_say() {
    for size in [32, 64] {
        let right = (0..FRESH)
            .filter(|&index| {
                let scene = Scene::new(11, index, 3);
                let verdict = check(&scene.render(size).unwrap().image, &scene.caption());
                verdict.holds() && verdict.class() == Some(scene.class())
            })
            .count();
        assert!(right as f64 >= 0.995 * FRESH as f64, "{right} of {FRESH} at {size} pixels");
    }
}

/// Every caption that differs from `request` in one attribute of one object, or in one relation.
fn swapped(request: &ParsedCaption) -> Vec<(&'static str, ParsedCaption)> {
    let mut all = Vec::new();
    for place in 0..=request.others.len() {
        for (kind, looks) in variants(request.objects().nth(place).unwrap()) {
            let mut other = request.clone();
            match place {
                0 => other.first = looks,
                _ => other.others[place - 1].1 = looks,
            }
            all.push((kind, other));
        }
    }
    for place in 0..request.others.len() {
        for relation in Relation::ALL.into_iter().filter(|relation| *relation != request.others[place].0) {
            let mut other = request.clone();
            other.others[place].0 = relation;
            all.push(("relation", other));
        }
    }
    all
}

fn variants(looks: Looks) -> Vec<(&'static str, Looks)> {
    let hues = Hue::ALL.into_iter().map(|hue| ("colour", Looks { hue, ..looks }));
    let shapes = Shape::ALL.into_iter().map(|shape| ("shape", Looks { shape, ..looks }));
    let sizes = Size::ALL.into_iter().map(|size| ("size", Looks { size, ..looks }));
    hues.chain(shapes).chain(sizes).filter(|(_, other)| *other != looks).collect()
}

#[test]
fn a_caption_with_one_attribute_swapped_is_rejected() {
    for kind in ["colour", "shape", "size", "relation"] {
        let mut tried = 0;
        for index in 0..FRESH / 20 {
            let scene = Scene::new(12, index, 3);
            let image = scene.render(32).unwrap().image;
            for (_, wrong) in swapped(&request(&scene)).into_iter().filter(|(found, _)| *found == kind) {
                tried += 1;
                assert!(!check(&image, &wrong.to_string()).holds(), "{}: {wrong}", scene.caption());
            }
        }
        assert!(tried > 50, "only {tried} captions with another {kind}");
    }
}

#[test]
fn every_word_of_the_language_occurs() {
    let captions: Vec<String> = (0..FRESH).map(|index| Scene::new(13, index, 3).caption()).collect();
    let words = Size::ALL.map(Size::name).into_iter().chain(Hue::ALL.map(Hue::name));
    let words = words.chain(Shape::ALL.map(Shape::name)).chain(Relation::ALL.map(Relation::name)).chain(["and"]);
    for word in words {
        assert!(captions.iter().any(|caption| caption.contains(word)), "{word}");
    }
    assert!(
        captions.iter().all(|caption| ParsedCaption::parse(caption).is_some_and(|read| read.to_string() == *caption))
    );
}

#[test]
fn templates_mark_every_object() {
    let scene = Scene::new(14, 3, 3);
    let rendered = scene.render(64).unwrap();
    let mut labels: Vec<u8> = rendered.template.to_gray8();
    labels.sort_unstable();
    labels.dedup();
    let mut want: Vec<u8> = request(&scene).objects().map(|looks| looks.shape.class() as u8 + 1).collect();
    want.push(0);
    want.sort_unstable();
    want.dedup();
    assert_eq!(labels, want);
}

#[test]
fn a_picture_of_nothing_holds_nothing() {
    let blank = Picture::new(32, 32, Pixels::Gray8(vec![128; 32 * 32])).unwrap();
    let verdict = check(&blank, "a small red circle");
    assert_eq!(verdict.problems[0].to_string(), "a small red circle is missing");
    assert_eq!(check(&blank, "nonsense").problems[0].to_string(), "`nonsense` is no caption of shapes");
}

/// Blurred with (1, 2, 1) / 4 in both directions, then noise of up to 10 levels: worse than what a decoder draws.
fn spoiled(picture: &Picture, seed: u32) -> Picture {
    let side = picture.width() as i32;
    let mut state = seed;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as i32 % 21 - 10
    };
    let near = |at: i32| [-1, 0, 0, 1].map(|step| (at + step).clamp(0, side - 1) as u32);
    let mut values = Vec::new();
    for place in 0..side * side {
        let (columns, rows) = (near(place % side), near(place / side));
        for channel in 0..3 {
            let row = |y: u32| columns.iter().map(|&x| i32::from(picture.rgb(x, y)[channel])).sum::<i32>();
            let mean = rows.iter().map(|&y| row(y)).sum::<i32>() / 16;
            values.push((mean + noise()).clamp(0, 255) as u8);
        }
    }
    Picture::new(picture.width(), picture.height(), Pixels::Rgb8(values)).unwrap()
}

#[test]
fn soft_and_noisy_renderings_are_read_as_well() {
    let holds = |index: &u64| {
        let scene = Scene::new(15, *index, 3);
        check(&spoiled(&scene.render(32).unwrap().image, *index as u32), &scene.caption()).holds()
    };
    let right = (0..FRESH / 5).filter(holds).count();
    assert!(right as f64 >= 0.97 * (FRESH / 5) as f64, "{right} of {}", FRESH / 5);
}
