//! Stage `features`: a small classifier is trained on labelled images, for its features.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use tch::{Device, Kind, Reduction, Tensor, no_grad};
use vqkit_data::Dataset;
use vqkit_losses::{FrozenVgg, SmallVgg};
use vqkit_models::classifier;
use vqkit_pretrained::hub;
use vqkit_recipe::{Recipe, stage_names};
use vqkit_run::{Context, Output, Run, RunError, checkpoint_weights};
use vqkit_tokens::loaders;
use vqkit_torch::weights;

use crate::{error::Result, train_state::TrainState, trainer, trainer::Goal, trainer::Trainer};

/// The frozen network, inside the stage's folder.
const BACKBONE: &str = "backbone.safetensors";

/// Trains the classifier of `recipe`, or continues from the run's last checkpoint; then writes the frozen network.
///
/// # Errors
/// When data or files cannot be read or written, the loss is not finite, or the user interrupts.
pub fn train(run: &mut Run, data: &Dataset, context: &Context) -> Result<Output> {
    let recipe = &Arc::clone(run.recipe());
    tch::manual_seed(recipe.head.seed as i64);
    let features = recipe.features()?;
    let (mut vs, network) = classifier::build(recipe, data, context)?;
    if let Some(checkpoint) = &features.network.from
        && trainer::is_new(run, stage_names::FEATURES, &features.train)?
    {
        checkpoint_weights::load_for_use(&hub::local_path(checkpoint, &context.observer)?, &mut vs)?;
    }
    let kind = context.kind(recipe.head.precision);
    let state = TrainState::new(vs, &features.train, kind)?;
    let mut trainer = Trainer::begin(run, stage_names::FEATURES, &features.train, state, None, context)?;
    let mut loader = loaders::training(recipe, data, features.train.batch_size, trainer.samples())?;
    trainer.settle(|trainer| Ok(Some((measure(trainer, &network, recipe, data, context)?, Goal::Maximize))))?;

    while !trainer.is_done() {
        let batch = loaders::next(&mut loader)?;
        let images = shifted(&context.images(&batch)?, features.network.shift);
        let images = erased(images, features.network.cutout);
        let classes = Tensor::f_from_slice(&batch.classes)?.to_device(context.device);
        let logits = context.autocast(kind, || network.logits(&images, true)).to_kind(Kind::Float);
        let smoothing = features.network.label_smoothing;
        let loss = logits.f_cross_entropy_loss(&classes, None::<Tensor>, Reduction::Mean, -100, smoothing)?;
        let loss = trainer.descend("cross_entropy", [Ok((loss, 1.0))], batch.position)?;
        trainer.average()?;

        if trainer.logs_now() {
            let (loss, accuracy) = (loss.double_value(&[]), percent_right(&logits, &classes));
            let metrics = vec![("loss".into(), loss), ("accuracy_percent".into(), accuracy)];
            trainer.log(metrics, &format!("loss {loss:.3}  {accuracy:.0} % right"))?;
        }
        let accuracy = trainer.measure_if_due(|trainer| measure(trainer, &network, recipe, data, context))?;
        trainer.end_step(accuracy.map(|accuracy| (accuracy, Goal::Maximize)))?;
    }
    loaders::report_bad(run, stage_names::FEATURES, &loader)?;
    let checkpoint = trainer.finish()?;
    let path = run.folder(stage_names::FEATURES).join(BACKBONE);
    freeze(&path, &checkpoint, recipe, data, context)?;
    let bytes = std::fs::read(&path).map_err(|source| RunError::io("read", &path, source))?;
    Ok(Output { path: run.relative(&path), fingerprint: blake3::hash(&bytes).to_hex().to_string() })
}

/// Every image of `[B, C, H, W]` shifted by up to `most` pixels in each direction, with its edges mirrored outward.
fn shifted(images: &Tensor, most: i64) -> Tensor {
    if most == 0 {
        return images.shallow_clone();
    }
    let (batch, _, height, width) = images.size4().unwrap_or_default();
    let padded = images.reflection_pad2d([most; 4]);
    // Uses the random generator of the images' device, which checkpoints save.
    let offsets = Tensor::randint(2 * most + 1, [batch, 2], (Kind::Int64, images.device())).to_device(Device::Cpu);
    let cut = |index: i64| {
        let at = |axis| offsets.int64_value(&[index, axis]);
        padded.get(index).narrow(1, at(0), height).narrow(2, at(1), width)
    };
    let rows = (0..batch).map(|index| cut(index).permute([1, 2, 0]));
    Tensor::stack(&rows.collect::<Vec<_>>(), 0).permute([0, 3, 1, 2])
}

