//! What files of weights have around and beside the names that a tokenizer expects: prefixes, and other kinds of floats.

use std::collections::{BTreeMap, BTreeSet};

use tch::Tensor;
use vqkit_run::Tensors;

/// A state whose names fit, and the prefix that stood in front of them.
pub struct Unprefixed {
    /// The tensors below the prefix, without it.
    pub state: Tensors,
    /// The tensors beside the prefix.
    pub beside: Tensors,
    /// The prefix, with its last dot; empty where there was none.
    pub prefix: String,
}

/// The tensors of the part of `state` that has the most of the `wanted` names: all of it, or what lies below a prefix such as
/// `module.`, `model.`, `first_stage_model.` or `ema.`. Of parts with as many, averaged weights (`ema`) come first, as they do where
/// such files are published.
pub fn unprefixed(state: Tensors, wanted: &BTreeSet<&str>) -> Unprefixed {
    let mut found: BTreeMap<&str, usize> = BTreeMap::new();
    for name in state.keys() {
        let ends = name.match_indices('.').map(|(dot, _)| dot + 1);
        for end in std::iter::once(0).chain(ends).filter(|end| wanted.contains(&name[*end..])) {
            *found.entry(&name[..end]).or_default() += 1;
        }
    }
    let order =
        |(prefix, count): &(&&str, &usize)| (**count, prefix.is_empty(), is_average(prefix), usize::MAX - prefix.len());
    let prefix = found.iter().max_by_key(order).map_or(String::new(), |(prefix, _)| (*prefix).to_owned());
    let (below, beside): (Tensors, Tensors) = state.into_iter().partition(|(name, _)| name.starts_with(&prefix));
    let strip = |(name, value): (String, Tensor)| (name[prefix.len()..].to_owned(), value);
    Unprefixed { state: below.into_iter().map(strip).collect(), beside, prefix }
}

/// Whether a prefix names averaged weights.
fn is_average(prefix: &str) -> bool {
    prefix.split('.').any(|part| matches!(part, "ema" | "model_ema" | "ema_model"))
}

/// Floats of any kind as the kind that `wanted` has: half of a file's precision is lost already, and the other half is zeros.
pub fn converted(state: Tensors, wanted: &BTreeMap<String, Tensor>) -> Tensors {
    let convert = |(name, value): (String, Tensor)| {
        let wanted = wanted.get(&name).filter(|wanted| wanted.is_floating_point() && value.is_floating_point());
        let value = wanted.map_or_else(|| value.shallow_clone(), |wanted| value.to_kind(wanted.kind()));
        (name, value)
    };
    state.into_iter().map(convert).collect()
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;

    const WANTED: [&str; 3] = ["encoder.conv.weight", "encoder.conv.bias", "codebook"];

    fn of(prefixes: &[&str], more: &[&str]) -> Unprefixed {
        let names = prefixes.iter().flat_map(|prefix| WANTED.map(|name| format!("{prefix}{name}")));
        let names = names.chain(more.iter().map(|name| (*name).to_owned()));
        let state = names.zip(0..).map(|(name, value)| (name, Tensor::from(value))).collect();
        unprefixed(state, &BTreeSet::from(WANTED))
    }

    #[test]
    fn every_prefix_in_front_of_all_names_is_found() {
        for prefix in ["", "module.", "_orig_mod.", "first_stage_model.", "model_state_dict.", "model.module."] {
            let found = of(&[prefix], &["optimizer.step"]);
            assert_eq!(found.prefix, prefix);
            assert!(WANTED.iter().all(|name| found.state.contains_key(*name)), "{prefix}");
        }
    }

    #[test]
    fn averaged_weights_come_before_others_and_plain_names_before_all() {
        let found = of(&["model.", "ema."], &[]);
        assert_eq!((found.prefix.as_str(), found.state.len()), ("ema.", 3));
        assert_eq!(of(&["", "ema."], &[]).prefix, "");
    }

    #[test]
    fn the_part_with_the_most_wanted_names_is_taken() {
        let found = of(&["model."], &["other.codebook", "nothing"]);
        assert_eq!((found.prefix.as_str(), found.state.len()), ("model.", 3));
        assert_eq!(of(&[], &["a", "b.c"]).prefix, "");
    }

    #[test]
    fn floats_become_the_kind_that_is_wanted_and_indices_stay() {
        let wanted = BTreeMap::from([("a".to_owned(), Tensor::from(1.0f32)), ("b".to_owned(), Tensor::from(1.0f32))]);
        let half = Tensor::from(0.5f32).to_kind(Kind::Half);
        let state = Tensors::from([("a".to_owned(), half), ("b".to_owned(), Tensor::from(3i64))]);
        let kinds: Vec<Kind> = converted(state, &wanted).values().map(Tensor::kind).collect();
        assert_eq!(kinds, [Kind::Float, Kind::Int64]);
    }
}
