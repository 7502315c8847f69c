//! What is known of a checkpoint, for people and as JSON.

use std::{collections::BTreeMap, fmt, path::Path};

use serde::Serialize;

use crate::{
    error::Result,
    examine::{self, Examined, Hints},
    file::{ForeignFile, ForeignTensor},
    reading::{Network, Part},
    weight_set::Weights,
};

/// The description of a checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Recognition {
    /// Short name of the family; `None` where it is not known.
    pub family: Option<&'static str>,
    /// What that is.
    pub title: Option<&'static str>,
    /// How the weights are wrapped.
    pub wrapping: String,
    /// Every set of weights: its place in the file, and whether these are averages.
    pub sets: Vec<(String, Weights)>,
    /// Which of them is preferred, and why.
    pub preferred: String,
    /// Number of tensors and of their values in that set.
    pub tensors: (usize, u64),
    /// Kinds of its values, with the number of tensors of each.
    pub kinds: BTreeMap<String, usize>,
    /// Steps of training, where the file says them.
    pub steps: Option<u64>,
    /// The configuration that was read beside it.
    pub config: Option<String>,
    /// The networks in it, with their sizes.
    pub networks: Vec<NetworkSummary>,
    /// What was concluded or assumed.
    pub inferred: Vec<String>,
    /// Where the original differs from what one expects.
    pub quirks: Vec<String>,
    /// What a training run would need and the file does not have.
    pub absent: Vec<&'static str>,
    /// Tensors that are not needed: how many for each reason.
    pub left_over: BTreeMap<String, usize>,
    /// Tensors under other keys of the file.
    pub others: BTreeMap<String, usize>,
    /// Tensors that nothing explains; the first few.
    pub unexplained: Vec<String>,
    /// What an import would do.
    pub import: String,
    /// Every tensor of the file, with kind and shape, where the family is not known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub all: Vec<(String, String, Vec<i64>)>,
}

/// A network in a checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NetworkSummary {
    /// Its place in a recipe.
    pub part: Part,
    /// Its section of a recipe.
    pub section: toml::Table,
    /// Number of its values.
    pub parameters: u64,
}

/// Unexplained names that are shown.
const SHOWN: usize = 12;

/// Why a quantizer becomes no run, and what it is good for.
pub const QUANTIZER_ALONE: &str =
    "a quantizer alone is no run; name the file in tokenizer.finetune.from, and training starts from its codes";

impl Recognition {
    /// Describes a file; reads names and shapes only.
    ///
    /// # Errors
    /// When it is no checkpoint, or is broken.
    pub fn of(path: &Path, hints: &Hints) -> Result<Self> {
        let file = ForeignFile::open(path)?;
        let mut found = Self::of_examined(&examine::examine(&file, hints)?);
        if found.family.is_none() {
            let line = |tensor: &ForeignTensor| (tensor.keys.join("."), tensor.kind_name(), tensor.shape.clone());
            found.all = file.tensors().iter().map(line).collect();
        }
        Ok(found)
    }

    /// Describes what was found in a file.
    pub fn of_examined(found: &Examined) -> Self {
        let reading = found.reading.as_ref().ok().and_then(Option::as_ref);
        let networks: Vec<_> = reading.map_or(Vec::new(), |reading| reading.networks.iter().map(summary).collect());
        let mut left_over = BTreeMap::new();
        for reason in reading.iter().flat_map(|reading| reading.left_over.values()) {
            *left_over.entry((*reason).to_owned()).or_default() += 1;
        }
        let mut kinds = BTreeMap::new();
        for tensor in found.set.tensors.values() {
            *kinds.entry(tensor.kind_name()).or_default() += 1;
        }
        let unexplained = found.unexplained();
        let tensors = (found.set.tensors.len(), found.set.tensors.values().map(|tensor| tensor.numel()).sum());
        Self {
            family: found.family.map(|family| family.name()),
            title: found.family.map(|family| family.title()),
            wrapping: found.set.describe(),
            sets: found.sets.clone(),
            preferred: preferred(found),
            tensors,
            kinds,
            steps: found.steps,
            config: found.config.path.as_ref().map(|path| path.display().to_string()),
            import: import(found, unexplained.len()),
            absent: absent(found, &networks),
            networks,
            inferred: reading.map_or(Vec::new(), |reading| reading.inferred.clone()),
            quirks: reading.map_or(Vec::new(), |reading| reading.quirks.clone()),
            left_over,
            others: found.others.clone(),
            unexplained: unexplained.into_iter().take(SHOWN).map(str::to_owned).collect(),
            all: Vec::new(),
        }
    }
}

fn summary(network: &Network) -> NetworkSummary {
    let parameters = network.uses.iter().map(|one| one.tensor.numel()).sum();
    NetworkSummary { part: network.part, section: network.section.clone(), parameters }
}

