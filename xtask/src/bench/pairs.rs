//! The pairs: what is compared with what, as one table.

use anyhow::{Result, bail};

/// Two programs that do the same, each of which prints one line of JSON with the same metric.
#[derive(Debug)]
pub struct Pair {
    /// The name on the command line and in the table.
    pub name: &'static str,
    /// What is done, by whom.
    pub about: &'static str,
    /// The package of our example.
    pub package: &'static str,
    /// Our example.
    pub example: &'static str,
    /// The key of the metric that is compared, more is better; without a peer, of the ratio itself.
    pub metric: &'static str,
    /// The peer, a script in `benches/peers`; without one, our example compares two ways itself and prints their ratio.
    pub peer: Option<&'static str>,
    /// The option with which either side takes its number of threads.
    pub threads: &'static str,
    /// A file below the folder of data sets, the first argument of either side.
    pub data: Option<&'static str>,
    /// What either side is told beside its threads.
    pub arguments: &'static [&'static str],
    /// Whether it runs only where the processor multiplies in bfloat16.
    pub needs_bf16: bool,
}

/// A new pair is one entry here, an example in its crate and a script in `benches/peers`.
pub const PAIRS: &[Pair] = &[
    Pair {
        name: "data-loader",
        about: "128-pixel photographs decoded, resized to 64 and batched on two workers; PyTorch's DataLoader with Pillow",
        package: "vqkit-data",
        example: "loader_throughput",
        metric: "images_per_second",
        peer: Some("loader.py"),
        threads: "--workers",
        data: Some("clothing128-train.tar"),
        arguments: &[],
        needs_bf16: false,
    },
    Pair {
        name: "pixelcnn-sampling",
        about: "a 32×32 grid drawn incrementally; the loop of full forward passes, its time extrapolated from ten",
        package: "vqkit-priors",
        example: "pixelcnn_speed",
        metric: "speed_up",
        peer: None,
        threads: "--threads",
        data: None,
        arguments: &[],
        needs_bf16: false,
    },
    vqgan_step("vqgan-step-32", &["--size", "32", "--batch", "8"]),
    vqgan_step("vqgan-step-64", &["--size", "64", "--batch", "8"]),
    vqgan_step("vqgan-step-128", &["--size", "128", "--batch", "4"]),
    in_bf16(vqgan_step("vqgan-step-32-bf16", &["--size", "32", "--batch", "8", "--precision", "bf16"])),
    in_bf16(vqgan_step("vqgan-step-64-bf16", &["--size", "64", "--batch", "8", "--precision", "bf16"])),
    in_bf16(vqgan_step("vqgan-step-128-bf16", &["--size", "128", "--batch", "4", "--precision", "bf16"])),
    vq_step("vq-8192x64x1024", &["--points", "8192", "--dim", "64", "--codes", "1024"]),
    vq_step("vq-16384x256x16384", &["--points", "16384", "--dim", "256", "--codes", "16384"]),
    vq_step("vq-8192x8x65536", &["--points", "8192", "--dim", "8", "--codes", "65536"]),
    Pair {
        about: "a step of vector quantization alone, over the time of its matrix product; a peer's one-hot would be 17 GB",
        metric: "of_floor",
        peer: None,
        ..vq_step("vq-65536x8x65536", &["--points", "65536", "--dim", "8", "--codes", "65536"])
    },
    quantizer_step(
        "fsq-65536",
        "a step of finite scalar quantization, 1000 codes; FSQ of vector-quantize-pytorch",
        &["--kind", "fsq", "--points", "65536", "--dim", "4", "--codes", "1000"],
    ),
    quantizer_step(
        "lfq-65536",
        "a step of lookup-free quantization, 1024 codes, with its entropy loss; LFQ of vector-quantize-pytorch",
        &["--kind", "lfq", "--points", "65536", "--dim", "10", "--codes", "1024"],
    ),
    gpt_sampling("gpt-sampling-1", &["--batch", "1"]),
    gpt_sampling("gpt-sampling-16", &["--batch", "16"]),
    gpt_sampling("gpt-sampling-1-bf16", &["--batch", "1", "--weights", "bf16"]),
    gpt_sampling("gpt-sampling-16-bf16", &["--batch", "16", "--weights", "bf16"]),
    gpt_sampling("gpt-sampling-1-int8", &["--batch", "1", "--weights", "int8"]),
    gpt_sampling("gpt-sampling-16-int8", &["--batch", "16", "--weights", "int8"]),
    against_transformers(gpt_sampling(
        "gpt-transformers-1",
        &["--batch", "1", "--weights", "bf16", "--peer", "transformers", "--precision", "bf16", "--cache", "dynamic"],
    )),
    against_transformers(gpt_sampling(
        "gpt-transformers-1-static",
        &["--batch", "1", "--weights", "bf16", "--peer", "transformers", "--precision", "bf16", "--cache", "static"],
    )),
    against_transformers(gpt_sampling(
        "gpt-transformers-16",
        &["--batch", "16", "--weights", "bf16", "--peer", "transformers", "--precision", "bf16", "--cache", "dynamic"],
    )),
    against_transformers(gpt_sampling(
        "gpt-transformers-1-fp32",
        &["--batch", "1", "--peer", "transformers", "--precision", "fp32", "--cache", "dynamic"],
    )),
    Pair {
        name: "fid-features",
        about: "features of FID's InceptionV3, of 64-pixel pictures in batches of 25; pytorch-fid",
        package: "vqkit-metrics",
        example: "fid_speed",
        metric: "images_per_second",
        peer: Some("fid.py"),
        threads: "--threads",
        data: None,
        arguments: &["--work", "features", "--batch", "25", "--size", "64"],
        needs_bf16: false,
    },
    Pair {
        name: "frechet-2048",
        about: "the Fréchet distance of 2048 dimensions from moments; pytorch-fid, which takes scipy.linalg.sqrtm",
        package: "vqkit-metrics",
        example: "fid_speed",
        metric: "distances_per_second",
        peer: Some("fid.py"),
        threads: "--threads",
        data: None,
        arguments: &["--work", "distance", "--width", "2048"],
        needs_bf16: false,
    },
    gpt_step("gpt-step", &["--precision", "fp32", "--peer-precision", "fp32"]),
    in_bf16(gpt_step("gpt-step-bf16", &["--precision", "bf16", "--peer-precision", "fp32"])),
];

