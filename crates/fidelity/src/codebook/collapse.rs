//! Diagnosis of codebook collapse in training: the likely cause, and what to do about it.

use tch::{Kind, Tensor};
use vqkit_quantizer::{Assignment, CodebookHealth, Metric, QuantizerConfig};
use vqkit_recipe::Tokenizer;
use vqkit_vqvae::NormKind;

/// Latents whose spread is less than this share of the distance between codes are all assigned to a few codes.
const ALIKE: f64 = 0.5;
/// Latents whose spread is less than this share of their own length count as identical.
const ONE_SPOT: f64 = 1e-3;

/// The distribution of the latents of a batch.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Latents {
    /// Root mean square of their distances to their mean.
    spread: f64,
    /// Root mean square of their lengths.
    length: f64,
}

impl Latents {
    /// That of latents `[B, D, *S]`; waits for the device.
    fn of(latents: &Tensor) -> Self {
        tch::no_grad(|| {
            let rows = latents.detach().movedim_int(1, -1).flatten(0, -2).to_kind(Kind::Float);
            let width = rows.size()[1] as f64;
            let root = |rows: &Tensor| (rows.square().mean(Kind::Float).double_value(&[]) * width).sqrt();
            let centred = &rows - rows.mean_dim([0i64].as_slice(), true, Kind::Float);
            Self { spread: root(&centred), length: root(&rows) }
        })
    }
}

/// Why a codebook collapses, and what to do about it. `latents` `[B, D, *S]` of the last batch, where the codebook is the only
/// one of its level.
pub fn diagnosis(config: &Tokenizer, step: u64, health: &CodebookHealth, latents: Option<&Tensor>) -> String {
    let (section, quantizer) = innermost("tokenizer.quantizer".into(), &config.quantizer);
    let is_outermost = config.quantizer.inner().is_none();
    let are_compared = is_outermost && quantizer.metric() == Some(Metric::Euclidean);
    let latents = latents.filter(|_| are_compared).map(Latents::of);
    let latent_norm = config.network.latent_norm();
    CollapseSymptoms { section: &section, quantizer, latent_norm, step, health, latents }.diagnosis()
}

/// The section and the settings of the quantizer that keeps the codes: the inner one of a residual or product
/// quantizer.
fn innermost(section: String, quantizer: &QuantizerConfig) -> (String, &QuantizerConfig) {
    match quantizer.inner() {
        Some(inner) => innermost(section + ".quantizer", inner),
        None => (section, quantizer),
    }
}

/// What is known about a codebook that collapses.
#[derive(Debug)]
struct CollapseSymptoms<'a> {
    /// The name of the quantizer's section in the recipe.
    section: &'a str,
    /// That section.
    quantizer: &'a QuantizerConfig,
    /// Normalisation of the latents, where that is a choice.
    latent_norm: Option<NormKind>,
    /// Steps done.
    step: u64,
    /// The codebook.
    health: &'a CodebookHealth,
    /// The latents of the last batch, where they are what its codes are compared with.
    latents: Option<Latents>,
}

