//! Fine-tuning: training that starts from the weights of a trained tokenizer.

use std::path::{Path, PathBuf};

use tch::{Tensor, nn::VarStore};
use vqkit_foreign::Part;
use vqkit_interop::{NetworkWeights, network_weights};
use vqkit_pretrained::hub;
use vqkit_recipe::{Finetune, FinetunedPart, InitFrom, InvalidRequest, Modality};
use vqkit_run::{Context, DISCRIMINATOR, Run, RunError, Tensors, checkpoint_weights};
use vqkit_torch::{
    TorchError, lora,
    weights::{self, Mismatch},
};
use vqkit_vqvae::Tokenizer;

use crate::{
    adapters::{self, Part as Role},
    error::Result,
    error::TrainError,
    tokenizer::foreign::{self, Unprefixed},
};

/// Prefix of the discriminator's names in checkpoints of taming-transformers.
const THEIR_DISCRIMINATOR: &str = "loss.discriminator.";

/// The counter of PyTorch's batch normalisation, which only a cumulative average reads.
const COUNTER: &str = "num_batches_tracked";

/// State of our quantizers and of LeCam that other implementations do not keep.
const OURS_ALONE: [&str; 4] = ["age", "initted", "ema_real", "ema_fake"];

/// Averages of which a codebook that is trained by gradient has none.
const AVERAGES: [&str; 2] = ["cluster_size", "embed_avg"];

/// Loads another tokenizer's weights into `vs`, the variables of `tokenizer`, and, if the recipe has `discriminator =
/// "restored"`, those of its discriminator into `discriminator`. A file that holds a quantizer alone gives the codes.
///
/// Notes what was read out of a file of another project, or the prefix that stood in front of all names.
///
/// # Errors
/// When there is no such file, or its weights do not fit.
pub fn begin(
    config: &Finetune,
    modality: Modality,
    vs: &mut VarStore,
    tokenizer: &Tokenizer,
    discriminator: Option<&mut VarStore>,
    context: &Context,
) -> Result<()> {
    let path = hub::local_path(&config.from, &context.observer)?;
    if path.is_file()
        && let Some(quantizer) = network_weights(&path, Part::Quantizer)?
    {
        return begin_with_codes(config, modality, quantizer, vs, tokenizer, context);
    }
    let source = Source::open(&path, modality, vs)?;
    assign(&config.from, source.tokenizer, vs)?;
    if let (InitFrom::Restored, Some(discriminator)) = (config.discriminator, discriminator) {
        if source.discriminator.is_empty() {
            return Err(no_discriminator(&config.from));
        }
        assign(&config.from, source.discriminator, discriminator)?;
    }
    if let Some(described) = source.described {
        context.note(modality.stage(), format_args!("the weights of {} are {described}", config.from.display()));
    }
    Ok(())
}

/// Loads the codes of a quantizer that stands alone in its file; everything else keeps its random weights.
fn begin_with_codes(
    config: &Finetune,
    modality: Modality,
    quantizer: NetworkWeights,
    vs: &mut VarStore,
    tokenizer: &Tokenizer,
    context: &Context,
) -> Result<()> {
    let [part] = tokenizer.quantizer_parts() else {
        let reason = "holds one quantizer alone, and the tokenizer has one for each of its levels";
        return Err(RunError::artifact(&config.from, reason).into());
    };
    if config.train != FinetunedPart::All || config.discriminator == InitFrom::Restored {
        let message = "a file with a quantizer alone has no encoder and no discriminator to keep: use train = \"all\" and \
                       discriminator = \"fresh\"";
        return Err(InvalidRequest::key(section(modality), message).into());
    }
    let variables = weights::tensors(vs);
    let is_needed = |name: &String| {
        let last = name.rsplit('.').next().unwrap_or(name);
        variables.contains_key(name) || !AVERAGES.contains(&last)
    };
    let codes = quantizer.network.into_iter().map(|(name, value)| (format!("{part}.{name}"), value));
    let mut state: Tensors = codes.filter(|(name, _)| is_needed(name)).collect();
    let prefix = format!("{part}.");
    state.extend(variables.iter().filter(|(name, _)| !name.starts_with(&prefix)).map(|(n, v)| (n.clone(), v.copy())));
    assign(&config.from, state, vs)?;
    let described = format_args!(
        "the codes of {} are {}; encoder and decoder begin at random",
        config.from.display(),
        quantizer.description
    );
    context.note(modality.stage(), described);
    Ok(())
}

