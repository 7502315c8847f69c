//! Agreement of label maps.

use tch::{Device, Kind, Tensor};

/// How two label maps agree, pixel by pixel, over everything that was added.
///
/// ```
/// use tch::Tensor;
/// use vqkit_metrics::LabelAgreement;
///
/// let mut agreement = LabelAgreement::new(3);
/// agreement.add(&Tensor::from_slice(&[0i64, 0, 1, 1]), &Tensor::from_slice(&[0i64, 1, 1, 1]));
/// assert_eq!(agreement.accuracy(), 0.75);
/// assert_eq!(agreement.mean_iou(), (1.0 / 2.0 + 2.0 / 3.0) / 2.0);
/// ```
#[derive(Debug)]
pub struct LabelAgreement {
    /// Pixels of each true label (rows) that have each label on the other side, `[K, K]`, f64.
    counts: Tensor,
}

impl LabelAgreement {
    /// Nothing added yet, of labels `0..count`.
    pub fn new(count: i64) -> Self {
        Self { counts: Tensor::zeros([count, count], (Kind::Double, Device::Cpu)) }
    }

    /// Adds pixels; both of any one shape, i64, labels in range.
    pub fn add(&mut self, labels: &Tensor, truth: &Tensor) {
        let count = self.counts.size()[0];
        let pairs = (truth * count + labels).flatten(0, -1).to_device(Device::Cpu);
        self.counts += pairs.bincount(None::<Tensor>, count * count).view([count, count]);
    }

    /// Share of pixels that agree.
    pub fn accuracy(&self) -> f64 {
        (self.counts.trace() / self.counts.sum(Kind::Double)).double_value(&[])
    }

    /// Mean over the labels that occur on either side of intersection over union; NaN where none does.
    pub fn mean_iou(&self) -> f64 {
        self.mean_iou_from(0)
    }

    /// As [`mean_iou`](Self::mean_iou), of the labels from `first` on: 1 leaves a background out.
    pub fn mean_iou_from(&self, first: i64) -> f64 {
        let both = self.counts.diagonal(0, 0, 1);
        let sum = |axis: i64| self.counts.sum_dim_intlist([axis].as_slice(), false, Kind::Double);
        let union = sum(0) + sum(1) - &both;
        let occur = union.gt(0.0).to_kind(Kind::Double);
        let ratio = both / union.clamp_min(1.0) * &occur;
        let from = |tensor: &Tensor| tensor.slice(0, first, None, 1).sum(Kind::Double);
        (from(&ratio) / from(&occur)).double_value(&[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_that_occur_nowhere_do_not_count() {
        let mut agreement = LabelAgreement::new(5);
        let map = Tensor::from_slice(&[0i64, 0, 2, 2]).view([2, 2]);
        agreement.add(&map, &map);
        assert_eq!((agreement.accuracy(), agreement.mean_iou(), agreement.mean_iou_from(1)), (1.0, 1.0, 1.0));
        agreement.add(&map.zeros_like(), &map);
        assert_eq!(agreement.accuracy(), 0.75);
        assert_eq!(agreement.mean_iou_from(1), 0.5);
        assert_eq!(agreement.mean_iou(), (4.0 / 6.0 + 0.5) / 2.0);
    }
}
