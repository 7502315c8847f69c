//! The transformers of LlamaGen, by class or by text, whose names are ours.
//!
//! Source: FoundationVision/LlamaGen, `autoregressive/models/gpt.py` (`Transformer`, `GPT_models`).

use toml::{Table, Value};

use super::vqgan;
use crate::family::Family;
use crate::section::table;
use crate::{
    config_file::ForeignConfig,
    reading::{Change, Conditions, Divided, Needs, Network, Part, Reading, Shapes, Source},
};

/// Published sizes: blocks, width, heads.
const SIZES: [(i64, i64, i64); 5] = [(12, 768, 12), (24, 1024, 16), (36, 1280, 20), (48, 1536, 24), (24, 3200, 32)];

/// Width of a head where nothing tells the number of heads.
const USUAL_HEAD: i64 = 64;

/// More tokens on a side of an image than any model has.
const MOST_TOKENS: i64 = 1 << 12;

/// `Transformer`.
pub struct LlamaGenGpt;

impl Family for LlamaGenGpt {
    fn name(&self) -> &'static str {
        "llamagen-gpt"
    }

    fn title(&self) -> &'static str {
        "transformer of LlamaGen"
    }

    fn matches(&self, source: &Source) -> bool {
        let set = source.set;
        set.has("tok_embeddings.weight") && set.has("layers.0.attention.wqkv.weight") && set.has_below("cls_embedding.")
    }

    fn read<'f>(&self, source: &Source<'_, 'f>) -> Result<Option<Reading<'f>>, String> {
        let is_weight = |name: &str| {
            let parts = ["cls_embedding.", "tok_embeddings.", "layers.", "norm.", "output."];
            parts.iter().any(|part| name.starts_with(part)).then(|| (name.to_owned(), Change::None))
        };
        let Divided { uses, left_over } = Divided::of(source.set, is_weight, expected);
        let shapes = Shapes::of(&uses);
        let mut inferred = Vec::new();
        let mut section = blocks(&shapes, source.config, &mut inferred)?;
        let condition = condition(&shapes)?;
        section.insert("condition_dropout".into(), dropout(source.config));
        let tokens = source.config.integer("block_size").or_else(|| tokens_of(source.values));
        if tokens.is_none() {
            inferred.push(
                "the grid of tokens is that of the tokenizer's images; no weight tells it (LlamaGen's files of 384 pixels need that image \
                 size)"
                    .into(),
            );
        }
        let needs = Needs { tokens, condition, ..Needs::default() };
        Ok(Some(Reading {
            networks: vec![Network { part: Part::Prior, section, needs, uses, discriminator: None }],
            left_over,
            inferred,
            quirks: vec![
                "upstream's sampling scripts read the entry `model`, also where there are averaged weights".into(),
            ],
        }))
    }
}

/// The keys of `[[prior]]` that the shapes tell.
fn blocks(shapes: &Shapes, config: &ForeignConfig, inferred: &mut Vec<String>) -> Result<Table, String> {
    let n_layer = shapes.count("layers.#.") as i64;
    let dim = shapes.length("tok_embeddings.weight", 1)?;
    vqgan::check(config, "n_layer", n_layer)?;
    vqgan::check(config, "dim", dim)?;
    vqgan::check(config, "vocab_size", shapes.length("output.weight", 0)?)?;
    let published = SIZES.iter().find(|(layers, width, _)| (*layers, *width) == (n_layer, dim));
    if let (Some((_, _, heads)), Some(said)) = (published, config.integer("n_head"))
        && *heads != said
    {
        return Err(format!(
            "the published model of this size has {heads} heads, the configuration says n_head = {said}"
        ));
    }
    let n_head = config.integer("n_head").unwrap_or_else(|| {
        let heads = published.map_or((dim / USUAL_HEAD).max(1), |(_, _, heads)| *heads);
        let reason = if published.is_some() { "the published size" } else { "heads of 64 channels, as usual" };
        inferred.push(format!("{heads} heads: {reason}"));
        heads
    });
    if n_head < 1 || dim % n_head != 0 {
        return Err(format!("{n_head} heads do not share {dim} channels"));
    }
    let fused = shapes.length("layers.0.attention.wqkv.weight", 0)?;
    let kv_heads = (fused - dim) / 2 / (dim / n_head);
    let hidden = shapes.length("layers.0.feed_forward.w1.weight", 0)?;
    let mut section = table([
        ("type", "llama".into()),
        ("n_layer", n_layer.into()),
        ("n_head", n_head.into()),
        ("dim", dim.into()),
        ("multiple_of", multiple_of(dim, hidden)?.into()),
    ]);
    if kv_heads != n_head {
        section.insert("n_kv_head".into(), kv_heads.into());
    }
    for key in ["rope_base", "norm_eps"] {
        if let Some(value) = config.number(key) {
            section.insert(key.into(), value.into());
        }
    }
    Ok(section)
}

/// The multiple to which the hidden width was rounded up.
fn multiple_of(dim: i64, hidden: i64) -> Result<i64, String> {
    let plain = 8 * dim / 3;
    let rounds = |multiple: &i64| (plain + multiple - 1) / multiple * multiple == hidden;
    let multiples = std::iter::successors(Some(256i64), |multiple| (*multiple > 1).then_some(multiple / 2));
    multiples
        .into_iter()
        .find(rounds)
        .ok_or_else(|| format!("a hidden width of {hidden} does not follow from {dim} channels"))
}

fn condition(shapes: &Shapes) -> Result<Conditions, String> {
    if shapes.has("cls_embedding.embedding_table.weight") {
        let rows = shapes.length("cls_embedding.embedding_table.weight", 0)?;
        return Ok(Conditions { classes: Some(rows - 1), ..Conditions::default() });
    }
    let [length, dim] = [0, 1].map(|axis| shapes.length("cls_embedding.uncond_embedding", axis));
    Ok(Conditions { embedding: Some([length?, dim?]), ..Conditions::default() })
}

/// Upstream always has a null condition, the last row of the table or the null embedding.
fn dropout(config: &ForeignConfig) -> Value {
    let said = config.number("class_dropout_prob").filter(|share| *share > 0.0);
    said.unwrap_or(0.1).into()
}

/// The tokens of an image in the arguments of a training file.
fn tokens_of(arguments: &ForeignConfig) -> Option<i64> {
    let (size, factor) = (arguments.integer("image_size")?, arguments.integer("downsample_size")?);
    let side = size.checked_div(factor).filter(|side| (1..=MOST_TOKENS).contains(side))?;
    Some(side * side)
}

fn expected(name: &str) -> Option<&'static str> {
    let buffers = ["freqs_cis", "causal_mask", "kv_cache"];
    buffers.iter().any(|buffer| name.contains(buffer)).then_some("a buffer that is computed anew")
}
