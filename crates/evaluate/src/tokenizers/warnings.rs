//! Metrics that are missing, and reasons why metrics are not comparable.

use vqkit_fidelity::{Features, warnings};
use vqkit_pretrained::Cache;

use crate::{
    error::{EvaluateError, Result},
    tokenizers::{measures::TokenizerMeasures, protocol::ComparisonProtocol},
};

/// The warnings of a comparison.
///
/// # Errors
/// When the folder of downloaded weights is not known.
pub fn of(protocol: &ComparisonProtocol, tokenizers: &[TokenizerMeasures], features: Features) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    warnings.extend(of_preparations(tokenizers));
    warnings.extend(of_counts(tokenizers));
    warnings.extend(of_codes(tokenizers));
    warnings.extend(of_sets(tokenizers));
    let cache = || Ok::<_, EvaluateError>(Cache::user()?.folder);
    if protocol.features.is_none() {
        warnings.push(format!(
            "rFID is left out: Inception's weights are neither given (`weights`) nor in {}; for small colour images, the \
             features vgg-cifar10 need no weights (`features`)",
            cache()?.display()
        ));
    } else if tokenizers.iter().any(|measures| measures.set_distance.is_none()) {
        warnings.push(format!(
            "{features} compares sets of at least two colour images, and classifiers take none that are too small: \
                               the other tokenizers have no distance"
        ));
    }
    if protocol.lpips.is_none() {
        warnings.push(format!(
            "LPIPS is left out: the weights vgg16 and lpips-vgg are neither given (`lpips`) nor in {}",
            cache()?.display()
        ));
    }
    Ok(warnings)
}

fn of_preparations(tokenizers: &[TokenizerMeasures]) -> Option<String> {
    let first = tokenizers.first()?.preparation;
    tokenizers.iter().any(|measures| measures.preparation != first).then(|| {
        let each = tokenizers.iter().map(|measures| format!("{} {}", measures.name, measures.preparation));
        format!(
            "the tokenizers got the images differently ({}): metrics are comparable only between those that got them alike, and only \
             among these is the best value marked; give one `size` for all to compare tokenizers of colour images directly",
            each.collect::<Vec<_>>().join(", ")
        )
    })
}

fn of_counts(tokenizers: &[TokenizerMeasures]) -> Option<String> {
    let counts = tokenizers.iter().map(|measures| measures.images);
    let (least, most) = (counts.clone().min()?, counts.max()?);
    let differ =
        || format!("the tokenizers were measured on {least} to {most} images, because some skip what they cannot read");
    let skipped = tokenizers.iter().map(|measures| measures.skipped).max()?;
    let alike = || format!("{skipped} images could not be read and were left out");
    if least != most { Some(differ()) } else { (skipped > 0).then(alike) }
}

/// Codebooks with fewer tokens than codes cannot be used up.
fn of_codes(tokenizers: &[TokenizerMeasures]) -> Vec<String> {
    let few = |measures: &TokenizerMeasures| {
        let codebooks = measures.levels.iter().flat_map(|level| &level.codebooks);
        let few =
            codebooks.filter(|codebook| codebook.counted < codebook.codes).max_by_key(|codebook| codebook.codes)?;
        let (name, counted, codes) = (&measures.name, few.counted, few.codes);
        Some(format!("{name}: {counted} tokens are too few to show how {codes} codes are used; give more images"))
    };
    tokenizers.iter().filter_map(few).collect()
}

fn of_sets(tokenizers: &[TokenizerMeasures]) -> Vec<String> {
    let distances = || tokenizers.iter().filter_map(|measures| measures.set_distance.as_ref());
    let Some(least) = distances().min_by_key(|set| set.images) else { return Vec::new() };
    let mut warnings: Vec<String> = warnings::of_few("images", least.images).into_iter().collect();
    let largest = distances().filter_map(|set| set.bias_to_expect).max_by(f64::total_cmp);
    warnings.extend(largest.map(|bias| warnings::of_bias(&least.metric, bias)));
    if least.features == Features::Inception {
        warnings.push("fid is that of reconstructions (rFID): do not compare it with that of samples (gFID)".into());
    }
    warnings
}
