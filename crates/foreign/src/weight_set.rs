//! The sets of weights in a checkpoint: which there are, what they were wrapped in, and which one is taken.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use crate::file::{ForeignFile, ForeignTensor};

/// Keys under which files keep a state, in the order in which one is preferred, with what wrote them.
const PLACES: [(&str, &str); 8] = [
    ("state_dict", "a checkpoint of PyTorch Lightning"),
    ("ema", "a training file"),
    ("model_ema", "a training file"),
    ("model", "a dict with the entry `model`"),
    ("module", "a checkpoint of DeepSpeed"),
    ("model_state_dict", "a training file"),
    ("generator", "a training file"),
    ("net", "a training file"),
];

/// Prefixes that wrappers put in front of every name.
const WRAPPERS: [(&str, &str); 3] =
    [("module.", "DistributedDataParallel"), ("_orig_mod.", "torch.compile"), ("_fsdp_wrapped_module.", "FSDP")];

/// Prefix of the averaged weights inside a state of latent-diffusion and SEED-Voken, whose names have no dots.
const AVERAGED: &str = "model_ema.";

/// What stands among the averaged copies and is none.
const COUNTERS: [&str; 2] = ["decay", "num_updates"];

/// Which of a checkpoint's weights to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Weights {
    /// The averaged ones.
    Ema,
    /// Those of the optimizer.
    Model,
}

impl std::str::FromStr for Weights {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "ema" => Ok(Self::Ema),
            "model" => Ok(Self::Model),
            _ => Err(format!("`{text}` is neither `ema`, the averaged weights, nor `model`, those of the optimizer")),
        }
    }
}

impl fmt::Display for Weights {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str(match self {
            Self::Ema => "ema",
            Self::Model => "model",
        })
    }
}

/// Tensors by their names in a state dict.
#[derive(Debug, Clone)]
pub struct WeightSet<'f> {
    /// The keys in front of the names, joined by dots; empty where the file is the state itself.
    pub place: String,
    /// What the file or a wrapper put around the state, for messages.
    pub wrapping: Vec<String>,
    /// Whether these are averaged weights.
    pub weights: Weights,
    /// The tensors.
    pub tensors: BTreeMap<String, &'f ForeignTensor>,
    /// Averaged copies that stand among these names; they belong to another set.
    pub averaged: usize,
}

impl<'f> WeightSet<'f> {
    /// The shape of a tensor.
    pub fn shape(&self, name: &str) -> Option<&'f [i64]> {
        self.tensors.get(name).map(|tensor| tensor.shape.as_slice())
    }

    /// Whether there is a tensor of this name.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Whether a name begins so.
    pub fn has_below(&self, prefix: &str) -> bool {
        self.tensors.range(prefix.to_owned()..).next().is_some_and(|(name, _)| name.starts_with(prefix))
    }

    /// How many numbers follow each other from 0 in place of `#` of a prefix such as `encoder.down.#.`.
    pub fn count(&self, pattern: &str) -> usize {
        (0..self.tensors.len()).take_while(|number| self.has_below(&pattern.replace('#', &number.to_string()))).count()
    }

    /// The tensors whose names begin with `prefix`, without it.
    pub fn below(&self, prefix: &str) -> Self {
        let inside =
            self.tensors.iter().filter_map(|(name, tensor)| Some((name.strip_prefix(prefix)?.to_owned(), *tensor)));
        Self { tensors: inside.collect(), ..self.clone() }
    }

    /// How the file was wrapped, in words.
    pub fn describe(&self) -> String {
        if self.wrapping.is_empty() { "a plain state dict".into() } else { self.wrapping.join(", ") }
    }
}

/// The sets of weights of a checkpoint, the preferred one first, and all tensors that belong to none.
#[derive(Debug)]
pub struct WeightSets<'f> {
    /// States, by preference.
    pub sets: Vec<WeightSet<'f>>,
    /// Number of tensors under every other key: `optimizer`, `discriminator`, `callbacks`.
    pub others: BTreeMap<String, usize>,
    file: &'f ForeignFile,
}