/// Every image of `[B, C, H, W]` with a grey square of this side, clipped at the image's edges.
fn erased(images: Tensor, side: i64) -> Tensor {
    if side == 0 {
        return images;
    }
    let (batch, _, height, width) = images.size4().unwrap_or_default();
    let centres = Tensor::rand([batch, 2], (Kind::Float, images.device())).to_device(Device::Cpu);
    for index in 0..batch {
        let span = |axis: i64, length: i64| {
            let start = (centres.double_value(&[index, axis]) * length as f64) as i64 - side / 2;
            (start.max(0), (start + side).min(length) - start.max(0))
        };
        let ((top, rows), (left, columns)) = (span(0, height), span(1, width));
        let _ = images.get(index).narrow(1, top, rows).narrow(2, left, columns).zero_();
    }
    images
}

fn percent_right(logits: &Tensor, classes: &Tensor) -> f64 {
    100.0 * logits.argmax(-1, false).eq_tensor(classes).to_kind(Kind::Float).mean(Kind::Double).double_value(&[])
}

/// Validation accuracy in percent, with the averaged weights.
fn measure(
    trainer: &mut Trainer,
    network: &SmallVgg,
    recipe: &Recipe,
    data: &Dataset,
    context: &Context,
) -> Result<f64> {
    let wanted = recipe.features()?.train.validate_samples;
    let accuracy =
        trainer.with_average(|| accuracy(recipe, data, wanted, context, |x| Ok(network.logits(x, false))))?;
    trainer
        .log(vec![("validation_accuracy_percent".into(), accuracy)], &format!("validation accuracy {accuracy:.2} %"))?;
    Ok(accuracy)
}

/// Accuracy in percent on the first `wanted` validation images.
fn accuracy(
    recipe: &Recipe,
    data: &Dataset,
    wanted: usize,
    context: &Context,
    logits: impl Fn(&Tensor) -> Result<Tensor>,
) -> Result<f64> {
    let (mut right, mut seen) = (0.0, 0.0);
    for batch in loaders::validation(recipe, data, wanted, context)? {
        let batch = batch?;
        let classes = Tensor::f_from_slice(&batch.classes)?.to_device(context.device);
        let images = context.images(&batch)?;
        right += percent_right(&no_grad(|| logits(&images))?, &classes) * batch.classes.len() as f64;
        seen += batch.classes.len() as f64;
    }
    Ok(right / seen)
}

/// Writes the trained network for inference, in bf16, with a description and its accuracy in the metadata.
fn freeze(path: &Path, checkpoint: &Path, recipe: &Recipe, data: &Dataset, context: &Context) -> Result<()> {
    let (mut vs, network) = classifier::build(recipe, data, context)?;
    checkpoint_weights::load_for_use(checkpoint, &mut vs)?;
    let halved = |(name, tensor): (String, Tensor)| (name, tensor.to_device(Device::Cpu).to_kind(Kind::BFloat16));
    let tensors: BTreeMap<String, Tensor> = network.freeze().tensors().into_iter().map(halved).collect();
    let frozen = FrozenVgg::from_tensors(&tensors, context.device)?;
    let logits = |images: &Tensor| Ok(frozen.classify(&frozen.pooled(images)?));
    let accuracy = accuracy(recipe, data, data.validation.len(), context, logits)?;
    let metadata = [
        ("kind", "small-vgg".to_owned()),
        ("recipe", recipe.head.name.clone()),
        ("image_size", recipe.data.image_size.to_string()),
        ("classes", data.train.class_names().join(",")),
        ("validation_images", data.validation.len().to_string()),
        ("validation_accuracy_percent", format!("{accuracy:.2}")),
    ];
    let metadata = metadata.map(|(key, value)| (key.to_owned(), value)).into();
    weights::save(path, &tensors, &metadata)?;
    let images = data.validation.len();
    context.note(stage_names::FEATURES, format_args!("accuracy {accuracy:.2} % on {images} validation images"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shift_moves_whole_images_and_mirrors_their_edges() {
        // So many images that some are shifted, whatever the random numbers.
        let images = Tensor::arange(320, (Kind::Float, Device::Cpu)).view([20, 1, 4, 4]);
        let moved = shifted(&images, 2);
        assert_eq!(moved.size(), images.size());
        assert_ne!(moved, images);
        let padded = images.reflection_pad2d([2; 4]);
        let mut found = 0;
        for index in 0..20 {
            for (y, x) in (0..5).flat_map(|y| (0..5).map(move |x| (y, x))) {
                let cut = padded.get(index).narrow(1, y, 4).narrow(2, x, 4);
                found += i32::from(cut == moved.get(index));
            }
        }
        assert!(found >= 20, "every image is one of the possible cuts");
        assert_eq!(shifted(&images, 0), images);
    }

    #[test]
    fn a_square_of_every_image_is_grey() {
        let erased = erased(Tensor::ones([20, 3, 9, 9], (Kind::Float, Device::Cpu)), 4);
        for image in erased.split(1, 0) {
            let grey = image.eq(0.0).sum(Kind::Int64).int64_value(&[]);
            assert!((3 * 4..=3 * 16).contains(&grey) && grey % 3 == 0, "{grey}");
        }
    }
}