/// Checks what can be checked without reading weights: that there is a run, a checkpoint or a file, that it has a
/// discriminator where one is restored, that the shapes of a run's weights fit, and that low-rank updates have layers.
///
/// # Errors
/// As [`begin`] and [`freeze`].
pub fn check(
    config: &Finetune,
    modality: Modality,
    vs: &VarStore,
    tokenizer: &Tokenizer,
    context: &Context,
) -> Result<()> {
    if let Some(lora) = &config.lora {
        let variables = weights::trainable(vs);
        let variables = variables.iter().map(|(name, value)| (name.as_str(), value.dim()));
        adapters::check(lora, &section(modality), variables, |name| part_of(config, tokenizer, name))?;
    }
    let from = hub::local_path(&config.from, &context.observer)?;
    if from.is_file() {
        return Ok(());
    }
    let checkpoint = checkpoint_of(&from, modality)?;
    if config.discriminator == InitFrom::Restored && !checkpoint.join(DISCRIMINATOR).is_file() {
        return Err(no_discriminator(&config.from));
    }
    let mut found = weights::shapes(&checkpoint_weights::weights_for_use(&checkpoint))?;
    let mut wanted = weights::tensors(vs);
    found.retain(|name, _| !is_optional(name));
    wanted.retain(|name, _| !is_optional(name));
    let source = config.from.display().to_string();
    Ok(Mismatch::check_shapes(&source, &wanted, &found).map_err(TorchError::from)?)
}

/// State that a file may lack, or have in addition.
fn is_optional(name: &str) -> bool {
    is_ours(name) || name.ends_with(COUNTER)
}

fn is_ours(name: &str) -> bool {
    name.rsplit('.').next().is_some_and(|last| OURS_ALONE.contains(&last))
}

fn assign(from: &Path, state: Tensors, vs: &mut VarStore) -> Result<()> {
    let variables = weights::tensors(vs);
    let state = foreign::converted(completed(state, vs), &variables);
    Mismatch::check(&from.display().to_string(), &variables, &state).map_err(TorchError::from)?;
    Ok(weights::assign(&state, vs)?)
}

/// Freezes the variables that are not trained, and makes the low-rank updates of those that have one.
///
/// # Errors
/// When the recipe's targets match no layer of the trained part.
pub fn freeze(
    config: &Finetune,
    modality: Modality,
    vs: &VarStore,
    tokenizer: &Tokenizer,
) -> Result<Option<lora::Lora>> {
    let part = |name: &str| part_of(config, tokenizer, name);
    if let Some(lora) = &config.lora {
        return Ok(Some(adapters::adapt(lora, &section(modality), vs, part)?));
    }
    for (_, variable) in weights::trainable(vs).into_iter().filter(|(name, _)| part(name) == Role::Frozen) {
        let _ = variable.set_requires_grad(false);
    }
    Ok(None)
}

/// What becomes of a variable: quantizers are trained whole, if at all.
fn part_of(config: &Finetune, tokenizer: &Tokenizer, name: &str) -> Role {
    let first = name.split('.').next().unwrap_or(name);
    let decodes = tokenizer.decoder_parts().contains(&first);
    let quantizes = tokenizer.quantizer_parts().iter().any(|part| part == first);
    match config.train {
        FinetunedPart::All | FinetunedPart::DecoderAndCodebook if quantizes => Role::Whole,
        FinetunedPart::All => Role::Adapted,
        _ if decodes => Role::Adapted,
        _ => Role::Frozen,
    }
}

