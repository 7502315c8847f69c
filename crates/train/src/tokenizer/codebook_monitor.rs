//! Monitors codebooks in training: whether and why one collapses, and the health of all of them at the end of an epoch.

use tch::Tensor;
use vqkit_fidelity::{CodebookId, codebook::collapse, codebook::usage};
use vqkit_quantizer::{CodebookHealth, CodebookUsage, Quantizer, Usage};
use vqkit_tokens::TokenUsage;
use vqkit_vqvae::Tokenizer;

use crate::{error::Result, trainer::Trainer};

/// The codebooks of a tokenizer in training, and the data to diagnose a collapse.
#[derive(Debug)]
pub struct CodebookMonitor<'a> {
    /// The recipe's section.
    pub config: &'a vqkit_recipe::Tokenizer,
    /// The modality of the tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// Latents of the last batch, one tensor per level.
    pub latents: &'a [Tensor],
}

impl CodebookMonitor<'_> {
    /// Which codebooks collapse and why, judged by their usage in the epoch so far, or on validation images: a quantizer
    /// that samples codes in training may use many there, and only few in evaluation. `None` where none does.
    ///
    /// # Errors
    /// When a quantizer does not fit its counts.
    pub fn collapse(&self, trainer: &Trainer, epoch: &TokenUsage, validation: &TokenUsage) -> Result<Option<String>> {
        let least = trainer.guards().min_usage();
        let mut causes = Vec::new();
        let both = epoch.levels().iter().zip(validation.levels());
        for (level, (quantizer, (epoch, validation))) in self.tokenizer.quantizers().iter().zip(both).enumerate() {
            let healths = summary(quantizer.as_ref(), epoch)?;
            let used = epoch.codebooks().iter().zip(validation.codebooks());
            for (codebook, (health, (epoch, validation))) in healths.iter().zip(used).enumerate() {
                let found = [(epoch, "in this epoch"), (validation, "on validation images")];
                let Some((used, at)) = found.into_iter().find(|(used, _)| used.is_collapsed(least)) else {
                    continue;
                };
                let name = usage::name(CodebookId { level, codebook }, healths.len());
                let latents = (healths.len() == 1).then(|| &self.latents[level]);
                let cause = collapse::diagnosis(self.config, trainer.step(), health, latents);
                let percent = used.usage() * 100.0;
                causes.push(format!("{name} collapses: {percent:.1} % of its codes were used {at}; {cause}"));
            }
        }
        Ok((!causes.is_empty()).then(|| causes.join("; ")))
    }

    /// Logs usage, perplexity, ages and duplicates at the end of an epoch.
    ///
    /// # Errors
    /// When a quantizer does not fit its counts, or the log cannot be written.
    pub fn log_epoch(&self, trainer: &mut Trainer, usage: &TokenUsage) -> Result<()> {
        let mut metrics = Vec::new();
        for (level, (quantizer, usage)) in self.tokenizer.quantizers().iter().zip(usage.levels()).enumerate() {
            metrics.extend(epoch_metrics(level, usage, &summary(quantizer.as_ref(), usage)?));
        }
        trainer.log(metrics, &format!("codes in use {:.0} %", usage.levels()[0].usage() * 100.0))
    }
}

/// The health of every codebook of a level, without computing a table that the quantizer does not keep.
fn summary(quantizer: &dyn Quantizer, usage: &Usage) -> Result<Vec<CodebookHealth>> {
    let counts = usage.codebooks().iter().map(CodebookUsage::counts);
    if !quantizer.has_tables() {
        let of_use =
            |counts: &Tensor| CodebookHealth::of_use(counts.numel() as i64, quantizer.code_dim(), Some(counts));
        return Ok(counts.map(of_use).collect());
    }
    let views = quantizer.codebooks();
    let summary = |(view, counts)| CodebookHealth::summary(view, Some(counts));
    Ok(views.iter().zip(counts).map(summary).collect::<Result<_, _>>()?)
}

/// Of a whole epoch: use and perplexity as means over the codebooks of a level, the age of its oldest code, and the share of
/// its codes that lie on the spot of another.
fn epoch_metrics(level: usize, usage: &Usage, healths: &[CodebookHealth]) -> Vec<(String, f64)> {
    let mut metrics = vec![
        (format!("epoch_usage_{level}"), usage.usage()),
        (format!("epoch_perplexity_{level}"), usage.perplexity()),
    ];
    let oldest = healths.iter().filter_map(|health| health.ages).map(|ages| ages.oldest).reduce(f64::max);
    metrics.extend(oldest.map(|oldest| (format!("oldest_code_{level}"), oldest)));
    let measured = healths.iter().filter_map(|health| health.distances);
    let (duplicates, codes) = measured
        .fold((0, 0), |(duplicates, codes), distances| (duplicates + distances.duplicates, codes + distances.measured));
    if codes > 0 {
        metrics.push((format!("duplicate_codes_{level}"), duplicates as f64 / codes as f64));
    }
    metrics
}
