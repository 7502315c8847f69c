//! CompVis/taming-transformers: `NLayerDiscriminator` and the losses of `VQLPIPSWithDiscriminator`.

use std::collections::BTreeMap;

use tch::{Device, Tensor, nn};
use vqkit_losses::{
    DiscriminatorNorm, GanLoss, MAX_ADAPTIVE_WEIGHT, PatchGan, PatchGanConfig, Ramp, ReconstructionLoss,
    adaptive_weight,
};
use vqkit_testing::{Golden, generator};
use vqkit_torch::weights;

#[test]
fn golden_patchgan() {
    check("patchgan");
}

#[test]
fn golden_patchgan_actnorm() {
    check("patchgan-actnorm");
}

fn check(component: &str) {
    let golden = Golden::open(component);
    let mut upstream = Upstream::new(golden);
    upstream.initialize();
    upstream.logits();
    upstream.gradients();
    upstream.losses();
}

/// A golden, and the state from which each of its outputs starts.
struct Upstream {
    golden: Golden,
    start: BTreeMap<String, Tensor>,
    real: Tensor,
    fake: Tensor,
}

struct Built {
    variables: BTreeMap<String, Tensor>,
    discriminator: PatchGan,
}

impl Built {
    fn train(&self, images: &Tensor) -> Tensor {
        self.discriminator.forward(images, true).unwrap()
    }

    fn eval(&self, images: &Tensor) -> Tensor {
        self.discriminator.forward(images, false).unwrap()
    }
}

impl Upstream {
    fn new(golden: Golden) -> Self {
        let (start, real) = (golden.weights(), golden.input("real"));
        let fake = decode(&golden, &golden.input("last_layer"));
        golden.close("fake", &fake);
        Self { golden, start, real, fake }
    }

    fn build(&self) -> Built {
        let size = |key: &str| self.golden.config()["config"][key].as_i64().unwrap();
        let actnorm = self.golden.config()["config"]["use_actnorm"].as_bool().unwrap();
        let norm = if actnorm { DiscriminatorNorm::Actnorm } else { DiscriminatorNorm::Batch };
        let config = PatchGanConfig { ndf: size("ndf"), n_layers: size("n_layers"), norm };
        let _generator = generator(0);
        let mut vs = nn::VarStore::new(Device::Cpu);
        let discriminator = PatchGan::new(&vs.root(), size("input_nc"), &config).unwrap();
        weights::assign(&self.start, &mut vs).unwrap();
        Built { variables: weights::tensors(&vs), discriminator }
    }

    fn number(&self, key: &str) -> f64 {
        self.golden.config()["config"][key].as_f64().unwrap()
    }

    fn gan_loss(&self) -> GanLoss {
        serde_json::from_value(self.golden.config()["config"]["disc_loss"].clone()).unwrap()
    }

    /// Where the golden has an ActNorm, its first batch is what all else starts from.
    fn initialize(&mut self) {
        if !self.golden.has("logits_real_init") {
            return;
        }
        let built = self.build();
        self.golden.close("logits_real_init", &built.train(&self.real));
        self.state("state_init/", &built);
        self.start = built.variables.into_iter().map(|(name, value)| (name, value.detach())).collect();
    }

    fn state(&self, prefix: &str, built: &Built) {
        for key in self.golden.keys().filter(|key| key.starts_with(prefix)) {
            self.golden.close(key, &built.variables[&key[prefix.len()..]]);
        }
    }

    fn logits(&self) {
        let built = self.build();
        self.golden.close("logits_real_eval", &built.eval(&self.real));
        self.golden.close("logits_fake_eval", &built.eval(&self.fake));
        self.golden.close("logits_real_train", &built.train(&self.real));
        self.golden.close("logits_fake_train", &built.train(&self.fake));
        self.state("state_after/", &built);
        self.golden.close("g_loss", &self.gan_loss().generator(&built.train(&self.fake)));
    }

    fn gradients(&self) {
        for (name, loss) in [("hinge", GanLoss::Hinge), ("vanilla", GanLoss::Vanilla)] {
            let built = self.build();
            let loss = loss.discriminator(&built.train(&self.real), &built.train(&self.fake));
            self.golden.close(&format!("{name}_d_loss"), &loss);
            loss.backward();
            let prefix = format!("grad_{name}/");
            for key in self.golden.keys().filter(|key| key.starts_with(&prefix)) {
                self.golden.close(key, &built.variables[&key[prefix.len()..]].grad());
            }
        }
    }

    fn losses(&self) {
        assert_eq!(self.number("perceptual_weight"), 0.0);
        let (golden, loss, built) = (&self.golden, self.gan_loss(), self.build());
        let last_layer = golden.input("last_layer").set_requires_grad(true);
        let fake = decode(golden, &last_layer);
        let reconstruction = ReconstructionLoss::L1.loss(&fake, &self.real);
        let adversarial = loss.generator(&built.train(&fake));
        golden.close("nll_loss", &reconstruction);
        golden.close("g_loss_toy", &adversarial);

        let gradient = |loss: &Tensor| Tensor::run_backward(&[loss], &[&last_layer], true, false).remove(0);
        let (of_reconstruction, of_adversarial) = (gradient(&reconstruction), gradient(&adversarial));
        golden.close("grad_nll_last", &of_reconstruction);
        golden.close("grad_g_last", &of_adversarial);
        let weight = adaptive_weight(&of_reconstruction, &of_adversarial, MAX_ADAPTIVE_WEIGHT);
        let weight = weight * self.number("disc_weight");
        golden.close("adaptive_weight", &weight);

        let start_step = self.golden.config()["config"]["disc_start"].as_u64().unwrap();
        let ramp = Ramp { start_step, ramp_steps: 0 };
        let discriminator = self.build();
        let losses = loss.discriminator(&discriminator.train(&self.real), &discriminator.train(&self.fake));
        let codebook = golden.input("codebook_loss") * self.number("codebook_weight");
        let before = start_step.checked_sub(1).map_or(0.0, |step| ramp.factor(step));
        for (when, ramped) in [("before", before), ("after", ramp.factor(start_step))] {
            let factor = ramped * self.number("disc_factor");
            // Upstream keeps `pixelloss_weight` and multiplies nothing by it.
            golden.close(&format!("ae_loss_{when}"), &(&reconstruction + &weight * &adversarial * factor + &codebook));
            golden.close(&format!("disc_loss_{when}"), &(&losses * factor));
        }
    }
}

/// The golden's decoder of one convolution.
fn decode(golden: &Golden, last_layer: &Tensor) -> Tensor {
    golden.input("features").conv2d(last_layer, Some(golden.input("last_bias")), [1, 1], [1, 1], [1, 1], 1)
}
