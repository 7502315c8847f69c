//! The second stage of taming-transformers: a GPT over the tokens of a VQGAN, under a class, coordinates or the tokens of a
//! second VQGAN.
//!
//! Source: CompVis/taming-transformers, `taming/models/cond_transformer.py` (`Net2NetTransformer`),
//! `taming/modules/transformer/mingpt.py` (`GPT`).

use toml::Table;

use super::{taming, vqgan};
use crate::family::Family;
use crate::section::table;
use crate::{
    config_file::ForeignConfig,
    reading::{Change, Conditions, Divided, Needs, Network, Part, Reading, Shapes, Source, Use},
};

const TRANSFORMER: &str = "transformer.";
const FIRST_STAGE: &str = "first_stage_model.";
const CONDITION_STAGE: &str = "cond_stage_model.";
const PERMUTER: &str = "permuter.";

/// Width of a head in the published models.
const USUAL_HEAD: i64 = 64;

/// Upstream's permuters and our orders.
const ORDERS: [(&str, &str); 7] = [
    ("Identity", "raster"),
    ("AlternateParsing", "alternate"),
    ("ZCurve", "z-curve"),
    ("SpiralOut", "spiral-out"),
    ("SpiralIn", "spiral-in"),
    ("Subsample", "subsample"),
    ("Random", "random"),
];

/// Why a file by itself does not do.
const NO_CONFIG: &str =
    "no weights say what the transformer is conditioned on and how it attends: give the YAML file that belongs to it";

/// `Net2NetTransformer`.
pub struct Net2Net;

impl Family for Net2Net {
    fn classes(&self) -> &'static [&'static str] {
        &["Net2NetTransformer"]
    }

    fn name(&self) -> &'static str {
        "taming-net2net"
    }

    fn title(&self) -> &'static str {
        "Net2Net transformer of taming-transformers"
    }

    fn matches(&self, source: &Source) -> bool {
        let set = source.set;
        set.has("transformer.tok_emb.weight") && set.has_below(FIRST_STAGE)
    }

    fn read<'f>(&self, source: &Source<'_, 'f>) -> Result<Option<Reading<'f>>, String> {
        if source.config.find("transformer_config").is_none() {
            return Err(NO_CONFIG.into());
        }
        if let Some(size) = source.config.integer("downsample_cond_size").filter(|size| *size > -1) {
            return Err(format!(
                "it shrinks its condition to {size} pixels (downsample_cond_size), which vqkit does not"
            ));
        }
        let mut reading = Reading::default();
        let first = source.config.section("first_stage_config");
        let network = stage(source, FIRST_STAGE, &first, Part::Tokenizer, &mut reading)?;
        let tokenizer = network.needs.clone();
        reading.networks.push(network);
        let stage_config = source.config.section("cond_stage_config");
        let has_template = source.set.has_below(CONDITION_STAGE);
        if has_template {
            let network = stage(source, CONDITION_STAGE, &stage_config, Part::Template, &mut reading)?;
            reading.networks.push(network);
        }
        let condition = condition(source, has_template, &tokenizer)?;
        let prior = transformer(source, condition, &mut reading)?;
        reading.networks.push(prior);
        Ok(Some(reading))
    }
}

/// One of the two tokenizers inside.
fn stage<'f>(
    source: &Source<'_, 'f>,
    prefix: &str,
    config: &ForeignConfig,
    part: Part,
    reading: &mut Reading<'f>,
) -> Result<Network<'f>, String> {
    let set = source.set.below(prefix);
    let inside = Source { set: &set, discriminator: Default::default(), config, values: source.values };
    let mut own = Reading::default();
    let network = taming::network(&inside, part, &mut own).map_err(|reason| format!("{prefix} {reason}"))?;
    let full = |name: String| format!("{prefix}{name}");
    reading.left_over.extend(own.left_over.into_iter().map(|(name, reason)| (full(name), reason)));
    reading.inferred.extend(own.inferred);
    reading.quirks.extend(own.quirks.into_iter().filter(|quirk| !reading.quirks.contains(quirk)).collect::<Vec<_>>());
    Ok(network.under(prefix))
}

/// What the transformer is conditioned on, which only the configuration says, unless there is a second tokenizer.
fn condition(source: &Source, has_template: bool, tokenizer: &Needs) -> Result<Conditions, String> {
    if source.config.flag("unconditional") == Some(true) {
        return Ok(Conditions::default());
    }
    if has_template {
        return Ok(Conditions { template: true, ..Conditions::default() });
    }
    let stage = source.config.section("cond_stage_config");
    let unconditional = source.config.text("cond_stage_config") == Some("__is_unconditional__");
    match stage.class() {
        _ if unconditional => Ok(Conditions::default()),
        Some("SOSProvider") => Ok(Conditions::default()),
        Some("Labelator") => {
            let classes = stage.integer("n_classes");
            let classes = classes.ok_or("the configuration of its Labelator does not say n_classes")?;
            Ok(Conditions { classes: Some(classes), ..Conditions::default() })
        }
        Some("CoordStage") => {
            let (levels, factor) = (stage.integer("n_embed"), stage.integer("down_factor"));
            if factor != tokenizer.downsampling {
                return Err(format!(
                    "its coordinates have a down_factor of {factor:?}, its tokenizer one of {:?}; vqkit takes the tokenizer's",
                    tokenizer.downsampling
                ));
            }
            let levels = levels.ok_or("the configuration of its CoordStage does not say n_embed")?;
            Ok(Conditions { coordinates: Some(levels), ..Conditions::default() })
        }
        Some(other) => Err(format!("its condition stage `{other}` is not known")),
        None => {
            Err("no weights say what the transformer is conditioned on: give the YAML file that belongs to it".into())
        }
    }
}

