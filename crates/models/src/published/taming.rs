//! CompVis: taming-transformers and the first stages of latent-diffusion.
//!
//! Places: the READMEs of both repositories, and for direct links the first's notebook on reconstruction.

use super::{Becomes, Family, Published};

const TOKENIZERS: Family = Family { becomes: Becomes::Tokenizer, licence: "MIT", readable: true };
/// Archives, which have to be unpacked first.
const ARCHIVES: Family = Family { licence: "", readable: false, ..TOKENIZERS };
const PRIORS: Family = Family { becomes: Becomes::Prior, licence: "MIT", readable: false };

/// All of them.
pub fn all() -> Vec<Published> {
    let heibox = |id: &str| Some(format!("https://heibox.uni-heidelberg.de/f/{id}/?dl=1"));
    let mut all = vec![
        TOKENIZERS.entry(
            (
                "taming-f16-1024",
                "VQGAN of ImageNet, f16, 1024 codes: rFID 7.94",
                "https://heibox.uni-heidelberg.de/f/140747ba53464f49b476/?dl=1",
                0,
                "",
            ),
            heibox("6ecf2af6c658432c8298"),
        ),
        TOKENIZERS.entry(
            (
                "taming-f16-16384",
                "VQGAN of ImageNet, f16, 16384 codes: rFID 4.98",
                "https://heibox.uni-heidelberg.de/f/867b05fc8c4841768640/?dl=1",
                0,
                "",
            ),
            heibox("274fb24ed38341bfa753"),
        ),
        TOKENIZERS.entry(
            (
                "taming-gumbel-f8",
                "VQGAN of OpenImages, f8, 8192 codes by Gumbel softmax: rFID 1.49",
                "https://heibox.uni-heidelberg.de/f/34a747d5765840b5a99d/?dl=1",
                0,
                "",
            ),
            heibox("b24d14998a8d4f19a34f"),
        ),
    ];
    all.extend(priors());
    all.extend(ARCHIVES.entries(&[
        (
            "ldm-vq-f4",
            "LDM's first stage, f4, 8192 codes: rFID 0.58; a zip of model.ckpt and config.yaml",
            "https://ommer-lab.com/files/latent-diffusion/vq-f4.zip",
            0,
            "",
        ),
        (
            "ldm-vq-f4-noattn",
            "LDM's first stage without attention, f4, 8192 codes: rFID 1.06; a zip",
            "https://ommer-lab.com/files/latent-diffusion/vq-f4-noattn.zip",
            0,
            "",
        ),
        (
            "ldm-vq-f8",
            "LDM's first stage, f8, 16384 codes: rFID 1.14; a zip",
            "https://ommer-lab.com/files/latent-diffusion/vq-f8.zip",
            0,
            "",
        ),
        (
            "ldm-vq-f8-n256",
            "LDM's first stage, f8, 256 codes: rFID 1.49; a zip",
            "https://ommer-lab.com/files/latent-diffusion/vq-f8-n256.zip",
            0,
            "",
        ),
        (
            "ldm-vq-f16",
            "LDM's first stage, f16, 16384 codes: rFID 5.15; a zip",
            "https://ommer-lab.com/files/latent-diffusion/vq-f16.zip",
            0,
            "",
        ),
    ]));
    all
}

/// Transformers; each file holds its VQGANs too.
fn priors() -> [Published; 4] {
    [
        PRIORS.entry(
            (
                "taming-cin-transformer",
                "1.4B transformer of ImageNet's classes, with its VQGAN: gFID 15.78, with rejection 5.20",
                "https://app.koofr.net/content/links/90cbd5aa-ef70-4f5e-99bc-f12e5a89380e/files/get/last.ckpt?path=%2F2021-04-03T19-39-50_cin_transformer%2Fcheckpoints%2Flast.ckpt",
                0,
                "",
            ),
            None,
        ),
        PRIORS.entry(
            (
                "taming-ffhq-transformer",
                "unconditional transformer of FFHQ, with its VQGAN: FID 9.6",
                "https://app.koofr.net/content/links/0fc005bf-3dca-4079-9d40-cdf38d42cd7a/files/get/last.ckpt?path=%2F2021-04-23T18-19-01_ffhq_transformer%2Fcheckpoints%2Flast.ckpt&force",
                0,
                "",
            ),
            Some("https://app.koofr.net/content/links/0fc005bf-3dca-4079-9d40-cdf38d42cd7a/files/get/2021-04-23T18-19-01-project.yaml?path=%2F2021-04-23T18-19-01_ffhq_transformer%2Fconfigs%2F2021-04-23T18-19-01-project.yaml&force".into()),
        ),
        PRIORS.entry(
            (
                "taming-celebahq-transformer",
                "unconditional transformer of CelebA-HQ, with its VQGAN: FID 10.2",
                "https://app.koofr.net/content/links/6dddf083-40c8-470a-9360-a9dab2a94e96/files/get/last.ckpt?path=%2F2021-04-23T18-11-19_celebahq_transformer%2Fcheckpoints%2Flast.ckpt&force",
                0,
                "",
            ),
            Some("https://app.koofr.net/content/links/6dddf083-40c8-470a-9360-a9dab2a94e96/files/get/2021-04-23T18-11-19-project.yaml?path=%2F2021-04-23T18-11-19_celebahq_transformer%2Fconfigs%2F2021-04-23T18-11-19-project.yaml&force".into()),
        ),
        PRIORS.entry(
            (
                "taming-sflckr-transformer",
                "transformer of landscapes under segmentation maps, with the VQGANs of both",
                "https://heibox.uni-heidelberg.de/d/73487ab6e5314cb5adba/files/?p=%2Fcheckpoints%2Flast.ckpt&dl=1",
                0,
                "",
            ),
            Some("https://heibox.uni-heidelberg.de/d/73487ab6e5314cb5adba/files/?p=%2Fconfigs%2F2020-11-09T13-31-51-project.yaml&dl=1".into()),
        ),
    ]
}
