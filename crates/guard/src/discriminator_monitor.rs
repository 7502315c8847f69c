//! Monitors adversarial training: whether the discriminator still gives a useful gradient.

use tch::{Device, Kind, Tensor};
use vqkit_run::Tensors;

use crate::fault::Fault;

/// Decay per step of the running accuracies.
const DECAY: f64 = 0.99;

/// Above this on both sides, the discriminator has won.
const WON: f64 = 0.98;

/// If the accuracy on real and fake patches together exceeds one half by less than this, the discriminator is at
/// chance: it guesses, or gives all patches the same label.
const BLIND: f64 = 0.02;

/// Number of steps before the running accuracies are meaningful.
const WARM: i64 = 300;

/// Running accuracies of a discriminator on real and on fake patches.
#[derive(Debug)]
pub struct DiscriminatorMonitor {
    /// `[real, fake, steps]`, f32.
    state: Tensor,
}

impl DiscriminatorMonitor {
    const NAME: &'static str = "monitor";

    /// Continues from `saved`, or starts anew.
    pub fn restore(device: Device, saved: &Tensors) -> Self {
        let state = saved.get(Self::NAME).map(Tensor::copy);
        Self { state: state.unwrap_or_else(|| Tensor::from_slice(&[0.5f32, 0.5, 0.0])).to_device(device) }
    }

    /// The state by name.
    pub fn save(&self) -> Tensors {
        [(Self::NAME.to_owned(), self.state.copy())].into()
    }

    /// Adds a step's logits.
    pub fn add(&mut self, real_logits: &Tensor, fake_logits: &Tensor) {
        let share = |right: Tensor| right.to_kind(Kind::Float).mean(Kind::Float);
        let shares = Tensor::stack(&[share(real_logits.gt(0.0)), share(fake_logits.lt(0.0))], 0);
        let (mut running, mut steps) = (self.state.narrow(0, 0, 2), self.state.narrow(0, 2, 1));
        let _ = running.lerp_(&shares, 1.0 - DECAY);
        steps += 1.0;
    }

    /// Running accuracies on real and on fake patches; waits for the device.
    pub fn accuracies(&self) -> (f64, f64) {
        (self.state.double_value(&[0]), self.state.double_value(&[1]))
    }

    /// What is wrong with adversarial training, and what to do about it.
    pub fn fault(&self) -> Option<(Fault, String)> {
        let (real, fake) = self.accuracies();
        let percent = format!("{:.0} % of real and {:.0} % of fake patches", real * 100.0, fake * 100.0);
        match () {
            () if self.state.int64_value(&[2]) < WARM => None,
            () if real > WON && fake > WON => {
                let cause = format!(
                    "the discriminator is right on {percent}: it is too strong for the generator to learn from. Lower \
                     adversarial.train.learning_rate, set adversarial.lecam_weight (0.001), or start it later"
                );
                Some((Fault::DiscriminatorWins, cause))
            }
            () if f64::midpoint(real, fake) < 0.5 + BLIND => {
                let cause = format!(
                    "the discriminator is right on {percent}, no better than guessing: its gradient is useless. Raise \
                     adversarial.train.learning_rate, lower lecam_weight or r1_weight, or give it more channels (ndf)"
                );
                Some((Fault::DiscriminatorGuesses, cause))
            }
            () => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(real: f32, fake: f32, steps: usize) -> DiscriminatorMonitor {
        let mut monitor = DiscriminatorMonitor::restore(Device::Cpu, &Tensors::new());
        (0..steps).for_each(|_| monitor.add(&Tensor::from_slice(&[real; 4]), &Tensor::from_slice(&[fake; 4])));
        monitor
    }

    #[test]
    fn a_discriminator_that_always_wins_is_reported_once_that_is_sure() {
        assert_eq!(after(2.0, -2.0, 50).fault(), None);
        let (fault, cause) = after(2.0, -2.0, 500).fault().unwrap();
        assert!(fault == Fault::DiscriminatorWins && cause.contains("100 % of real and 100 % of fake"), "{cause}");
    }

    #[test]
    fn one_that_calls_everything_real_is_blind() {
        assert!(after(2.0, 2.0, 500).fault().unwrap().1.contains("100 % of real and 0 % of fake"));
    }

    #[test]
    fn guessing_is_reported_and_the_state_goes_on() {
        let mut monitor = after(1.0, 1.0, 0);
        for step in 0..600 {
            let sign = if step % 2 == 0 { 1.0f32 } else { -1.0 };
            monitor.add(&Tensor::from_slice(&[sign]), &Tensor::from_slice(&[sign]));
        }
        assert!(monitor.fault().unwrap().1.contains("guessing"));
        let restored = DiscriminatorMonitor::restore(Device::Cpu, &monitor.save());
        assert_eq!(restored.accuracies(), monitor.accuracies());
    }
}
