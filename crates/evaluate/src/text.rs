//! The metrics as text.

use std::fmt;

use crate::{
    class_accuracy::ClassAccuracy, metrics::Metrics, metrics::Rate, metrics::TemplateMetrics, similarity::Similarity,
};

impl fmt::Display for Metrics {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let (images, mse, psnr_db) =
            (self.protocol.validation_images, self.reconstruction_mse, self.reconstruction_psnr_db);
        writeln!(out, "{images} validation images: mean squared error {mse:.2}, PSNR {psnr_db:.2} dB")?;
        if let Some(distance) = self.reconstruction_fd_vgg_cifar10 {
            writeln!(out, "Fréchet distance of features of the evaluation classifier (fd_vgg_cifar10) {distance:.4}")?;
        }
        writeln!(out, "{}", self.reconstruction_similarity)?;
        if let Some(fid) = self.reconstruction_fid {
            writeln!(out, "FID of the reconstructions (rFID) {fid:.4}")?;
        }
        if let Some(recognised) = self.class_accuracy {
            let (ClassAccuracy { samples, right }, percent) = (recognised, recognised.percent());
            writeln!(
                out,
                "class accuracy: {right} of {samples} samples ({percent:.0} %) are classified as the class that they were generated for"
            )?;
        }
        if let Some(set) = &self.samples_as_set {
            writeln!(out, "{} samples against {} validation images, as sets:", set.samples, set.validation_images)?;
            for (name, value) in &set.metrics {
                writeln!(out, "  {name:<36} {:.4}", value.as_f64().unwrap_or(f64::NAN))?;
            }
        }
        for (what, checked) in
            [("reconstructions", self.reconstructions_shape_accuracy), ("samples", self.samples_shape_accuracy)]
        {
            if let Some(checked) = checked {
                write!(out, "shape accuracy of {what}:\n{checked}")?;
            }
        }
        for (name, metric) in self.template.iter().flat_map(TemplateMetrics::metrics) {
            writeln!(out, "template: {} {metric:.4}", name.replace('_', " "))?;
        }
        for (index, level) in self.levels.iter().enumerate() {
            let (positions, codes, usage) = (level.positions, level.codes, level.usage * 100.0);
            write!(out, "level {index}: {positions} tokens of {codes} codes, {usage:.1} % in use, ")?;
            write!(
                out,
                "perplexity {:.1}, unigram {:.3} bits per token",
                level.perplexity, level.unigram_bits_per_token
            )?;
            if let (Some(token), Some(dim)) = (level.prior_bits_per_token, level.prior_bits_per_dim) {
                write!(out, ", prior {token:.3} bits per token ({dim:.4} bits per dim)")?;
            }
            writeln!(out)?;
        }
        let Rate { fixed_bits_per_pixel: fixed, unigram_bits_per_pixel: unigram, prior_bits_per_pixel: prior, .. } =
            self.rate;
        let by_prior = prior.map_or_else(String::new, |prior| format!(", under the priors {prior:.4}"));
        writeln!(
            out,
            "bits per pixel of the tokens: at fixed length {fixed:.4}, at their frequencies (unigram) {unigram:.4}{by_prior}"
        )?;
        let Rate { prior_bits_per_dim, residual_bits_per_dim: residual, total_bits_per_dim, .. } = self.rate;
        if let (Some(tokens), Some(total)) = (prior_bits_per_dim, total_bits_per_dim) {
            writeln!(
                out,
                "bits per dim, estimated: tokens {tokens:.4} + residual of the reconstruction {residual:.4} = {total:.4}"
            )?;
        }
        self.warnings.iter().try_for_each(|warning| writeln!(out, "warning: {warning}"))
    }
}

impl fmt::Display for Similarity {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let named = [("SSIM", self.ssim), ("MS-SSIM", self.ms_ssim), ("LPIPS", self.lpips)];
        let there = named.into_iter().filter_map(|(name, value)| Some(format!("{name} {:.4}", value?)));
        out.write_str(&there.collect::<Vec<_>>().join(", "))
    }
}
