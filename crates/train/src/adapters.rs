//! Which weights of a network get low-rank updates.

use std::collections::BTreeSet;

use tch::nn::VarStore;
use vqkit_recipe::{InvalidRequest, Lora, LoraTarget};
use vqkit_torch::{lora, weights};

use crate::error::Result;

/// What becomes of a variable in fine-tuning with low-rank updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// It stays as it is.
    Frozen,
    /// It is trained as it is, without an update: codebooks and tables of conditions.
    Whole,
    /// It gets an update if the recipe names its kind; otherwise it stays as it is.
    Adapted,
}

/// The kind of layers that a weight belongs to, by its name and its number of axes; none: it gets no update.
///
/// Names are those of the original implementations: attention is `attn`, `attn_1`, `attention`, `causal_attention`; an
/// MLP is `mlp` or `feed_forward`; a kernel has four axes. Tables, norms and the layers that make logits have no kind.
pub fn kind_of(name: &str, axes: usize) -> Option<LoraTarget> {
    let (parents, last) = name.rsplit_once('.')?;
    let any = |is: fn(&str) -> bool| parents.split('.').any(is);
    match last {
        "weight" | "weight_v" if axes >= 2 => {}
        _ => return None,
    }
    if any(|part| part.starts_with("attn") || part.ends_with("attention")) {
        return Some(LoraTarget::Attention);
    }
    if any(|part| matches!(part, "mlp" | "feed_forward")) {
        return Some(LoraTarget::Mlp);
    }
    (axes == 4).then_some(LoraTarget::Convolutions)
}

/// Checks that the recipe's targets match a layer of the trained part; `variables`: names and numbers of axes; `section`:
/// the section around that of `lora`.
///
/// # Errors
/// [`InvalidRequest`] that names the kinds of layers that there are.
pub fn check<'v>(
    config: &Lora,
    section: &str,
    variables: impl IntoIterator<Item = (&'v str, usize)>,
    part: impl Fn(&str) -> Part,
) -> Result<()> {
    let adapted = variables.into_iter().filter(|(name, _)| part(name) == Part::Adapted);
    let kinds: BTreeSet<LoraTarget> = adapted.filter_map(|(name, axes)| kind_of(name, axes)).collect();
    if config.targets.iter().any(|target| kinds.contains(target)) {
        return Ok(());
    }
    let quoted = |kinds: &mut dyn Iterator<Item = LoraTarget>| {
        kinds.map(|kind| format!("\"{}\"", kind.name())).collect::<Vec<_>>().join(", ")
    };
    let found = match kinds.is_empty() {
        true => "none of any kind".to_owned(),
        false => quoted(&mut kinds.into_iter()),
    };
    let wanted = quoted(&mut config.targets.iter().copied());
    let reason = format!("{wanted} matches no layer of the trained part, which has {found}");
    Err(InvalidRequest::key(format!("{section}.lora.targets"), reason).into())
}

/// Makes the low-rank updates of a network, and freezes everything that is not trained.
///
/// # Errors
/// As [`check`]; when libtorch refuses.
pub fn adapt(config: &Lora, section: &str, vs: &VarStore, part: impl Fn(&str) -> Part) -> Result<lora::Lora> {
    let variables = weights::trainable(vs);
    check(config, section, variables.iter().map(|(name, value)| (name.as_str(), value.dim())), &part)?;
    let is_target = |name: &str, axes| kind_of(name, axes).is_some_and(|kind| config.targets.contains(&kind));
    let mut targets = Vec::new();
    for (name, variable) in variables {
        match part(&name) {
            Part::Whole => {}
            Part::Adapted if is_target(&name, variable.dim()) => targets.push((name, variable)),
            Part::Adapted | Part::Frozen => _ = variable.set_requires_grad(false),
        }
    }
    Ok(lora::Lora::new(targets, config.rank, config.scale())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_of_every_network_have_the_kind_that_their_names_say() {
        use LoraTarget::{Attention, Convolutions, Mlp};
        for (name, axes, kind) in [
            ("decoder.mid.attn_1.q.weight", 4, Some(Attention)),
            ("encoder.down.1.attn.0.proj_out.weight", 4, Some(Attention)),
            ("encoder.down.1.attn.0.norm.weight", 1, None),
            ("decoder.conv_in.weight", 4, Some(Convolutions)),
            ("decoder.conv_in.bias", 1, None),
            ("blocks.0.attn.query.weight", 2, Some(Attention)),
            ("blocks.0.mlp.0.weight", 2, Some(Mlp)),
            ("layers.11.attention.wqkv.weight", 2, Some(Attention)),
            ("layers.11.attention_norm.weight", 1, None),
            ("layers.11.feed_forward.w2.weight", 2, Some(Mlp)),
            ("tok_embeddings.weight", 2, None),
            ("output.weight", 2, None),
            ("head.weight", 2, None),
            ("pos_emb", 3, None),
            ("layers.0.vert_stack.weight", 4, Some(Convolutions)),
            ("blocks.0.causal_attention.query.weight_v", 2, Some(Attention)),
            ("blocks.0.resblocks.0.conv1.conv.weight_v", 4, Some(Convolutions)),
            ("blocks.0.resblocks.0.conv1.conv.weight_g", 4, None),
        ] {
            assert_eq!(kind_of(name, axes), kind, "{name}");
        }
    }
}