fn transformer<'f>(
    source: &Source<'_, 'f>,
    condition: Conditions,
    reading: &mut Reading<'f>,
) -> Result<Network<'f>, String> {
    let set = source.set.below(TRANSFORMER);
    let mask = |name: &str| name.ends_with("attn.mask").then_some("a causal mask, which is computed anew");
    let Divided { mut uses, left_over } = Divided::of(&set, |name| Some((name.to_owned(), Change::None)), mask);
    let full = |(name, reason): (String, &'static str)| (format!("{TRANSFORMER}{name}"), reason);
    reading.left_over.extend(left_over.into_iter().map(full));
    let shapes = Shapes::of(&uses);
    let config = source.config.section("transformer_config");
    let mut section = sizes(&shapes, &config, &mut reading.inferred)?;
    section.insert("order".into(), order(source, reading)?.into());
    if let Some(pkeep) = source.config.number("pkeep") {
        section.insert("pkeep".into(), pkeep.into());
    }
    let (start, rows) = (source.config.integer("sos_token").unwrap_or(0), shapes.length("tok_emb.weight", 0)?);
    if !(0..rows).contains(&start) {
        return Err(format!("its sos_token is {start}, and there are {rows} tokens"));
    }
    if condition == Conditions::default() && start != 0 {
        // Our start has a row of its own; upstream's is that of a token.
        let tokens = uses.iter().find(|one| one.ours == "tok_emb.weight").cloned();
        uses.extend(tokens.map(|tokens| Use { ours: "class_emb.weight".into(), change: Change::Row(start), ..tokens }));
        reading
            .quirks
            .push(format!("sequences start with the embedding of token {start}, of which there is a copy now"));
    } else {
        section.insert("vocabulary".into(), "shared".into());
        reading
            .quirks
            .push("the indices of the condition have the embeddings of the image tokens with the same indices".into());
    }
    let needs = Needs { condition, ..Needs::default() };
    let network = Network { part: Part::Prior, section, needs, uses, discriminator: None };
    Ok(network.under(TRANSFORMER))
}

fn sizes(shapes: &Shapes, config: &ForeignConfig, inferred: &mut Vec<String>) -> Result<Table, String> {
    let n_embd = shapes.length("tok_emb.weight", 1)?;
    let n_head = config.integer("n_head").unwrap_or_else(|| {
        let heads = (n_embd / USUAL_HEAD).max(1);
        inferred.push(format!("{heads} heads of {USUAL_HEAD} channels, as in the published transformers"));
        heads
    });
    let n_layer = shapes.count("blocks.#.") as i64;
    vqgan::check(config, "n_layer", n_layer)?;
    vqgan::check(config, "n_embd", n_embd)?;
    let mut section = table([
        ("type", "gpt2".into()),
        ("n_layer", n_layer.into()),
        ("n_head", n_head.into()),
        ("n_embd", n_embd.into()),
        ("block_size", shapes.length("pos_emb", 1)?.into()),
    ]);
    for key in ["embd_pdrop", "resid_pdrop", "attn_pdrop"] {
        if let Some(rate) = config.number(key).filter(|rate| *rate > 0.0) {
            section.insert(key.into(), rate.into());
        }
    }
    if let Some(count) = config.integer("n_unmasked").filter(|count| *count > 0) {
        section.insert("n_unmasked".into(), count.into());
    }
    Ok(section)
}

/// The order of the tokens, which the permuter's class tells.
fn order(source: &Source, reading: &mut Reading) -> Result<&'static str, String> {
    let buffers: Vec<&String> = source.set.tensors.keys().filter(|name| name.starts_with(PERMUTER)).collect();
    let reason = "the order of the tokens, which is computed anew";
    reading.left_over.extend(buffers.iter().map(|name| ((*name).clone(), reason)));
    let permuter = source.config.section("permuter_config");
    match permuter.class() {
        Some(class) => {
            let known = ORDERS.iter().find(|(theirs, _)| *theirs == class);
            known.map(|(_, ours)| *ours).ok_or_else(|| format!("its permuter `{class}` is not known"))
        }
        None if buffers.is_empty() => Ok("raster"),
        None => {
            Err("it has a permuter, which the configuration does not name: give the YAML file that belongs to it"
                .into())
        }
    }
}