impl CollapseSymptoms<'_> {
    /// The first cause that fits the symptoms, and its remedy.
    fn diagnosis(&self) -> String {
        match self.quantizer.assignment() {
            Assignment::Logits => format!("the logits favour few codes: raise {}.kl_weight or temp_init", self.section),
            Assignment::Product => {
                format!("the products favour few codes: raise {}.entropy_weight", self.section)
            }
            Assignment::Rule => self.without_table(),
            Assignment::Nearest => self.of_latents().or_else(|| self.of_codes()).unwrap_or_else(|| self.of_settings()),
        }
    }

    fn without_table(&self) -> String {
        let has_entropy = self.quantizer.entropy_weight().is_some();
        let remedy = if has_entropy { format!("raise {}.entropy_weight, or ", self.section) } else { String::new() };
        format!("the codes are fixed, and the latents use only few of them: {remedy}use fewer levels or dimensions")
    }

    /// Cause: the encoder gives nearly the same latent at all positions.
    fn of_latents(&self) -> Option<String> {
        let Latents { spread, length } = self.latents?;
        let between = self.health.distances?.median;
        if spread >= ALIKE * between && spread >= ONE_SPOT * length {
            return None;
        }
        let remedy = match self.latent_norm {
            Some(NormKind::None) => "normalise them: tokenizer.latent_norm = \"batch\"",
            _ => "lower tokenizer.train.learning_rate, or the quantizer's commitment_weight",
        };
        Some(format!(
            "the encoder's latents are nearly identical: their spread is {spread:.3}, the distance between codes {between:.3}; {remedy}"
        ))
    }

    /// Cause: codes that no latent is nearest to, unused or duplicate ones.
    fn of_codes(&self) -> Option<String> {
        let distances = self.health.distances?;
        if distances.duplicates * 2 >= distances.measured {
            let (duplicates, measured) = (distances.duplicates, distances.measured);
            return Some(format!(
                "{duplicates} of {measured} measured codes are duplicates, as happens when a batch has fewer latents than there are codes: \
                 take fewer codes, or a larger batch"
            ));
        }
        let never =
            self.health.ages.filter(|ages| ages.median >= self.step as f64).map(|_| "most codes were never used");
        let unused = never.unwrap_or("codes that fall out of use stay unused");
        (self.quantizer.revive_after() == Some(0))
            .then(|| format!("{unused}, and revival is off: set {}.revive_after = 100", self.section))
    }

    fn of_settings(&self) -> String {
        let young = self.quantizer.revive_after().map(|after| 2 * after).filter(|until| self.step < *until);
        match (self.quantizer.kmeans_init() == Some(false), young) {
            (true, _) => {
                format!("the codes started at random values, not at latents: set {}.kmeans_init = true", self.section)
            }
            (false, Some(until)) => format!(
                "step {} is early: unused codes are moved to latents until about step {until}; if usage stays low, use fewer codes",
                self.step
            ),
            (false, None) => "no single cause found: use fewer codes, or lower tokenizer.train.learning_rate".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vqkit_quantizer::{
        CodeAges, CodeDistances, EmaVectorQuantizerConfig, FiniteScalarQuantizerConfig, GumbelQuantizerConfig,
        IndexBackpropagationQuantizerConfig, LookupFreeQuantizerConfig, ResidualQuantizerConfig, VectorQuantizerConfig,
    };

    const SOUND: CodeDistances =
        CodeDistances { measured: 100, smallest: 0.5, median: 1.0, largest: 2.0, median_norm: 5.0, duplicates: 0 };
    const WIDE: Latents = Latents { spread: 5.0, length: 5.0 };

    fn vq(kmeans_init: bool, revive_after: u64) -> QuantizerConfig {
        QuantizerConfig::Vq(VectorQuantizerConfig { kmeans_init, revive_after, ..VectorQuantizerConfig::new(100) })
    }

    fn ema(kmeans_init: bool, revive_after: u64) -> QuantizerConfig {
        QuantizerConfig::Ema(EmaVectorQuantizerConfig {
            kmeans_init,
            revive_after,
            ..EmaVectorQuantizerConfig::new(100)
        })
    }

    fn diagnosis(quantizer: &QuantizerConfig, distances: CodeDistances, latents: Latents, step: u64) -> String {
        let ages = Some(CodeAges { median: 1000.0, ninth_decile: 1000.0, oldest: 1000.0 });
        let health = CodebookHealth { size: 100, dim: 4, used: None, ages, distances: Some(distances) };
        let (section, quantizer) = innermost("tokenizer.quantizer".into(), quantizer);
        let (latents, latent_norm) = (Some(latents), Some(NormKind::None));
        CollapseSymptoms { section: &section, quantizer, latent_norm, step, health: &health, latents }.diagnosis()
    }

    #[track_caller]
    fn says(found: &str, wanted: &[&str]) {
        assert!(wanted.iter().all(|part| found.contains(part)), "{found}");
    }

    #[test]
    fn each_cause_is_told_with_its_remedy() {
        let on = &vq(true, 100);
        says(&diagnosis(on, SOUND, Latents { spread: 0.4, ..WIDE }, 5000), &["identical", "latent_norm = \"batch\""]);
        says(&diagnosis(on, CodeDistances { duplicates: 50, ..SOUND }, WIDE, 5000), &["50 of 100", "duplicates"]);
        let off = &ema(false, 0);
        says(&diagnosis(off, SOUND, WIDE, 1000), &["most codes were never used", "revive_after = 100"]);
        says(&diagnosis(off, SOUND, WIDE, 5000), &["stay unused", "revive_after = 100"]);
        says(&diagnosis(&vq(false, 100), SOUND, WIDE, 5000), &["kmeans_init = true"]);
        let residual = QuantizerConfig::Residual(ResidualQuantizerConfig::new(4, ema(true, 0)));
        says(&diagnosis(&residual, SOUND, WIDE, 5000), &["tokenizer.quantizer.quantizer.revive_after = 100"]);
        says(&diagnosis(on, SOUND, WIDE, 150), &["early", "step 200"]);
        says(&diagnosis(on, SOUND, WIDE, 5000), &["no single cause", "fewer codes"]);
    }

    #[test]
    fn latents_on_one_spot_are_alike_though_the_codes_are_there_too() {
        let spot = CodeDistances { median: 1e-6, duplicates: 100, ..SOUND };
        says(&diagnosis(&vq(true, 100), spot, Latents { spread: 1e-4, length: 5.0 }, 5000), &["identical"]);
    }

    #[test]
    fn members_without_a_table_are_not_told_to_move_codes() {
        let lfq = QuantizerConfig::LookupFree(LookupFreeQuantizerConfig::new(64));
        says(&diagnosis(&lfq, SOUND, WIDE, 10), &["raise tokenizer.quantizer.entropy_weight"]);
        let fsq = QuantizerConfig::FiniteScalar(FiniteScalarQuantizerConfig::new(&[8, 5]));
        says(&diagnosis(&fsq, SOUND, WIDE, 10), &["fewer levels"]);
        let gumbel = QuantizerConfig::Gumbel(GumbelQuantizerConfig::new(100));
        says(&diagnosis(&gumbel, SOUND, WIDE, 10), &["kl_weight"]);
        let ibq = QuantizerConfig::IndexBackpropagation(IndexBackpropagationQuantizerConfig::new(100));
        says(&diagnosis(&ibq, SOUND, WIDE, 10), &["entropy_weight"]);
    }

    #[test]
    fn latents_are_measured_around_their_mean() {
        let latents = Tensor::from_slice(&[1.0f32, 3.0, 4.0, 4.0]).view([1, 2, 2]);
        let found = Latents::of(&latents);
        assert!((found.spread - 1.0).abs() < 1e-6, "{found:?}");
        assert!((found.length - 21.0f64.sqrt()).abs() < 1e-6, "{found:?}");
    }
}
