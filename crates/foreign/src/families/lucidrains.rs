//! A quantizer of lucidrains/vector-quantize-pytorch, saved by itself.
//!
//! Source: `vector_quantize_pytorch/vector_quantize_pytorch.py` (`VectorQuantize`, `EuclideanCodebook`), `residual_vq.py`
//! (`ResidualVQ`), `sim_vq.py` (`SimVQ`). A quantizer alone has no encoder, so that it becomes no run; training can start from
//! its codes. Codebooks have an axis of heads in front there; heads with codes of their own are the groups of `product` here.

use std::collections::BTreeMap;

use toml::Table;

use crate::family::Family;
use crate::reading::{Change, Needs, Network, Part, Reading, Source, Use};
use crate::section::table;
use crate::weight_set::WeightSet;

/// `VectorQuantize`, `ResidualVQ`, `SimVQ`.
pub struct Quantizer;

/// A tensor of a codebook there, and the variable here.
const CODEBOOK: [(&str, &str); 3] =
    [("embed", "embedding.weight"), ("cluster_size", "cluster_size"), ("embed_avg", "embed_avg")];

/// Upstream's flag, which is set once the codes have their first values.
const STARTED: &str = "_codebook.initted";

/// The codes that `SimVQ` transforms.
const FROZEN: &str = "frozen_codebook";

impl Family for Quantizer {
    fn name(&self) -> &'static str {
        "lucidrains-vq"
    }

    fn title(&self) -> &'static str {
        "quantizer of lucidrains/vector-quantize-pytorch"
    }

    fn matches(&self, source: &Source) -> bool {
        let set = source.set;
        set.has("_codebook.embed") || set.has("layers.0._codebook.embed") || set.has(FROZEN)
    }

    fn read<'f>(&self, source: &Source<'_, 'f>) -> Result<Option<Reading<'f>>, String> {
        let set = source.set;
        let (section, uses) = match set.has(FROZEN) {
            true => sim_vq(set)?,
            false if set.has("_codebook.embed") => heads(set)?,
            false => levels(set)?,
        };
        let network = Network { part: Part::Quantizer, section, needs: Needs::default(), uses, discriminator: None };
        let flags = set.tensors.keys().filter(|name| name.ends_with(STARTED));
        let left_over = flags.map(|name| (name.clone(), "a flag, which is set wherever there are codes")).collect();
        let inferred = vec![
            "moving averages with the decay 0.99 and distances, not angles: the file does not say how the codes were trained"
                .to_owned(),
        ];
        let inferred = if set.has(FROZEN) { Vec::new() } else { inferred };
        Ok(Some(Reading { networks: vec![network], left_over, inferred, quirks: Vec::new() }))
    }
}

type Sized<'f> = (Table, Vec<Use<'f>>);

/// `VectorQuantize`: one codebook, or one for each head, with projections where latents are of another width.
fn heads<'f>(set: &WeightSet<'f>) -> Result<Sized<'f>, String> {
    let [heads, codes, width] = codebook(set, "_codebook.embed")?;
    let is_projected = set.has_below("project_in.");
    if heads == 1 && !is_projected {
        return Ok((moving_averages(codes), of_head(set, "", 0, "")));
    }
    let mut uses: Vec<_> = (0..heads).flat_map(|head| of_head(set, "", head, &format!("groups.{head}."))).collect();
    let projections = set.tensors.iter().filter(|(name, _)| name.starts_with("project_"));
    uses.extend(projections.map(|(name, tensor)| used(name.clone(), name, tensor, Change::None)));
    let mut section = table([("type", "product".into()), ("groups", heads.into())]);
    if is_projected {
        section.insert("codebook_dim".into(), width.into());
    }
    section.insert("quantizer".into(), moving_averages(codes).into());
    Ok((section, uses))
}

/// `ResidualVQ`: a codebook for each level.
fn levels<'f>(set: &WeightSet<'f>) -> Result<Sized<'f>, String> {
    if set.has_below("project_in.") {
        return Err("it projects latents to codes of another width, which vqkit's residual quantizer does not".into());
    }
    let of_level = |level: usize| format!("layers.{level}.");
    let count = (0..).take_while(|level| set.has_below(&of_level(*level))).count();
    let mut sizes = BTreeMap::new();
    for level in 0..count {
        let [heads, codes, _] = codebook(set, &format!("{}_codebook.embed", of_level(level)))?;
        if heads != 1 {
            return Err(format!("level {level} has {heads} heads; vqkit's levels have one"));
        }
        sizes.insert(codes, level);
    }
    let mut sizes = sizes.into_keys();
    let (Some(codes), None) = (sizes.next(), sizes.next()) else {
        return Err("its levels have codebooks of different sizes; vqkit's have one size".into());
    };
    let section = table([
        ("type", "residual".into()),
        ("num_quantizers", (count as i64).into()),
        ("quantizer", moving_averages(codes).into()),
    ]);
    let uses = (0..count).flat_map(|level| of_head(set, &of_level(level), 0, &of_level(level))).collect();
    Ok((section, uses))
}

/// `SimVQ`: frozen codes and one linear map.
fn sim_vq<'f>(set: &WeightSet<'f>) -> Result<Sized<'f>, String> {
    let Some([codes, width]) = set.shape(FROZEN) else {
        return Err(format!("`{FROZEN}` has the shape {:?}, not [codes, width]", set.shape(FROZEN)));
    };
    let section =
        table([("type", "simvq".into()), ("codebook_size", (*codes).into()), ("frozen_codebook_dim", (*width).into())]);
    // A transform in a sequence of modules has a number there.
    let named = |name: &str| name.replace("code_transform.0.", "code_transform.");
    let uses = set.tensors.iter().map(|(name, tensor)| used(named(name), name, tensor, Change::None)).collect();
    Ok((section, uses))
}

/// Heads, codes and width of a codebook.
fn codebook(set: &WeightSet, name: &str) -> Result<[i64; 3], String> {
    let shape = set.shape(name).ok_or_else(|| format!("there is no `{name}`, which tells the sizes"))?;
    <[i64; 3]>::try_from(shape).map_err(|_| format!("`{name}` has the shape {shape:?}, not [heads, codes, width]"))
}

/// The codebook below `theirs` of one head as the codebook below `ours`.
fn of_head<'f>(set: &WeightSet<'f>, theirs: &str, head: i64, ours: &str) -> Vec<Use<'f>> {
    let found = CODEBOOK.into_iter().filter_map(|(name, variable)| {
        let name = format!("{theirs}_codebook.{name}");
        let tensor = set.tensors.get(&name)?;
        Some(used(format!("{ours}{variable}"), &name, tensor, Change::Item(head)))
    });
    found.collect()
}

fn used<'f>(ours: String, theirs: &str, tensor: &'f crate::file::ForeignTensor, change: Change) -> Use<'f> {
    Use { ours, theirs: theirs.to_owned(), tensor, change }
}

fn moving_averages(codes: i64) -> Table {
    table([
        ("type", "ema".into()),
        ("codebook_size", codes.into()),
        ("decay", 0.99.into()),
        ("kmeans_init", false.into()),
    ])
}
