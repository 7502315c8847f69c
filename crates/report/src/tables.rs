//! The figures of one run as tables.

use maud::{Markup, html};
use serde_json::Value;
use vqkit_evaluate::{LevelMetrics, Metrics, Rate, SamplesAsSet, Similarity, TemplateMetrics};

use crate::{page::figure, page::note, page::table, page::warnings};

/// All of them.
pub fn figures(metrics: &Metrics) -> Markup {
    html! {
        (warnings(&metrics.warnings))
        (tokenizer(metrics))
        (levels(metrics))
        @for (name, value) in metrics.template.iter().flat_map(TemplateMetrics::figures) {
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
        figure(ssim, 4),
        figure(ms_ssim, 4),
        figure(lpips, 4),
        figure(metrics.reconstruction_fd_vgg_cifar10, 4),
        figure(metrics.reconstruction_fid, 4),
    ];
    html! {
        h3 { "Tokenizer" }
        (table(&head, &[row]))
        (note("Pixels are rounded to 8 bits. The mean squared error is in units of 1/255, over all validation images at once; SSIM, MS-SSIM and \
               LPIPS are means over images. fd_vgg_cifar10: Fréchet distance between the features that a small classifier of CIFAR-10 gives \
               images and reconstructions; it compares models of one data set with each other, and is no FID. rFID: the same by FID's \
               Inception, where its weights were given; it is not comparable with the FID of samples."))
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
            figure(level.prior_bits_per_token, 3),
            figure(level.prior_bits_per_dim, 3),
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
        figure(rate.prior_bits_per_pixel, 4),
    ];
    let dimension = vec![
        "bits per dimension, estimated".into(),
        figure(rate.prior_bits_per_dim, 4),
        format!("{:.4}", rate.residual_bits_per_dim),
        figure(rate.total_bits_per_dim, 4),
    ];
    html! {
        h3 { "Rate" }
        (table(&["", "all codes alike", "each as rare as it is", "under the priors"], &[pixel]))
        (table(&["", "tokens of all levels", "what the reconstruction misses", "both"], &[dimension]))
        (note("The rate per dimension is that of a lossless code built of the tokens and of the differences between image and reconstruction, \
               both of 8 bits. The differences are given an ideal code for one discretised Gaussian of the mean squared error above, which \
               takes ½ log2(2πe · error) bits where the error is large against 1/12. An estimate: no coder was run, and it is no bound that \
               was measured directly."))
    }
}

/// Samples as a set.
pub fn samples(set: &SamplesAsSet) -> Markup {
    let rows =
        set.figures.iter().map(|(name, value)| vec![name.clone(), figure(value.as_f64(), 4)]).collect::<Vec<_>>();
    html! {
        p { (set.samples) " samples against " (set.validation_images) " validation images:" }
        (table(&["figure", ""], &rows))
        (note("Names that end in vgg_cifar10 are by the small classifier of CIFAR-10; they are no FID, and no Inception Score. Fewer pictures \
               give a larger Fréchet distance, so compare only figures whose counts are the same. kid is not multiplied by anything."))
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
