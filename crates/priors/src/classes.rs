//! The class condition: labels, and the null class that guidance moves away from.

use tch::{Device, Kind, Tensor};

use crate::{Condition, PriorError, PriorSpec};

/// The classes of a prior; the null class, where labels are dropped in training, has the number after the last.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Classes {
    count: i64,
    /// Probability with which a label becomes the null class in training.
    dropout: f64,
}

impl Classes {
    /// `None` where the prior takes no class.
    pub(crate) fn of(spec: &PriorSpec, dropout: f64) -> Option<Self> {
        spec.num_classes.map(|count| Self { count, dropout })
    }

    /// Rows of a table of classes.
    pub(crate) fn rows(self) -> i64 {
        self.count + i64::from(self.has_null())
    }

    /// Whether there is a null class.
    pub(crate) fn has_null(self) -> bool {
        self.dropout > 0.0
    }

    /// The labels `[B]`, the null class for those that are missing, and for some of the others when training.
    pub(crate) fn labels(self, condition: &Condition, batch: i64, device: Device, train: bool) -> Tensor {
        let Some(class) = &condition.class else {
            return Tensor::full([batch], self.count, (Kind::Int64, device));
        };
        let class = class.to_device(device);
        if !(train && self.has_null()) {
            return class;
        }
        let dropped = Tensor::rand([batch], (Kind::Float, device)).lt(self.dropout);
        class.masked_fill(&dropped, self.count)
    }

    /// `condition` for `batch` rows of the null class.
    ///
    /// # Errors
    /// [`PriorError::Config`] where there is none.
    pub(crate) fn null(
        classes: Option<Self>,
        condition: &Condition,
        batch: i64,
        device: Device,
    ) -> Result<Condition, PriorError> {
        match classes {
            Some(classes) if classes.has_null() => {
                let class = Tensor::full([batch], classes.count, (Kind::Int64, device));
                Ok(condition.clone().with_class(class))
            }
            _ => {
                let reason =
                    "guidance needs a prior with classes that was trained with class_dropout > 0; so does best_by";
                Err(PriorError::config("cfg_scale", reason))
            }
        }
    }

    /// Checks the range of the labels of a condition, if it has any.
    ///
    /// # Errors
    /// [`PriorError::Class`] for the least or largest that is no class.
    pub(crate) fn check(self, condition: &Condition) -> Result<(), PriorError> {
        let Some(class) = &condition.class else { return Ok(()) };
        let (least, largest) = class.aminmax(None, false);
        let of_range = [least, largest].map(|class| class.int64_value(&[]));
        match of_range.into_iter().find(|class| !(0..self.rows()).contains(class)) {
            None => Ok(()),
            Some(class) => Err(PriorError::Class { class, classes: self.count }),
        }
    }
}
