//! Draws a grid of the built-in shapes, with the captions on standard output.
//!
//! `cargo run -p vqkit-data --example shapes_grid -- grid.png [PIXELS]`

use std::error::Error;

use vqkit_data::shapes::Scene;

const SIDE: u32 = 8;

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let path = words.next().ok_or("usage: shapes_grid FILE.png [PIXELS]")?;
    let size: u32 = words.next().map_or(Ok(64), |word| word.parse())?;
    let mut grid = image::RgbImage::new(SIDE * size, SIDE * size);
    let mut captions = Vec::new();
    for index in 0..SIDE * SIDE {
        let scene = Scene::new(0, index.into(), 3);
        let rendered = scene.render(size)?;
        let tile =
            image::RgbImage::from_raw(size, size, rendered.image.to_rgb8()).ok_or("a picture of another size")?;
        image::imageops::replace(&mut grid, &tile, (index % SIDE * size).into(), (index / SIDE * size).into());
        captions.push(scene.caption());
    }
    grid.save(path)?;
    println!("{}", captions.join("\n"));
    Ok(())
}