fn preferred(found: &Examined) -> String {
    let place =
        if found.set.place.is_empty() { "the file itself".to_owned() } else { format!("`{}`", found.set.place) };
    match (found.set.weights, found.sets.len()) {
        (Weights::Ema, 1) => format!("{place}, averaged weights"),
        (Weights::Ema, _) => format!("{place}, averaged weights: what published results are computed with"),
        (Weights::Model, 1) => format!("{place}, the only weights in it"),
        (Weights::Model, _) => format!("{place}, the weights of the optimizer"),
    }
}

fn absent(found: &Examined, networks: &[NetworkSummary]) -> Vec<&'static str> {
    let Ok(Some(reading)) = &found.reading else { return Vec::new() };
    let has_tokenizer = networks.iter().any(|network| network.part == Part::Tokenizer);
    let has_discriminator = reading.networks.iter().any(|network| network.discriminator.is_some());
    let has_optimizer = found.others.keys().any(|key| key.starts_with("optimizer"));
    let wanted =
        [(has_tokenizer && !has_discriminator, "a discriminator"), (!has_optimizer, "the state of the optimizer")];
    wanted.into_iter().filter(|(is_absent, _)| *is_absent).map(|(_, what)| what).collect()
}

fn import(found: &Examined, unexplained: usize) -> String {
    match (&found.reading, found.family) {
        (Err(reason), _) => format!("would fail: {reason}"),
        (_, None) => "would need its family, which the names do not tell".into(),
        (Ok(None), Some(_)) => {
            "is not possible: vqkit does not have this network yet, or it is no part of a run".into()
        }
        (Ok(Some(_)), _) if unexplained > 0 => {
            format!("would be refused, as {unexplained} tensors have no place in the networks, unless it is partial")
        }
        (Ok(Some(reading)), _) if reading.networks.iter().all(|network| network.part == Part::Quantizer) => {
            format!("is not possible: {QUANTIZER_ALONE}")
        }
        (Ok(Some(reading)), _) => {
            let parts: Vec<_> = reading.networks.iter().map(|network| part_name(network.part)).collect();
            let alone = parts.as_slice() == ["a prior"];
            let needs = if alone { ", together with the tokenizer that it belongs to" } else { "" };
            format!("makes a run with {}{needs}", parts.join(" and "))
        }
    }
}

/// A part of a run, for messages.
pub(crate) fn part_name(part: Part) -> &'static str {
    match part {
        Part::Tokenizer => "a tokenizer",
        Part::Template => "a tokenizer of templates",
        Part::Prior => "a prior",
        Part::Quantizer => "a quantizer",
    }
}

impl fmt::Display for Recognition {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match (self.title, self.family) {
            (Some(title), Some(family)) => writeln!(out, "{title} (`{family}`)")?,
            _ => writeln!(out, "a checkpoint of an unknown family")?,
        }
        writeln!(out, "  wrapped as    {}", self.wrapping)?;
        writeln!(out, "  weights       {}", self.preferred)?;
        let kinds: Vec<_> = self.kinds.iter().map(|(kind, count)| format!("{count} of {kind}")).collect();
        writeln!(out, "  holds         {} tensors, {} values ({})", self.tensors.0, self.tensors.1, kinds.join(", "))?;
        self.steps.map_or(Ok(()), |steps| writeln!(out, "  trained for   {steps} steps"))?;
        self.config.as_ref().map_or(Ok(()), |path| writeln!(out, "  configuration {path}"))?;
        for network in &self.networks {
            let what = part_name(network.part);
            writeln!(out, "  {what} of {} parameters", network.parameters)?;
            for (key, value) in &network.section {
                writeln!(out, "    {key} = {value}")?;
            }
        }
        list(out, "inferred", self.inferred.iter())?;
        list(out, "note", self.quirks.iter())?;
        list(out, "absent", self.absent.iter())?;
        let left_over: Vec<_> = self.left_over.iter().map(|(reason, count)| format!("{count}: {reason}")).collect();
        list(out, "not needed", left_over.iter())?;
        let others: Vec<_> = self.others.iter().map(|(key, count)| format!("{count} under `{key}`")).collect();
        list(out, "other tensors", others.iter())?;
        list(out, "unexplained", self.unexplained.iter())?;
        writeln!(out, "  an import     {}", self.import)?;
        self.all.iter().try_for_each(|(name, kind, shape)| writeln!(out, "{name:<48} {kind:<8} {shape:?}"))
    }
}

fn list<T: fmt::Display>(out: &mut fmt::Formatter, heading: &str, items: impl Iterator<Item = T>) -> fmt::Result {
    for item in items {
        writeln!(out, "  {heading:<13} {item}")?;
    }
    Ok(())
}
