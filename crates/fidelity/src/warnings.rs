//! Warnings for readers who compare metrics of sets with others.

use serde_json::Value;

use crate::{extractor::Features, image_set::Origin, set_metrics::MANY, set_metrics::MetricValues, side::Side};

/// Warnings about the real and the generated images.
pub fn of([real, fake]: [&Side; 2], metrics: &MetricValues, features: Features) -> Vec<String> {
    let name = features.metric_name("frechet_distance");
    let mut warnings = Vec::new();
    for (what, side) in [("real", real), ("generated", fake)] {
        warnings.extend(match side.origin() {
            None => Some(format!(
                "the statistics of the {what} images do not say how they were made: make sure that resize, weights and images are the same"
            )),
            Some(origin) => of_few(&format!("{what} images"), origin.pictures),
        });
    }
    if let Some(bias) = metrics.get(&features.metric_name("frechet_bias_to_expect")).and_then(Value::as_f64) {
        warnings.push(of_bias(&name, bias));
    }
    if let (Some(real), Some(fake)) = (real.origin(), fake.origin()) {
        warnings.extend(of_files(real, fake));
        // Of other networks, the size is a matter of their protocol.
        warnings.extend(of_sizes(real, fake).filter(|_| features != Features::Inception));
    }
    if let (Some(real), Some(fake)) = (&real.set, &fake.set)
        && fake.is_named_after(real)
    {
        warnings.push(format!(
            "every generated image has the name of a real one: if they are reconstructions, this is the {name} of a tokenizer (rFID); \
             do not compare it with that of samples (gFID)"
        ));
    }
    warnings
}

/// A warning where a set has few images; `what` are the images.
pub fn of_few(what: &str, count: usize) -> Option<String> {
    (count < MANY).then(|| format!("{count} {what} are few: published results use {MANY} to 50000"))
}

/// A warning about the bias of a Fréchet distance, which has this name, between sets of few images.
pub fn of_bias(name: &str, bias: f64) -> String {
    format!("with so few images, expect {name} to be about {bias:.3} too large")
}

fn of_files(real: &Origin, fake: &Origin) -> Vec<String> {
    let list = |origin: &Origin| origin.encodings.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
    let mut warnings = Vec::new();
    if real.encodings != fake.encodings {
        let (real, fake) = (list(real), list(fake));
        warnings.push(format!(
            "the real images are {real}, the generated ones {fake}: JPEG artefacts count as a difference"
        ));
    }
    if real.fingerprint == fake.fingerprint {
        warnings.push("both sets hold the same files".into());
    }
    warnings
}

fn of_sizes(real: &Origin, fake: &Origin) -> Option<String> {
    let shown = |[smallest, largest]: [[u32; 2]; 2]| match smallest == largest {
        true => size(smallest),
        false => format!("{} to {}", size(smallest), size(largest)),
    };
    let (real, fake) = real.sizes.zip(fake.sizes).filter(|(real, fake)| real != fake)?;
    let (real, fake) = (shown(real), shown(fake));
    Some(format!("the real images have {real} pixels, the generated ones {fake}: resize them alike before comparing"))
}

fn size([height, width]: [u32; 2]) -> String {
    format!("{width}x{height}")
}
