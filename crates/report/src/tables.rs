//! The metrics of one run as tables.

use maud::{Markup, html};
use serde_json::Value;
use vqkit_evaluate::{LevelMetrics, Metrics, Rate, SamplesAsSet, Similarity, TemplateMetrics};

use crate::{page::note, page::number, page::table, page::warnings};

/// All tables.
pub fn metrics(metrics: &Metrics) -> Markup {
    html! {
        (warnings(&metrics.warnings))
        (tokenizer(metrics))
        (levels(metrics))
        @for (name, value) in metrics.template.iter().flat_map(TemplateMetrics::metrics) {
            p { "Templates: " (name.replace('_', " ")) " " (format!("{value:.4}")) }
        }
        (rate(&metrics.rate))
        (protocol(metrics))
    }
}

fn tokenizer(metrics: &Metrics) -> Markup {
    let Similarity { ssim, ms_ssim, lpips } = metrics.reconstruction_similarity;
    let head =
        ["validation images", "mean squared error", "PSNR (dB)", "SSIM", "MS-SSIM", "LPIPS", "fd_vgg_cifar10", "rFID"];
    let row = vec![
        metrics.protocol.validation_images.to_string(),
        format!("{:.2}", metrics.reconstruction_mse),
        format!("{:.2}", metrics.reconstruction_psnr_db),
        number(ssim, 4),
        number(ms_ssim, 4),
        number(lpips, 4),
        number(metrics.reconstruction_fd_vgg_cifar10, 4),
        number(metrics.reconstruction_fid, 4),
    ];
    html! {
        h3 { "Tokenizer" }
        (table(&head, &[row]))
        (note("Pixels are rounded to 8 bits. The mean squared error is in units of 1/255, over all validation images at once; SSIM, MS-SSIM and \
               LPIPS are means over images. fd_vgg_cifar10 is the Fréchet distance between features of images and of reconstructions from a \
               small CIFAR-10 classifier; it compares models of one data set and is not FID. rFID is the FID of reconstructions, given \
               Inception's weights; do not compare it with the FID of samples (gFID)."))
    }
}

fn levels(metrics: &Metrics) -> Markup {
    let head = [
        "level",
        "positions",
        "codes",
        "in use",
        "perplexity",
        "unigram bits/token",
        "prior bits/token",
        "prior bits/dim",
    ];
    let row = |(index, level): (usize, &LevelMetrics)| {
        vec![
            index.to_string(),
            level.positions.to_string(),
            level.codes.to_string(),
            format!("{:.1} %", level.usage * 100.0),
            format!("{:.1}", level.perplexity),
            format!("{:.3}", level.unigram_bits_per_token),
            number(level.prior_bits_per_token, 3),
            number(level.prior_bits_per_dim, 3),
        ]
    };
    let rows: Vec<_> = metrics.levels.iter().enumerate().map(row).collect();
    html! { h3 { "Tokens" } (table(&head, &rows)) }
}

fn rate(rate: &Rate) -> Markup {
    let pixel = vec![
        "bits per pixel, tokens".into(),
        format!("{:.4}", rate.fixed_bits_per_pixel),
        format!("{:.4}", rate.unigram_bits_per_pixel),
        number(rate.prior_bits_per_pixel, 4),
    ];
    let dimension = vec![
        "bits per dimension, estimated".into(),
        number(rate.prior_bits_per_dim, 4),
        format!("{:.4}", rate.residual_bits_per_dim),
        number(rate.total_bits_per_dim, 4),
    ];
    html! {
        h3 { "Rate" }
        (table(&["", "fixed length", "unigram", "under the priors"], &[pixel]))
        (table(&["", "tokens under the priors", "residual of the reconstruction", "sum"], &[dimension]))
        (note("Bits per pixel: with a fixed length, every token takes log2(number of codes) bits; unigram, the entropy of the codes' frequencies. \
               Bits per dimension estimate a lossless code of the tokens and of the residual (image minus reconstruction, both of 8 bits), where \
               the residual is coded as one discretised Gaussian with the mean squared error above: ½ log2(2πe · error) bits where the error is \
               large against 1/12. No coder was run, so this is an estimate and not a measured bound."))
    }
}

/// The metrics of the samples as a set.
pub fn samples(set: &SamplesAsSet) -> Markup {
    let rows =
        set.metrics.iter().map(|(name, value)| vec![name.clone(), number(value.as_f64(), 4)]).collect::<Vec<_>>();
    html! {
        p { (set.samples) " samples against " (set.validation_images) " validation images:" }
        (table(&["metric", ""], &rows))
        (note("Metrics whose names end in vgg_cifar10 use the small CIFAR-10 classifier; they are neither FID nor Inception Score. Fewer images \
               give a larger Fréchet distance, so compare only metrics with the same counts. kid is not scaled."))
    }
}

fn protocol(metrics: &Metrics) -> Markup {
    let value = serde_json::to_value(&metrics.protocol).unwrap_or_default();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let entries: Vec<(String, String)> =
        value.as_object().into_iter().flatten().map(|(name, value)| (name.replace('_', " "), text(value))).collect();
    html! {
        details {
            summary { "Protocol: " (metrics.protocol.name) }
            pre { @for (name, value) in &entries { (name) ": " (value) "\n" } }
        }
    }
}
