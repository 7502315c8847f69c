//! One query against the keys and values that are cached.

use super::vector;

/// What an attention is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heads {
    /// Heads of the queries.
    pub count: usize,
    /// Heads of keys and values; divides `count`.
    pub kv: usize,
    /// Width of a head.
    pub dim: usize,
}

/// Keys and values of the past, `[rows, kv, capacity, dim]` each, of which the first `length` are there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Past<'p> {
    pub keys: &'p [f32],
    pub values: &'p [f32],
    pub capacity: usize,
    pub length: usize,
    /// What is added to the scores of a row's positions, `[rows, capacity]`.
    pub bias: Option<&'p [f32]>,
}

/// `softmax(q · kᵀ / √dim) · v` for one query `[rows, count · dim]` a row, into `output` of the same shape; `scores` has room
/// for `[rows, count, capacity]`.
pub(crate) fn attend(heads: Heads, query: &[f32], past: &Past, scores: &mut [f32], output: &mut [f32]) {
    let Heads { count, kv, dim } = heads;
    let rows = query.len() / (count * dim);
    assert!(query.len() == output.len() && query.len() == rows * count * dim);
    assert!(past.length <= past.capacity && past.keys.len() == rows * kv * past.capacity * dim);
    assert!(past.keys.len() == past.values.len());
    assert!(past.bias.is_none_or(|bias| bias.len() == rows * past.capacity));
    assert!(scores.len() >= rows * count * past.capacity);
    let (place, room) = (Place(output.as_mut_ptr()), Place(scores.as_mut_ptr()));
    vqkit_kernels::share(rows * count, &|index| {
        let (row, head) = (index / count, index % count);
        let first = (row * kv + head * kv / count) * past.capacity * dim;
        let [keys, values] = [past.keys, past.values].map(|all| &all[first..][..past.length * dim]);
        let bias = past.bias.map(|bias| &bias[row * past.capacity..][..past.length]).unwrap_or_default();
        let query = &query[index * dim..][..dim];
        // SAFETY: the lengths were compared, and no other index has these places.
        let (weights, output) =
            unsafe { (room.part(index * past.capacity, past.length), place.part(index * dim, dim)) };
        one_head(query, keys, values, bias, weights, output);
    });
}

/// Where the threads write, each its own heads.
struct Place(*mut f32);

impl Place {
    /// # Safety
    /// The numbers lie there, and nobody else has them.
    #[allow(clippy::mut_from_ref, reason = "every thread takes parts of its own")]
    unsafe fn part(&self, first: usize, length: usize) -> &mut [f32] {
        // SAFETY: as the caller says.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(first), length) }
    }
}

// SAFETY: every index writes places of its own.
unsafe impl Sync for Place {}

fn one_head(query: &[f32], keys: &[f32], values: &[f32], bias: &[f32], weights: &mut [f32], output: &mut [f32]) {
    vector::products(query, keys, weights);
    let scale = (query.len() as f32).sqrt().recip();
    weights.iter_mut().for_each(|score| *score *= scale);
    weights.iter_mut().zip(bias).for_each(|(score, bias)| *score += bias);
    let largest = weights.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    weights.iter_mut().for_each(|score| *score = (*score - largest).exp());
    let sum: f32 = weights.iter().sum();
    weights.iter_mut().for_each(|weight| *weight /= sum);
    vector::mixture(weights, values, output);
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor};
    use vqkit_testing::generator;

    use super::*;
    use crate::kernels::{numbers, numbers_mut};

    const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

    fn check(heads: Heads, rows: i64, capacity: i64, length: i64, masks: bool) {
        let Heads { count, kv, dim } = heads;
        let (count, kv, dim) = (count as i64, kv as i64, dim as i64);
        let past = || Tensor::randn([rows, kv, capacity, dim], CPU);
        let (query, keys, values) = (Tensor::randn([rows, count * dim], CPU), past(), past());
        let seen = Tensor::rand([rows, capacity], CPU).lt(0.5);
        let _ = seen.narrow(1, length - 1, 1).fill_(1);
        let bias = Tensor::zeros([rows, capacity], CPU).masked_fill(&seen.logical_not(), f64::NEG_INFINITY);
        let output = Tensor::zeros([rows, count * dim], CPU);
        let of_past = Past {
            keys: numbers(&keys),
            values: numbers(&values),
            capacity: capacity as usize,
            length: length as usize,
            bias: masks.then(|| numbers(&bias)),
        };
        let scores = Tensor::zeros([rows, count, capacity], CPU);
        // SAFETY: made just now.
        let (room, written) = unsafe { (numbers_mut(&scores), numbers_mut(&output)) };
        attend(heads, numbers(&query), &of_past, room, written);

        let mask = masks.then(|| bias.narrow(1, 0, length).view([rows, 1, 1, length]));
        let [keys, values] = [keys, values].map(|all| all.narrow(2, 0, length));
        let query = query.view([rows, count, 1, dim]);
        let grouped = count != kv;
        let right =
            Tensor::scaled_dot_product_attention(&query, &keys, &values, mask.as_ref(), 0.0, false, None, grouped);
        let worst = (output - right.flatten(1, 3)).abs().max().double_value(&[]);
        assert!(worst < 2e-6, "{heads:?}, {rows} rows, {length} of {capacity}: {worst}");
    }

    #[test]
    fn attention_is_libtorchs() {
        let _generator = generator(1);
        check(Heads { count: 1, kv: 1, dim: 3 }, 1, 1, 1, false);
        check(Heads { count: 4, kv: 4, dim: 8 }, 2, 9, 5, false);
        check(Heads { count: 3, kv: 3, dim: 64 }, 3, 40, 40, false);
        check(Heads { count: 6, kv: 2, dim: 20 }, 2, 12, 11, true);
        check(Heads { count: 2, kv: 1, dim: 100 }, 3, 30, 20, true);
    }
}
