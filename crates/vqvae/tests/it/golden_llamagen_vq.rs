//! VQGAN's autoencoder with a codebook on the unit sphere against LlamaGen's `VQModel`.

use std::collections::BTreeMap;

use serde::Deserialize;
use tch::{Device, Kind, Tensor, nn};
use vqkit_quantizer::{Metric, Mode, QuantizerConfig, VectorQuantizerConfig};
use vqkit_testing::Golden;
use vqkit_torch::{TokenGrid, weights};
use vqkit_vqvae::{LLAMAGEN_USAGE, Tokenizer, VqganConfig, llamagen_name, taming_name};

const TRAIN: Mode = Mode::Train { step: 0 };

type Tensors = BTreeMap<String, Tensor>;

/// Upstream's `ModelArgs` with its defaults, and the two arguments that its encoder and decoder take beside them.
#[derive(Debug, Deserialize)]
struct Upstream {
    codebook_size: i64,
    codebook_embed_dim: i64,
    codebook_l2_norm: bool,
    #[serde(default = "Upstream::commit_loss_beta")]
    commit_loss_beta: f64,
    #[serde(default)]
    entropy_loss_ratio: f64,
    encoder_ch_mult: Vec<i64>,
    decoder_ch_mult: Vec<i64>,
    z_channels: i64,
    ch: i64,
    num_res_blocks: i64,
}

impl Upstream {
    fn commit_loss_beta() -> f64 {
        0.25
    }

    fn levels(&self) -> usize {
        self.encoder_ch_mult.len()
    }

    /// Upstream attends on the last level, whatever the picture's side is. What was recorded in training mode was recorded
    /// with a dropout of 0, whatever `dropout_p` says.
    fn network(&self) -> VqganConfig {
        let resolution = 1 << self.levels();
        VqganConfig {
            ch: self.ch,
            ch_mult: self.encoder_ch_mult.clone(),
            decoder_ch_mult: Some(self.decoder_ch_mult.clone()),
            num_res_blocks: self.num_res_blocks,
            attn_resolutions: vec![resolution >> (self.levels() - 1)],
            resolution,
            z_channels: self.z_channels,
            embed_dim: self.codebook_embed_dim,
            dropout: 0.0,
            ..VqganConfig::imagenet_f16()
        }
    }

    fn quantizer(&self) -> QuantizerConfig {
        QuantizerConfig::Vq(VectorQuantizerConfig {
            metric: if self.codebook_l2_norm { Metric::Cosine } else { Metric::Euclidean },
            codebook_weight: 1.0,
            commitment_weight: self.commit_loss_beta,
            entropy_weight: self.entropy_loss_ratio,
            kmeans_init: false,
            revive_after: 0,
            ..VectorQuantizerConfig::new(self.codebook_size)
        })
    }

    /// What is recorded, by our names.
    fn weights(&self, golden: &Golden) -> Tensors {
        let mut theirs = golden.weights();
        theirs.remove(LLAMAGEN_USAGE);
        let rename = |(name, value): (String, Tensor)| {
            let ours = taming_name(&name, self.levels()).unwrap_or_else(|| panic!("{name} is none of LlamaGen's"));
            assert_eq!(llamagen_name(&ours, self.levels()), Some(name));
            (ours, value)
        };
        theirs.into_iter().map(rename).collect()
    }
}

struct Built {
    variables: Tensors,
    tokenizer: Tokenizer,
}

/// The tokenizer with these weights, which have to be all that it has beside the state of our quantizer.
fn build(network: &VqganConfig, quantizer: &QuantizerConfig, channels: i64, mut values: Tensors) -> Built {
    let mut vs = nn::VarStore::new(Device::Cpu);
    let tokenizer = network.build(&vs.root(), channels, quantizer).unwrap();
    let variables = weights::tensors(&vs);
    for name in ["quantize.age", "quantize.initted"] {
        values.insert(name.into(), variables[name].copy());
    }
    weights::assign(&values, &mut vs).unwrap();
    Built { variables, tokenizer }
}