fn section(modality: Modality) -> String {
    format!("{}.finetune", modality.stage())
}

fn no_discriminator(from: &Path) -> TrainError {
    let reason = "holds no discriminator to restore: use discriminator = \"fresh\", with discriminator_warmup_steps to train it \
                  before the tokenizer is trained against it";
    RunError::artifact(from, reason).into()
}

/// The tokenizer in a checkpoint of another project, under our names; `None` where its family is not known. One of templates may
/// stand alone in its file, as one of images does.
fn of_another_project(path: &Path, modality: Modality) -> Result<Option<NetworkWeights>> {
    let of_templates = match modality {
        Modality::Image => None,
        Modality::Template => network_weights(path, Part::Template)?,
    };
    Ok(of_templates.map_or_else(|| network_weights(path, Part::Tokenizer), |found| Ok(Some(found)))?)
}

/// The weights of tokenizer and discriminator.
struct Source {
    tokenizer: Tensors,
    discriminator: Tensors,
    /// Which weights of a file these are, where it holds more or has other names.
    described: Option<String>,
}

impl Source {
    /// `tokenizer`: the variables whose names tell which part of a file is meant.
    fn open(path: &Path, modality: Modality, tokenizer: &VarStore) -> Result<Self> {
        if path.is_file()
            && let Some(NetworkWeights { network, discriminator, description }) = of_another_project(path, modality)?
        {
            return Ok(Self { tokenizer: network, discriminator, described: Some(description) });
        }
        if path.is_file() {
            let variables = weights::tensors(tokenizer);
            let wanted = variables.keys().map(String::as_str).collect();
            return Ok(Self::of_file(foreign::unprefixed(weights::read_any(path)?, &wanted)));
        }
        let checkpoint = checkpoint_of(path, modality)?;
        let discriminator = checkpoint.join(DISCRIMINATOR);
        Ok(Self {
            tokenizer: weights::read(&checkpoint_weights::weights_for_use(&checkpoint))?,
            discriminator: if discriminator.is_file() { weights::read(&discriminator)? } else { Tensors::new() },
            described: None,
        })
    }

    /// Splits a checkpoint of taming-transformers: names with `loss.` do not belong to the tokenizer.
    fn of_file(Unprefixed { state, beside, prefix }: Unprefixed) -> Self {
        let (losses, tokenizer): (Tensors, Tensors) =
            state.into_iter().partition(|(name, _)| name.starts_with("loss."));
        let strip = |(name, value): (String, Tensor)| Some((name.strip_prefix(THEIR_DISCRIMINATOR)?.to_owned(), value));
        let described = (!prefix.is_empty()).then(|| format!("those below `{prefix}`"));
        Self { tokenizer, discriminator: beside.into_iter().chain(losses).filter_map(strip).collect(), described }
    }
}

/// `path` itself, if it is a checkpoint, or the checkpoint of the run at `path`.
fn checkpoint_of(path: &Path, modality: Modality) -> Result<PathBuf> {
    if checkpoint_weights::weights_for_use(path).is_file() {
        return Ok(path.to_owned());
    }
    if !path.exists() {
        let (path, name) = (path.display(), modality.stage());
        let message = format!("there is no {path}; give a run, a checkpoint or a file of weights");
        return Err(InvalidRequest::key(format!("{name}.finetune.from"), message).into());
    }
    let run = Run::open(path)?;
    Ok(path.join(&run.require(modality.stage())?.path))
}

/// The state with exactly those of our own buffers that `vs` has; where the state lacks one, its value in `vs`. A
/// codebook that was loaded counts as initialized.
fn completed(mut state: Tensors, vs: &VarStore) -> Tensors {
    let variables = weights::tensors(vs);
    state.retain(|name, _| !is_optional(name) || variables.contains_key(name));
    for (name, variable) in variables.into_iter().filter(|(name, _)| is_ours(name)) {
        let begun = name.ends_with("initted");
        state.entry(name).or_insert_with(|| if begun { variable.ones_like() } else { variable });
    }
    state
}