const fn gpt_sampling(name: &'static str, arguments: &'static [&'static str]) -> Pair {
    Pair {
        name,
        about: "256 tokens by a GPT of 12 layers, width 512, our weights as the name says; minGPT with a concatenated cache, in fp32",
        package: "vqkit-priors",
        example: "gpt_speed",
        metric: "tokens_per_second",
        peer: Some("gpt_sampling.py"),
        threads: "--threads",
        data: None,
        arguments,
        needs_bf16: false,
    }
}

const fn against_transformers(pair: Pair) -> Pair {
    Pair {
        about: "256 tokens by a GPT of 12 layers, width 512; GPT-2 of transformers, its generate, in bf16 unless the name says fp32",
        ..pair
    }
}

const fn gpt_step(name: &'static str, arguments: &'static [&'static str]) -> Pair {
    Pair {
        about: "a training step of a GPT of 12 layers, width 512, on 4 x 256 tokens; minGPT, whose attention is written out, in fp32 with fused AdamW",
        example: "gpt_step",
        metric: "steps_per_second",
        peer: Some("gpt_step.py"),
        ..gpt_sampling(name, arguments)
    }
}

const fn vq_step(name: &'static str, arguments: &'static [&'static str]) -> Pair {
    let about =
        "a step of vector quantization, moving averages and rotation trick; VectorQuantize of vector-quantize-pytorch";
    quantizer_step(name, about, arguments)
}

const fn quantizer_step(name: &'static str, about: &'static str, arguments: &'static [&'static str]) -> Pair {
    Pair {
        name,
        about,
        package: "vqkit-quantizer",
        example: "quantizer_step",
        metric: "steps_per_second",
        peer: Some("quantizer_step.py"),
        threads: "--threads",
        data: None,
        arguments,
        needs_bf16: false,
    }
}

const fn vqgan_step(name: &'static str, arguments: &'static [&'static str]) -> Pair {
    Pair {
        name,
        about: "a training step of a VQGAN with LPIPS and discriminator; taming's procedure with two optimizers",
        package: "vqkit",
        example: "vqgan_step",
        metric: "steps_per_second",
        peer: Some("vqgan_step.py"),
        threads: "--threads",
        data: None,
        arguments,
        needs_bf16: false,
    }
}

const fn in_bf16(pair: Pair) -> Pair {
    Pair { needs_bf16: true, ..pair }
}

/// The pairs of these names, in their order; all where none is named.
pub fn chosen(names: &[String]) -> Result<Vec<&'static Pair>> {
    if names.is_empty() {
        return Ok(PAIRS.iter().collect());
    }
    let find = |name: &String| match PAIRS.iter().find(|pair| pair.name == name) {
        Some(pair) => Ok(pair),
        None => bail!("there is no pair `{name}`; there are {}", known()),
    };
    names.iter().map(find).collect()
}

fn known() -> String {
    PAIRS.iter().map(|pair| pair.name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cargo::root;

    #[test]
    fn an_unknown_pair_is_answered_with_the_known() {
        let error = chosen(&["loader".into()]).unwrap_err().to_string();
        assert!(error.contains("`loader`") && error.contains("data-loader"), "{error}");
    }

    #[test]
    fn both_sides_of_every_pair_exist() {
        for pair in PAIRS {
            let krate = pair.package.strip_prefix("vqkit-").unwrap_or(pair.package);
            let example = root().join(format!("crates/{krate}/examples/{}.rs", pair.example));
            let text = std::fs::read_to_string(&example).unwrap_or_default();
            let options = pair.arguments.iter().copied().filter(|argument| argument.starts_with("--"));
            for word in [pair.metric, pair.threads].into_iter().chain(options) {
                assert!(text.contains(word), "{}: there is no `{word}` in {}", pair.name, example.display());
            }
            if let Some(peer) = pair.peer {
                assert!(root().join("benches/peers").join(peer).is_file(), "{}: there is no {peer}", pair.name);
            }
        }
    }
}