#[test]
fn golden_llamagen_vq() {
    check("llamagen-vq");
}

#[test]
fn golden_llamagen_vq_formula() {
    check("llamagen-vq-formula");
}

fn check(component: &str) {
    let golden = Golden::open(component);
    let upstream = Upstream::deserialize(&golden.config()["config"]).unwrap();
    let x = golden.input("x");
    let values = upstream.weights(&golden);
    let mut outputs = BTreeMap::from([("encoder_out".into(), encoder_out(&upstream, &values, &x))]);
    let built = build(&upstream.network(), &upstream.quantizer(), x.size()[1], values);
    outputs.extend(evaluation(&built.tokenizer, &x, &golden.input("indices")));
    if golden.has("total") {
        outputs.extend(training_step(&built, &upstream, &x));
    }
    for key in golden.keys().filter(|key| *key != "x") {
        golden.close(key, outputs.get(key).unwrap_or_else(|| panic!("nothing was computed for {key}")));
    }
}

/// With a `quant_conv` that hands everything on, the latents are what the encoder gives.
fn encoder_out(upstream: &Upstream, values: &Tensors, x: &Tensor) -> Tensor {
    let width = upstream.z_channels;
    let float = (Kind::Float, Device::Cpu);
    let eye = || Tensor::eye(width, float).unsqueeze(-1).unsqueeze(-1);
    let mut values: Tensors = values.iter().map(|(name, value)| (name.clone(), value.shallow_clone())).collect();
    for name in ["quant_conv", "post_quant_conv"] {
        values.insert(format!("{name}.weight"), eye());
        values.insert(format!("{name}.bias"), Tensor::zeros([width], float));
    }
    values.insert("quantize.embedding.weight".into(), Tensor::ones([upstream.codebook_size, width], float));
    let network = VqganConfig { embed_dim: width, ..upstream.network() };
    let Built { tokenizer, .. } = build(&network, &upstream.quantizer(), x.size()[1], values);
    tch::no_grad(|| tokenizer.forward(x, Mode::Eval)).unwrap().latents.remove(0)
}

/// `indices`: the recorded ones, flat, from which codes are looked up and decoded.
fn evaluation(tokenizer: &Tokenizer, x: &Tensor, indices: &Tensor) -> Tensors {
    let mut output = tch::no_grad(|| tokenizer.forward(x, Mode::Eval)).unwrap();
    let level = output.levels.remove(0);
    let recorded = TokenGrid::new(indices.view_as(&level.grid.indices), level.grid.sizes.clone()).unwrap();
    let entry = tokenizer.quantizers()[0].lookup(&recorded).unwrap();
    let decoded = tch::no_grad(|| tokenizer.decode(&[recorded])).unwrap();
    BTreeMap::from([
        ("prequant".into(), output.latents.remove(0)),
        ("indices".into(), level.grid.indices.flatten(0, -1)),
        ("quant".into(), level.codes),
        ("reconstruction".into(), output.images),
        ("codebook_entry".into(), entry),
        ("decode_code".into(), decoded),
    ])
}

/// The losses of a training step, and the gradient of every weight by upstream's name.
fn training_step(built: &Built, upstream: &Upstream, x: &Tensor) -> Tensors {
    let output = built.tokenizer.forward(x, TRAIN).unwrap();
    let losses = &output.levels[0].losses;
    let total = (x - &output.images).abs().mean(Kind::Float) + &losses.total;
    total.backward();
    let of_weight = |(name, variable): (&String, &Tensor)| {
        let gradient = variable.grad();
        let theirs = llamagen_name(name, upstream.levels())?;
        gradient.defined().then(|| (format!("grad/{theirs}"), gradient))
    };
    let mut outputs: Tensors = built.variables.iter().filter_map(of_weight).collect();
    outputs.extend([
        ("vq_loss".into(), losses.codebook.shallow_clone()),
        ("commit_loss".into(), &losses.commitment * upstream.commit_loss_beta),
        ("entropy_loss".into(), &losses.entropy * upstream.entropy_loss_ratio),
        ("total".into(), total),
    ]);
    outputs
}
