//! The spellings in which the weights of LPIPS go about.

use std::collections::BTreeMap;

use tch::Tensor;

use super::lpips::{SCALE, SHIFT, channels};
use super::vgg16::{CHANNELS, layout};
use crate::LossError;

type State = BTreeMap<String, Tensor>;

/// What stands before the names where LPIPS is part of something larger: nothing, or as in taming's checkpoints.
const PREFIXES: [&str; 3] = ["", "loss.perceptual_loss.", "perceptual_loss."];

const TRUNK_FILE: &str = "torchvision's vgg16 (IMAGENET1K_V1), and with whole state dicts of lpips' LPIPS(net=\"vgg\")";
const HEADS_FILE: &str = "lpips (weights/v0.1/vgg.pth)";

/// The state dict of [`Lpips`](super::Lpips), picked out of one of these, each perhaps among other tensors:
///
/// - lpips' own (`net.slice1.0.weight`, `lin0.model.1.weight`, …);
/// - the same below `loss.perceptual_loss.` or `perceptual_loss.`, as in taming-transformers' checkpoints of VQGANs;
/// - torchvision's vgg16 (`features.0.weight`, …) together with lpips' heads.
///
/// The constants of the scaling layer are put in where they are missing, as they are in lpips' file of heads. Shapes are
/// left to the loader, `vqkit_torch::weights::assign`.
///
/// ```
/// use std::collections::BTreeMap;
/// use vqkit_losses::lpips_state;
///
/// let message = lpips_state(BTreeMap::new()).unwrap_err().to_string();
/// assert!(message.starts_with("26 of the 26 tensors of LPIPS' VGG16 are missing, such as `net.slice1.0.bias`"));
/// ```
///
/// # Errors
/// [`LossError::Missing`] naming how many tensors are missing, one of them, and the file that would hold them.
pub fn lpips_state(mut from: State) -> Result<State, LossError> {
    let mut state = take("LPIPS' VGG16", TRUNK_FILE, &trunk(), &mut from)?;
    state.extend(take("LPIPS' linear heads", HEADS_FILE, &heads(), &mut from)?);
    for (name, values) in [("scaling_layer.shift", SHIFT), ("scaling_layer.scale", SCALE)] {
        let recorded = find(&[name.to_owned()], &mut from);
        state.insert(name.to_owned(), recorded.unwrap_or_else(|| channels(&values)));
    }
    Ok(state)
}

/// The names of the trunk's tensors: lpips', then torchvision's.
fn trunk() -> Vec<[String; 2]> {
    let slices = layout().into_iter().enumerate();
    let places = slices.flat_map(|(slice, places)| places.into_iter().map(move |place| (slice + 1, place)));
    let names = places.flat_map(|(slice, place)| {
        ["bias", "weight"].map(|kind| [format!("net.slice{slice}.{place}.{kind}"), format!("features.{place}.{kind}")])
    });
    names.collect()
}

/// The names of the heads: as attributes, then as members of the list that newer versions of lpips have beside them.
fn heads() -> Vec<[String; 2]> {
    let names = |k| [format!("lin{k}.model.1.weight"), format!("lins.{k}.model.1.weight")];
    (0..CHANNELS.len()).map(names).collect()
}

/// The tensors of one part, by the first spelling of their names.
fn take(
    part: &'static str,
    source_file: &'static str,
    names: &[[String; 2]],
    from: &mut State,
) -> Result<State, LossError> {
    let (mut found, mut missing) = (State::new(), Vec::new());
    for spellings in names {
        match find(spellings, from) {
            Some(tensor) => _ = found.insert(spellings[0].clone(), tensor),
            None => missing.push(spellings.join("` or `")),
        }
    }
    match missing.first() {
        None => Ok(found),
        Some(example) => Err(LossError::Missing {
            count: missing.len(),
            of: names.len(),
            part,
            example: example.clone(),
            source_file,
        }),
    }
}

fn find(spellings: &[String], from: &mut State) -> Option<Tensor> {
    PREFIXES.iter().find_map(|prefix| spellings.iter().find_map(|name| from.remove(&format!("{prefix}{name}"))))
}

#[cfg(test)]
mod tests {
    use tch::{Device, nn};
    use vqkit_torch::weights;

    use super::*;
    use crate::Lpips;

    fn own() -> State {
        let vs = nn::VarStore::new(Device::Cpu);
        let _ = Lpips::new(&vs.root());
        weights::tensors(&vs)
    }

    fn renamed(rename: impl Fn(&str) -> String) -> State {
        own().into_iter().map(|(name, tensor)| (rename(&name), tensor)).collect()
    }

    fn torchvision(name: &str) -> String {
        match name.strip_prefix("net.slice").and_then(|name| name.split_once('.')) {
            Some((_, place)) => format!("features.{place}"),
            None => name.to_owned(),
        }
    }

    #[test]
    fn all_spellings_give_what_the_network_asks_for() {
        let mut merged = renamed(torchvision);
        merged.retain(|name, _| !name.starts_with("scaling_layer"));
        merged.insert("classifier.0.weight".to_owned(), Tensor::from(0.0));
        let spellings = [
            own(),
            merged,
            renamed(|name| format!("loss.perceptual_loss.{name}")),
            renamed(|name| format!("perceptual_loss.{name}")),
            renamed(|name| name.strip_prefix("lin").map_or(name.to_owned(), |rest| format!("lins.{rest}"))),
        ];
        for spelling in spellings {
            let mut vs = nn::VarStore::new(Device::Cpu);
            let _ = Lpips::new(&vs.root());
            weights::assign(&lpips_state(spelling).unwrap(), &mut vs).unwrap();
        }
    }

    #[test]
    fn what_is_missing_is_named_with_its_file() {
        let refuse = |state: State| lpips_state(state).unwrap_err().to_string();
        let mut trunk_only = renamed(torchvision);
        trunk_only.retain(|name, _| name.starts_with("features"));
        let message = "5 of the 5 tensors of LPIPS' linear heads are missing, such as `lin0.model.1.weight` or \
                       `lins.0.model.1.weight`: they come with lpips (weights/v0.1/vgg.pth)";
        assert_eq!(refuse(trunk_only), message);
        let mut damaged = own();
        damaged.remove("net.slice5.28.bias");
        let message = refuse(damaged);
        assert!(
            message.starts_with("1 of the 26 tensors of LPIPS' VGG16 are missing, such as `net.slice5.28.bias` or")
        );
        assert!(message.contains("torchvision's vgg16"), "{message}");
    }
}
