//! The codebooks of a trained tokenizer: their health, and charts of them.

use std::{fmt, path::Path};

use serde::Serialize;
use tch::Tensor;
use vqkit_fidelity::{CodebookId, UsageSource, codebook::atlas::atlas, codebook::usage};
use vqkit_models::{load, run_around};
use vqkit_quantizer::{CodeDistances, CodebookHealth, CodebookView, Quantizer};
use vqkit_recipe::{Modality, stage_names};
use vqkit_run::{Context, RgbImage, Run, checkpoint_weights, files};
use vqkit_vqvae::Tokenizer;

use crate::{codebook_chart, error::EvaluateError, error::Result};
use vqkit_tokens::{Split, TokenSet, TokenUsage, split};

/// The health of every codebook of a tokenizer.
#[derive(Debug, Serialize)]
pub struct CodebookReport {
    /// The tokens over which the usage of codes was counted.
    pub counted: UsageSource,
    /// Every codebook of every level, coarse first.
    pub codebooks: Vec<CodebookOf>,
}

/// One codebook and where it belongs.
#[derive(Debug, Serialize)]
pub struct CodebookOf {
    /// The level, coarse first.
    pub level: usize,
    /// The codebook of that level.
    pub codebook: usize,
    /// Its health.
    pub health: CodebookHealth,
}

/// A trained tokenizer whose codebooks are inspected.
pub struct CodebookInspector {
    tokenizer: Tokenizer,
    counted: UsageSource,
    /// Usage counts of every level and codebook, `[K]`.
    counts: Option<Vec<Vec<Tensor>>>,
    context: Context,
}

impl CodebookInspector {
    /// The tokenizer that a run uses, or `None` where that stage is not done.
    ///
    /// # Errors
    /// When its weights cannot be read.
    pub fn of_run(run: &Run, context: &Context) -> Result<Option<Self>> {
        let Some(output) = run.output(Modality::Image.stage()) else { return Ok(None) };
        Self::of(run, &run.path().join(&output.path), context).map(Some)
    }

    /// The tokenizer of a checkpoint inside its run, or `None` where it is not inside one.
    ///
    /// # Errors
    /// When its weights cannot be read.
    pub fn of_checkpoint(path: &Path, context: &Context) -> Result<Option<Self>> {
        let Some(run) = run_around(path) else { return Ok(None) };
        Self::of(&Run::open(&run)?, path, context).map(Some)
    }

    fn of(run: &Run, checkpoint: &Path, context: &Context) -> Result<Self> {
        let tokenizer = load::tokenizer_at(checkpoint, run.recipe(), context)?;
        let (counted, usage) = usage(run, checkpoint, &tokenizer)?;
        let of_level = |level: &vqkit_quantizer::Usage| -> Vec<Tensor> {
            level.codebooks().iter().map(|codebook| codebook.counts().shallow_clone()).collect()
        };
        let counts = usage.map(|usage| usage.levels().iter().map(of_level).collect());
        Ok(Self { tokenizer, counted, counts, context: context.clone() })
    }

    /// Its codebooks.
    ///
    /// # Errors
    /// When a quantizer does not fit its counts.
    pub fn codebooks(&self) -> Result<CodebookReport> {
        let mut codebooks = Vec::new();
        for (level, quantizer) in self.tokenizer.quantizers().iter().enumerate() {
            let views = tables(quantizer.as_ref());
            for (codebook, size) in quantizer.codebook_sizes().into_iter().enumerate() {
                let counts = self.counts_of(CodebookId { level, codebook });
                let health = match views.get(codebook) {
                    Some(view) => {
                        let counts = counts.map(|counts| counts.to_device(view.codes.device()));
                        CodebookHealth::of(view, counts.as_ref())?
                    }
                    None => CodebookHealth::of_use(size, quantizer.code_dim(), counts),
                };
                codebooks.push(CodebookOf { level, codebook, health });
            }
        }
        Ok(CodebookReport { counted: self.counted, codebooks })
    }

    /// Writes `use-L.png`, `map-L.png` and `atlas-L.png` of every level `L` into the new folder `out`; `-L.Q` where a
    /// level has several codebooks. There is no `use` chart where the usage is unknown, and no `map` of codes that a
    /// rule gives.
    ///
    /// # Errors
    /// When something cannot be drawn or written.
    pub fn draw(&self, out: &Path) -> Result<()> {
        files::create(out, |folder| {
            for (name, picture) in self.pictures()? {
                picture.write(&folder.join(format!("{name}.png")))?;
            }
            Ok::<_, EvaluateError>(())
        })
    }

