//! Encodes an image with a trained tokenizer, prints its tokens, and decodes them again.
//!
//! `roundtrip RUN PICTURE OUT`; RUN: a run folder, or a checkpoint in its folder `tokenizer/`.

use std::{env, error::Error, path::Path};

use vqkit::{
    data::PictureReader,
    models::TrainedTokenizer,
    run::{Context, RgbImage},
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [run, picture, out] = arguments.as_slice() else { return Err("roundtrip RUN PICTURE OUT".into()) };
    let tokenizer = TrainedTokenizer::open(Path::new(run), &Context::silent("auto")?)?;

    let picture = RgbImage::read(Path::new(picture), &PictureReader::default())?;
    let tokens = tokenizer.encode(&picture)?;
    for (level, grid) in tokens.iter().enumerate() {
        println!("level {level}, {:?}:", grid.indices.size());
        grid.indices.print();
    }
    tokenizer.decode(&tokens)?[0].write(Path::new(out))?;
    Ok(())
}
