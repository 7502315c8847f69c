//! What steers a pass: class and condition grids, checked and made into features.

use tch::{Kind, Tensor};

use super::PixelSnail;
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
        let class = self.class_embedding.as_ref().zip(self.classes(condition, batch, train));
        let class = class.map(|(table, class)| Tensor::f_embedding(table, &class, -1, false, false)).transpose()?;
        let dropout = self.dropout(train);
        let mut features: Option<Tensor> = None;
        for (network, grid) in self.cond_resnets.iter().zip(&condition.grids) {
            let more = network.forward(&grid.to_device(self.background.device()), self.spec.grid, dropout)?;
            features = Some(features.map_or_else(|| more.shallow_clone(), |sum| sum + &more));
        }
        Ok(Context { class: class.map(|rows| rows.unsqueeze(-1).unsqueeze(-1)), features })
    }

    /// The labels `[B]`, some of them replaced by the null class when training.
    fn classes(&self, condition: &Condition, batch: i64, train: bool) -> Option<Tensor> {
        let (null, device) = (self.spec.num_classes?, self.background.device());
        let Some(class) = &condition.class else {
            return Some(Tensor::full([batch], null, (Kind::Int64, device)));
        };
        let class = class.to_device(device);
        if !(train && self.config.has_null_class()) {
            return Some(class);
        }
        let dropped = Tensor::rand([batch], (Kind::Float, device)).lt(self.config.class_dropout);
        Some(class.masked_fill(&dropped, null))
    }

    /// Looks at the values of a condition.
    pub(super) fn check_range(&self, condition: &Condition) -> Result<(), PriorError> {
        for grid in &condition.grids {
            grid.check_range()?;
        }
        let (Some(class), Some(classes)) = (&condition.class, self.spec.num_classes) else { return Ok(()) };
        let limit = classes + i64::from(self.config.has_null_class());
        let (least, largest) = class.aminmax(None, false);
        for class in [least.int64_value(&[]), largest.int64_value(&[])] {
            if class < 0 || class >= limit {
                return Err(PriorError::Class { class, classes });
            }
        }
        Ok(())
    }
}