    /// The charts that [`draw`](Self::draw) writes, by name.
    ///
    /// # Errors
    /// When something cannot be drawn.
    pub fn pictures(&self) -> Result<Vec<(String, RgbImage)>> {
        let mut pictures = Vec::new();
        for (level, quantizer) in self.tokenizer.quantizers().iter().enumerate() {
            let (views, number) = (tables(quantizer.as_ref()), quantizer.codebook_sizes().len());
            for codebook in 0..number {
                let place = CodebookId { level, codebook };
                let (name, file) = (usage::name(place, number), usage::file(place, number));
                let counts = self.counts_of(place);
                if let Some(counts) = counts {
                    pictures.push((format!("use-{file}"), codebook_chart::usage(&name, counts)?));
                }
                if let Some(view) = views.get(codebook) {
                    pictures.push((format!("map-{file}"), codebook_chart::map(&name, &view.codes, counts)?));
                }
                let atlas = atlas(&self.tokenizer, place, self.counts.as_deref(), &self.context)?;
                pictures.push((format!("atlas-{file}"), atlas));
            }
        }
        Ok(pictures)
    }

    fn counts_of(&self, place: CodebookId) -> Option<&Tensor> {
        self.counts.as_ref().map(|counts| &counts[place.level][place.codebook])
    }
}

/// The codebooks of a quantizer that keeps tables; empty where they would have to be computed.
fn tables(quantizer: &dyn Quantizer) -> Vec<CodebookView> {
    if quantizer.has_tables() { quantizer.codebooks() } else { Vec::new() }
}

impl fmt::Display for CodebookReport {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match self.counted {
            UsageSource::Tokens => writeln!(out, "usage of codes, counted over the tokens of the training images:")?,
            UsageSource::Epoch => {
                writeln!(out, "usage of codes, counted over the epoch of the checkpoint, up to its step:")?
            }
            UsageSource::Nothing => {
                writeln!(out, "usage of codes unknown: no tokens yet, and nothing counted in the checkpoint")?;
            }
        }
        for CodebookOf { level, codebook, health } in &self.codebooks {
            let beside = self.codebooks.iter().filter(|other| other.level == *level).count();
            let name = usage::name(CodebookId { level: *level, codebook: *codebook }, beside);
            write_health(out, &name, health)?;
        }
        Ok(())
    }
}

fn write_health(out: &mut fmt::Formatter, name: &str, health: &CodebookHealth) -> fmt::Result {
    let CodebookHealth { size, dim, used, ages, distances } = health;
    writeln!(out, "  {name}: {size} codes of width {dim}")?;
    if let Some(used) = used {
        let (share, codes, perplexity, tokens) = (used.share * 100.0, used.codes, used.perplexity, used.tokens);
        writeln!(out, "    {codes} used ({share:.1} %), perplexity {perplexity:.1}, over {tokens} tokens")?;
    }
    if let Some(ages) = ages {
        let (median, decile, oldest) = (ages.median, ages.ninth_decile, ages.oldest);
        writeln!(out, "    updates since last use: median {median}, 90th percentile {decile}, maximum {oldest}")?;
    }
    if let Some(CodeDistances { measured, smallest, median, largest, duplicates, .. }) = distances {
        let of = if measured == size { String::new() } else { format!(" (of {measured} codes)") };
        writeln!(
            out,
            "    distance to the nearest other code{of}: minimum {}, median {}, maximum {}",
            short(*smallest),
            short(*median),
            short(*largest)
        )?;
        writeln!(out, "    duplicates of another code{of}: {duplicates}")?;
    }
    Ok(())
}

/// A number with four decimals, or in scientific notation where it is smaller.
fn short(value: f64) -> String {
    if value == 0.0 || value >= 0.01 { format!("{value:.4}") } else { format!("{value:.1e}") }
}

/// How often every code was used: in the run's token files, if this checkpoint made them, else in the checkpoint's
/// epoch.
fn usage(run: &Run, checkpoint: &Path, tokenizer: &Tokenizer) -> Result<(UsageSource, Option<TokenUsage>)> {
    let (sizes, cpu) = (tokenizer.codebook_sizes(), tch::Device::Cpu);
    if run.output(stage_names::TOKENS).is_some() {
        let fingerprint = checkpoint_weights::fingerprint(checkpoint)?;
        let mut usage = TokenUsage::new(&sizes, cpu);
        let mut is_own = false;
        for path in split::files_of(&run.folder(stage_names::TOKENS), Split::Train) {
            let tokens = TokenSet::open(&[path])?;
            is_own = tokens.header.tokenizer == fingerprint;
            if !is_own {
                break;
            }
            usage.count(&tokens)?;
        }
        if is_own {
            return Ok((UsageSource::Tokens, Some(usage)));
        }
    }
    let usage = TokenUsage::restore(&sizes, cpu, &checkpoint_weights::counters_of(checkpoint)?);
    let counted = usage.levels().iter().flat_map(|level| level.codebooks()).any(|codebook| codebook.tokens() > 0);
    Ok(if counted { (UsageSource::Epoch, Some(usage)) } else { (UsageSource::Nothing, None) })
}
