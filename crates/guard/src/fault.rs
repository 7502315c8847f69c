//! What can be wrong with training.

/// A fault of training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A loss, a gradient or a weight is not finite.
    NotFinite,
    /// The training loss is many times what it was.
    LossExplodes,
    /// The adaptive weight of the adversarial term has run away.
    AdaptiveWeight,
    /// The discriminator tells real images from reconstructions without fail.
    DiscriminatorWins,
    /// The discriminator does no better than guessing.
    DiscriminatorGuesses,
    /// Hardly any codes of a codebook are used.
    CodebookCollapses,
    /// Validation gets worse and worse.
    ValidationDiverges,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 7] = [
        Self::NotFinite,
        Self::LossExplodes,
        Self::AdaptiveWeight,
        Self::DiscriminatorWins,
        Self::DiscriminatorGuesses,
        Self::CodebookCollapses,
        Self::ValidationDiverges,
    ];

    /// Its name: `loss-explodes`.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotFinite => "not-finite",
            Self::LossExplodes => "loss-explodes",
            Self::AdaptiveWeight => "adaptive-weight",
            Self::DiscriminatorWins => "discriminator-wins",
            Self::DiscriminatorGuesses => "discriminator-guesses",
            Self::CodebookCollapses => "codebook-collapses",
            Self::ValidationDiverges => "validation-diverges",
        }
    }

    /// What is wrong, and what to change; where a monitor knows more of the case, that is said in its place.
    pub fn verdict(self) -> &'static str {
        match self {
            Self::NotFinite => {
                "a value is not finite: lower learning_rate, warm it up longer, or use precision = \"fp32\""
            }
            Self::LossExplodes => {
                "the training loss is over four times its lowest: lower learning_rate, warm it up longer, or lower clip_norm"
            }
            Self::AdaptiveWeight => {
                "the adaptive weight runs away, since the discriminator's gradient at the last layer vanishes: lower \
                 adversarial.train.learning_rate or r1_weight, lower max_adaptive_weight, or set adversarial.adaptive = false"
            }
            Self::DiscriminatorWins => {
                "the discriminator is always right: lower adversarial.train.learning_rate, set adversarial.lecam_weight (0.001), \
                 or start it later"
            }
            Self::DiscriminatorGuesses => {
                "the discriminator only guesses: raise adversarial.train.learning_rate, lower lecam_weight or r1_weight, or give \
                 it more channels (ndf)"
            }
            Self::CodebookCollapses => {
                "a codebook collapses: use latent_norm, revive_after or kmeans_init, or lower commitment_weight"
            }
            Self::ValidationDiverges => {
                "validation gets worse while training goes on: the network memorises its training data, or learning_rate is too \
                 high. Use fewer steps, more dropout or weight_decay, or more data; the best checkpoint is kept"
            }
        }
    }
}
