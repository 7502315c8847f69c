//! A noisy number over time.

/// Weight of the readings so far against a new one.
const DECAY: f64 = 0.8;

/// The running mean of a number, and the lowest that it was.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Trend {
    /// The running mean.
    pub running: Option<f64>,
    /// The lowest running mean.
    pub lowest: Option<f64>,
}

impl Trend {
    /// Adds a reading; gives how many times its lowest the running mean is, where that says something.
    pub fn add(&mut self, value: f64) -> Option<f64> {
        let running = self.running.map_or(value, |running| DECAY * running + (1.0 - DECAY) * value);
        let lowest = self.lowest.map_or(running, |lowest| lowest.min(running));
        (self.running, self.lowest) = (Some(running), Some(lowest));
        self.ratio()
    }

    /// How many times its lowest the running mean is.
    pub fn ratio(&self) -> Option<f64> {
        let (running, lowest) = (self.running?, self.lowest?);
        (lowest > 0.0).then(|| running / lowest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_reading_moves_it_a_little_and_many_move_it() {
        let mut trend = Trend::default();
        assert!((0..10).all(|_| trend.add(1.0) == Some(1.0)));
        assert!(trend.add(9.0).unwrap() < 3.0);
        assert!((0..30).map(|_| trend.add(9.0).unwrap()).last().unwrap() > 8.9);
        assert_eq!(Trend::default().add(0.0), None);
    }
}
