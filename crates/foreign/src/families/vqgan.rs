//! The sizes of a VQGAN from the shapes of its variables under taming-transformers' names, which are ours.

use toml::{Table, Value};

use crate::{
    config_file::ForeignConfig,
    reading::{Needs, Shapes},
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
    let said = config.integer("resolution").or(config.integer("sample_size"));
    let resolution = said.filter(|side| side % downsampling == 0).unwrap_or_else(|| {
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
    let mut section = Table::new();
    let mut put = |key: &str, value: Value| {
        section.insert(key.into(), value);
    };
    put("type", "vqgan".into());
    put("ch", ch.into());
    put("ch_mult", ch_mult.clone().into());
    if decoder != ch_mult {
        put("decoder_ch_mult", decoder.into());
    }
    put("num_res_blocks", blocks.into());
    if decoder_attention != encoder {
        put("decoder_attn_resolutions", decoder_attention.into());
    }
    put("attn_resolutions", encoder.into());
    put("resolution", resolution.into());
    put("z_channels", z_channels.into());
    put("embed_dim", shapes.length("quant_conv.weight", 0)?.into());
    put("out_ch", shapes.length("decoder.conv_out.weight", 0)?.into());
    if let Some(dropout) = config.number("dropout").filter(|dropout| *dropout > 0.0) {
        put("dropout", dropout.into());
    }
    if levels > 1 && !shapes.has("encoder.down.0.downsample.conv.weight") {
        put("resamp_with_conv", false.into());
    }
    if !shapes.has("encoder.mid.attn_1.q.weight") {
        put("mid_attention", false.into());
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

/// The widths of the levels, fine first, in units of `ch`.
fn factors(shapes: &Shapes, levels: &str, ch: i64) -> Result<Vec<i64>, String> {
    let count = shapes.count(&format!("{levels}.#."));
    if count == 0 {
        return Err(format!("there are no levels `{levels}.0`"));
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
