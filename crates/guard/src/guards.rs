//! Guards of training: what is wrong, once that is sure.

use std::collections::BTreeMap;

use tch::Tensor;
use vqkit_recipe::Guard;
use vqkit_run::Tensors;

use crate::{fault::Fault, trend::Trend};

/// A training loss that is this many times its lowest has exploded.
const EXPLODED: f64 = 4.0;

/// One that is this many times its lowest is no state to go back to.
const WORRYING: f64 = 1.5;

/// Bits per token on validation samples that are this many times the best.
const WORSE_BITS: f64 = 1.15;

/// PSNR in dB, or points of accuracy, by which validation is worse than its best.
const WORSE_PSNR: f64 = 3.0;

/// An adaptive weight has run away at this value, or at its upper bound where that is lower.
const RUN_AWAY: f64 = 1e3;

/// Watches a stage for faults. Of single readings it concludes nothing: a fault has to show as often in a row as the recipe's
/// `patience` says.
#[derive(Debug)]
pub struct Guards {
    config: Guard,
    /// How often in a row each fault has shown.
    suspicions: BTreeMap<Fault, u32>,
    loss: Trend,
    best_bits: Option<f64>,
    best_psnr: Option<f64>,
}

impl Guards {
    const NAME: &'static str = "guards";

    /// Continues from `saved`, or starts anew.
    pub fn restore(config: Guard, saved: &Tensors) -> Self {
        let numbers = saved.get(Self::NAME).and_then(|state| Vec::<f64>::try_from(state).ok()).unwrap_or_default();
        let at = |index: usize| numbers.get(index).copied().unwrap_or(0.0);
        // What is known stands behind a one, what is not behind a zero.
        let number = |index: usize| (at(2 * index) > 0.0).then(|| at(2 * index + 1));
        let suspicion = |(index, fault): (usize, &Fault)| {
            let count = at(8 + index) as u32;
            (count > 0).then_some((*fault, count))
        };
        Self {
            config,
            suspicions: Fault::ALL.iter().enumerate().filter_map(suspicion).collect(),
            loss: Trend { running: number(0), lowest: number(1) },
            best_bits: number(2),
            best_psnr: number(3),
        }
    }

    /// The state by name.
    pub fn save(&self) -> Tensors {
        let known = [self.loss.running, self.loss.lowest, self.best_bits, self.best_psnr];
        let known = known.into_iter().flat_map(|number| [f64::from(u8::from(number.is_some())), number.unwrap_or(0.0)]);
        let counts = Fault::ALL.iter().map(|fault| f64::from(self.suspicions.get(fault).copied().unwrap_or(0)));
        [(Self::NAME.to_owned(), Tensor::from_slice(&known.chain(counts).collect::<Vec<f64>>()))].into()
    }

    /// Whether some fault has shown in its last reading, sure or not, or the loss is well above its lowest.
    pub fn suspects(&self) -> bool {
        !self.suspicions.is_empty() || self.loss.ratio().is_some_and(|ratio| ratio > WORRYING)
    }

    /// The share of codes in use below which a codebook counts as collapsed.
    pub fn min_usage(&self) -> f64 {
        self.config.min_usage
    }

    /// A reading of a fault: whether it shows. Gives the fault when it is sure.
    pub fn reading(&mut self, fault: Fault, shows: bool) -> Option<Fault> {
        if !shows {
            self.suspicions.remove(&fault);
            return None;
        }
        let count = self.suspicions.entry(fault).or_default();
        *count += 1;
        (*count >= self.config.patience).then_some(fault)
    }

    /// A training loss that gets smaller where training goes well.
    pub fn loss(&mut self, value: f64) -> Option<Fault> {
        let exploded = self.loss.add(value).is_some_and(|ratio| ratio > EXPLODED);
        self.reading(Fault::LossExplodes, exploded)
    }

    /// The adaptive weight without the factors of the recipe, and its upper bound.
    pub fn adaptive_weight(&mut self, value: f64, bound: f64) -> Option<Fault> {
        // Means over parts of a batch are rounded.
        self.reading(Fault::AdaptiveWeight, value >= 0.99 * bound.min(RUN_AWAY))
    }

    /// Bits per token on validation samples.
    pub fn bits(&mut self, bits: f64) -> Option<Fault> {
        let best = self.best_bits.map_or(bits, |best| best.min(bits));
        self.best_bits = Some(best);
        self.reading(Fault::ValidationDiverges, bits > WORSE_BITS * best)
    }

    /// PSNR in dB on validation images, or accuracy in percent.
    pub fn psnr(&mut self, psnr: f64) -> Option<Fault> {
        let best = self.best_psnr.map_or(psnr, |best| best.max(psnr));
        self.best_psnr = Some(best);
        self.reading(Fault::ValidationDiverges, psnr < best - WORSE_PSNR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guards() -> Guards {
        Guards::restore(Guard::default(), &Tensors::new())
    }

    #[test]
    fn a_fault_has_to_show_twice_in_a_row() {
        let mut guards = guards();
        let shown = [true, false, true, true].map(|shows| guards.reading(Fault::DiscriminatorWins, shows));
        assert_eq!(shown, [None, None, None, Some(Fault::DiscriminatorWins)]);
    }

    #[test]
    fn a_loss_that_falls_with_noise_is_healthy_and_one_that_rises_is_not() {
        let mut healthy = guards();
        let noisy = |step: i32| 0.02 + 1.0 / f64::from(step + 1) * (1.0 + 0.6 * f64::from(step % 3 - 1));
        assert!((0..200).all(|step| healthy.loss(noisy(step)).is_none()));
        let mut exploding = guards();
        assert!((0..50).all(|step| exploding.loss(noisy(step)).is_none()));
        let found = (0..20).find_map(|_| exploding.loss(5.0));
        assert_eq!(found, Some(Fault::LossExplodes));
    }

    #[test]
    fn validation_that_only_wavers_is_healthy() {
        let mut guards = guards();
        assert!([8.0, 6.5, 6.6, 6.4, 6.8, 6.7].iter().all(|bits| guards.bits(*bits).is_none()));
        assert_eq!([7.9, 8.4].map(|bits| guards.bits(bits)), [None, Some(Fault::ValidationDiverges)]);
    }

    #[test]
    fn the_state_goes_on_where_it_was() {
        let mut first = guards();
        assert_eq!([8.0, 10.0].map(|bits| first.bits(bits)), [None, None]);
        first.loss(0.5);
        let mut second = Guards::restore(Guard::default(), &first.save());
        assert!(second.suspects());
        assert_eq!(second.bits(10.0), Some(Fault::ValidationDiverges));
        assert!(!Guards::restore(Guard::default(), &guards().save()).suspects());
    }
}
