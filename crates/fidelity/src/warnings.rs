//! What a reader should know before comparing figures of sets with others.

use serde_json::Value;

use crate::{extractor::Features, image_set::Origin, set_metrics::MANY, set_metrics::MetricValues, side::Side};

/// Of the real side and the generated one.
pub fn of([real, fake]: [&Side; 2], figures: &MetricValues, features: Features) -> Vec<String> {
    let name = features.figure("frechet_distance");
    let mut warnings = Vec::new();
    for (what, side) in [("real", real), ("generated", fake)] {
        warnings.extend(match side.origin() {
            None => Some(format!(
                "the statistics of the {what} pictures do not say how they were made: whether resize, weights and pictures are the same is \
                 for you to know"
            )),
            Some(origin) if origin.pictures < MANY => {
                Some(format!("{} {what} pictures are few: published figures take {MANY} to 50000", origin.pictures))
            }
            Some(_) => None,
        });
    }
    if let Some(bias) = figures.get(&features.figure("frechet_bias_to_expect")).and_then(Value::as_f64) {
        warnings.push(format!("for so few pictures expect {name} to be too large by about {bias:.3}"));
    }
    if let (Some(real), Some(fake)) = (real.origin(), fake.origin()) {
        warnings.extend(of_files(real, fake));
    }
    if let (Some(real), Some(fake)) = (&real.set, &fake.set)
        && fake.is_named_after(real)
    {
        warnings.push(format!(
            "every generated picture has the name of a real one: if they are reconstructions, this {name} is that of a tokenizer \
             (rFID), never to be compared with that of samples (gFID)"
        ));
    }
    warnings
}

fn of_files(real: &Origin, fake: &Origin) -> Vec<String> {
    let list = |origin: &Origin| origin.encodings.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
    let mut warnings = Vec::new();
    if real.encodings != fake.encodings {
        let (real, fake) = (list(real), list(fake));
        warnings.push(format!(
            "the real pictures are {real}, the generated {fake}: what JPEG leaves behind counts as a difference"
        ));
    }
    if real.fingerprint == fake.fingerprint {
        warnings.push("both sets hold the same files".into());
    }
    warnings
}
