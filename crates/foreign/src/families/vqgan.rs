//! The sizes of a VQGAN from the shapes of its variables under taming-transformers' names, which are ours.

use toml::Table;

use crate::{
    config_file::ForeignConfig,
    reading::{Needs, Shapes},
    section::table,
};

/// What a network's section says before its quantizer, and what its pictures are.
#[derive(Debug)]
pub struct Sizes {
    /// Keys of `[tokenizer]`.
    pub section: Table,
    /// The pictures.
    pub needs: Needs,
    /// What was assumed or concluded.
    pub inferred: Vec<String>,
}

/// Tokens on a side of the pictures that published models are trained on, where nothing tells the size.
const USUAL_GRID: i64 = 16;

/// Each level but the last halves the picture.
const MOST_LEVELS: usize = 16;

/// The keys of `[tokenizer]` with `type = "vqgan"`; `config`: the `ddconfig` of taming-transformers or the `config.json` of diffusers
/// beside it, which has to agree.
///
/// # Errors
/// When a size is missing, or is another than the configuration says.
pub fn sizes(shapes: &Shapes, config: &ForeignConfig) -> Result<Sizes, String> {
    let ch = shapes.length("encoder.conv_in.weight", 0)?;
    let channels = shapes.length("encoder.conv_in.weight", 1)?;
    let ch_mult = factors(shapes, "encoder.down", ch)?;
    let decoder = factors(shapes, "decoder.up", ch)?;
    let levels = ch_mult.len();
    let downsampling = 1i64 << (levels - 1);
    let z_channels = shapes.length("encoder.conv_out.weight", 0)?;
    let blocks = shapes.count("encoder.down.0.block.#.") as i64;
    check(config, "ch", ch)?;
    check(config, "z_channels", z_channels)?;
    check(config, "num_res_blocks", blocks)?;
    if let Some(said) = config.integers("ch_mult").filter(|said| *said != ch_mult) {
        return Err(format!("the weights have ch_mult = {ch_mult:?}, the configuration says {said:?}"));
    }
    let mut inferred = Vec::new();
    let resolution = config.integer("resolution").filter(|side| side % downsampling == 0).unwrap_or_else(|| {
        let assumed = USUAL_GRID * downsampling;
        inferred.push(format!(
            "images of {assumed} x {assumed} pixels, so that there are {USUAL_GRID} x {USUAL_GRID} tokens; the weights fit any size"
        ));
        assumed
    });
    let attention = |side: &str| -> Vec<i64> {
        let attends = |level: &usize| shapes.has(&format!("{side}.{level}.attn.0.q.weight"));
        (0..levels).filter(attends).map(|level| resolution >> level).collect()
    };
    let (encoder, decoder_attention) = (attention("encoder.down"), attention("decoder.up"));
    let mut section = table([
        ("type", "vqgan".into()),
        ("ch", ch.into()),
        ("ch_mult", ch_mult.clone().into()),
        ("num_res_blocks", blocks.into()),
        ("attn_resolutions", encoder.clone().into()),
        ("resolution", resolution.into()),
        ("z_channels", z_channels.into()),
        ("embed_dim", shapes.length("quant_conv.weight", 0)?.into()),
        ("out_ch", shapes.length("decoder.conv_out.weight", 0)?.into()),
    ]);
    let differs = [
        ("decoder_ch_mult", decoder != ch_mult, decoder.into()),
        ("decoder_attn_resolutions", decoder_attention != encoder, decoder_attention.into()),
        ("resamp_with_conv", levels > 1 && !shapes.has("encoder.down.0.downsample.conv.weight"), false.into()),
        ("mid_attention", !shapes.has("encoder.mid.attn_1.q.weight"), false.into()),
    ];
    section
        .extend(differs.into_iter().filter(|(_, differs, _)| *differs).map(|(key, _, value)| (key.to_owned(), value)));
    if let Some(dropout) = config.number("dropout").filter(|dropout| *dropout > 0.0) {
        section.insert("dropout".into(), dropout.into());
    }
    let needs = Needs {
        image_size: Some(resolution),
        channels: Some(channels),
        downsampling: Some(downsampling),
        ..Needs::default()
    };
    Ok(Sizes { section, needs, inferred })
}

/// Compares a size with the configuration's.
///
/// # Errors
/// When they differ.
pub fn check(config: &ForeignConfig, key: &str, found: i64) -> Result<(), String> {
    match config.integer(key).filter(|said| *said != found) {
        None => Ok(()),
        Some(said) => Err(format!("the weights have {key} = {found}, the configuration says {said}")),
    }
}

/// Compares the number of codes with the configuration's.
///
/// # Errors
/// When they differ.
pub fn check_codes(config: &ForeignConfig, key: &str, found: i64) -> Result<(), String> {
    match config.integer(key).filter(|said| *said != found) {
        None => Ok(()),
        Some(said) => Err(format!("the codebook has {found} codes, the configuration says {key} = {said}")),
    }
}

/// The widths of the levels, fine first, in units of `ch`; `levels`: what their names begin with.
///
/// # Errors
/// When there are no levels, or too many, or a width is no multiple.
pub fn factors(shapes: &Shapes, levels: &str, ch: i64) -> Result<Vec<i64>, String> {
    let count = shapes.count(&format!("{levels}.#."));
    if !(1..=MOST_LEVELS).contains(&count) {
        return Err(format!("there are {count} levels `{levels}`; models have 1 to {MOST_LEVELS}"));
    }
    let factor = |level: usize| {
        let width = shapes.length(&format!("{levels}.{level}.block.0.conv1.weight"), 0)?;
        match width % ch {
            0 => Ok(width / ch),
            _ => Err(format!("level {level} of `{levels}` has {width} channels, which is no multiple of {ch}")),
        }
    };
    (0..count).map(factor).collect()
}
