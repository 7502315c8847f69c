//! What steers a pass: class and condition grids, checked and made into features.

use tch::Tensor;

use super::PixelSnail;
use crate::classes::Classes;
use crate::{Condition, PriorError};

/// Both parts of a condition, ready to be added.
#[derive(Debug)]
pub(super) struct Context {
    /// Of the class, `[B, C, 1, 1]`.
    pub class: Option<Tensor>,
    /// Of the condition grids, `[B, F, H, W]`.
    pub features: Option<Tensor>,
}

impl PixelSnail {
    /// The parts of a condition that was checked.
    pub(super) fn context(&self, condition: &Condition, batch: i64, train: bool) -> Result<Context, PriorError> {
        let device = self.background.device();
        let labels = self.classes().map(|classes| classes.labels(condition, batch, device, train));
        let class = self.class_embedding.as_ref().zip(labels);
        let class = class.map(|(table, class)| Tensor::f_embedding(table, &class, -1, false, false)).transpose()?;
        let dropout = self.dropout(train);
        let mut features: Option<Tensor> = None;
        for (network, grid) in self.cond_resnets.iter().zip(&condition.grids) {
            let more = network.forward(&grid.to_device(device), self.spec.grid, dropout)?;
            features = Some(features.map_or_else(|| more.shallow_clone(), |sum| sum + &more));
        }
        Ok(Context { class: class.map(|rows| rows.unsqueeze(-1).unsqueeze(-1)), features })
    }

    /// Looks at the values of a condition.
    pub(super) fn check_range(&self, condition: &Condition) -> Result<(), PriorError> {
        for grid in &condition.grids {
            grid.check_range()?;
        }
        self.classes().map_or(Ok(()), |classes| classes.check(condition))
    }

    pub(super) fn classes(&self) -> Option<Classes> {
        Classes::of(&self.spec, self.config.class_dropout)
    }
}