impl<'f> WeightSets<'f> {
    /// Sorts the tensors of a file.
    pub fn of(file: &'f ForeignFile) -> Self {
        let mut groups: BTreeMap<Vec<String>, BTreeMap<String, &ForeignTensor>> = BTreeMap::new();
        for tensor in file.tensors() {
            let Some((name, keys)) = tensor.keys.split_last() else { continue };
            groups.entry(keys.to_vec()).or_default().insert(name.clone(), tensor);
        }
        let mut sets = Vec::new();
        let mut others = BTreeMap::new();
        for (keys, tensors) in groups {
            match rank(&keys) {
                Some(rank) => sets.push((rank, WeightSet::new(&keys, tensors))),
                None => *others.entry(keys[0].clone()).or_default() += tensors.len(),
            }
        }
        sets.sort_by_key(|(rank, _)| *rank);
        let sets = sets.into_iter().flat_map(|(_, set)| set.split()).collect();
        Self { sets, others, file }
    }

    /// The set to take: the first of the requested kind, without a request the averaged weights; where there is none of that
    /// kind, the first.
    pub fn preferred(&self, wanted: Option<Weights>) -> Option<&WeightSet<'f>> {
        let wanted = wanted.unwrap_or(Weights::Ema);
        self.sets.iter().find(|set| set.weights == wanted).or(self.sets.first())
    }

    /// The tensors of a dict that is no state of the model, such as `discriminator`.
    pub fn beside(&self, key: &str) -> BTreeMap<String, &'f ForeignTensor> {
        let inside = |tensor: &'f ForeignTensor| match tensor.keys.as_slice() {
            [first, name] if first == key => Some((name.clone(), tensor)),
            _ => None,
        };
        self.file.tensors().iter().filter_map(inside).collect()
    }
}

impl<'f> WeightSet<'f> {
    fn new(keys: &[String], tensors: BTreeMap<String, &'f ForeignTensor>) -> Self {
        let known = PLACES.iter().find(|(place, _)| keys.last().is_some_and(|key| key == place));
        let mut wrapping: Vec<String> = known.map(|(_, wrote)| (*wrote).to_owned()).into_iter().collect();
        if keys.first().is_some_and(|key| key == "trainer") {
            wrapping.push("a training file of VAR".into());
        }
        let is_average = keys.last().is_some_and(|key| key == "ema" || key == "model_ema" || key == "gpt_ema_fsdp");
        let weights = if is_average { Weights::Ema } else { Weights::Model };
        let mut set = Self { place: keys.join("."), wrapping, weights, tensors, averaged: 0 };
        while let Some((prefix, wrapper)) = WRAPPERS.iter().find(|(prefix, _)| set.all_below(prefix)) {
            set = set.below(prefix);
            set.wrapping.push((*wrapper).to_owned());
        }
        set
    }

    /// Whether every name begins so, and there is one.
    fn all_below(&self, prefix: &str) -> bool {
        !self.tensors.is_empty() && self.tensors.keys().all(|name| name.starts_with(prefix))
    }

    /// A state that holds averaged copies of its tensors under names without dots, as two sets. A copy of a tensor that is not
    /// there stays among the averaged ones under its own name, so that nobody overlooks it.
    fn split(mut self) -> Vec<Self> {
        let is_copy = |name: &String| name.starts_with(AVERAGED) && !COUNTERS.contains(&&name[AVERAGED.len()..]);
        let (mut copies, raw): (BTreeMap<_, _>, BTreeMap<_, _>) =
            self.tensors.clone().into_iter().partition(|(name, _)| is_copy(name));
        let raw: BTreeMap<_, _> = raw.into_iter().filter(|(name, _)| !name.starts_with(AVERAGED)).collect();
        // The names cannot be split at dots that are gone, so they are made forwards from all that are known.
        let mut tensors = BTreeMap::new();
        let mut averaged = 0;
        for (name, own) in &raw {
            let copy = copies.remove(&format!("{AVERAGED}{}", name.replace('.', "")));
            averaged += usize::from(copy.is_some());
            tensors.insert(name.clone(), copy.unwrap_or(own));
        }
        if averaged == 0 {
            return vec![self];
        }
        tensors.extend(copies);
        (self.tensors, self.averaged) = (raw, averaged);
        let mut wrapping = self.wrapping.clone();
        wrapping.push(format!("averaged weights under `{AVERAGED}`, whose names have no dots"));
        let average = Self { weights: Weights::Ema, tensors, wrapping, ..self.clone() };
        vec![average, self]
    }
}

/// How much a dict is preferred as the state of the model; `None` for what is no state.
fn rank(keys: &[String]) -> Option<usize> {
    match keys {
        [] => Some(PLACES.len()),
        [key] => PLACES.iter().position(|(place, _)| key == place),
        // VAR and Infinity keep several networks below one key.
        [first, _] if first == "trainer" => Some(PLACES.len() + 1),
        _ => None,
    }
}
