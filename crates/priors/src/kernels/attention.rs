//! One query against the keys and values that are kept.

use super::{threads, vector};

/// What an attention is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heads {
    /// Heads of the queries.
    pub count: usize,
    /// Heads of keys and values; divides `count`.
    pub kept: usize,
    /// Width of a head.
    pub dim: usize,
}

/// Keys and values of the past, `[rows, kept, capacity, dim]` each, of which the first `length` are there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Past<'p> {
    pub keys: &'p [f32],
    pub values: &'p [f32],
    pub capacity: usize,
    pub length: usize,
    /// What is added to the scores of the first positions, the same number of them in every row: `[rows, masked]`.
    pub bias: Option<&'p [f32]>,
}

/// `softmax(q · kᵀ / √dim) · v` for one query `[rows, count · dim]` a row, into `output` of the same shape.
pub(crate) fn attend(heads: Heads, query: &[f32], past: &Past, output: &mut [f32]) {
    let Heads { count, kept, dim } = heads;
    let rows = query.len() / (count * dim);
    assert!(query.len() == output.len() && query.len() == rows * count * dim);
    assert!(past.length <= past.capacity && past.keys.len() == rows * kept * past.capacity * dim);
    assert!(past.keys.len() == past.values.len());
    let masked = past.bias.map_or(0, |bias| bias.len() / rows);
    let place = Place(output.as_mut_ptr());
    threads::share(rows * count, &|index| {
        let (row, head) = (index / count, index % count);
        let first = (row * kept + head * kept / count) * past.capacity * dim;
        let [keys, values] = [past.keys, past.values].map(|all| &all[first..][..past.length * dim]);
        let bias = past.bias.map(|bias| &bias[row * masked..][..masked]).unwrap_or_default();
        let query = &query[index * dim..][..dim];
        // SAFETY: as many numbers as the query has, which no other index writes.
        let output = unsafe { std::slice::from_raw_parts_mut(place.get().add(index * dim), dim) };
        one_head(query, keys, values, bias, output);
    });
}

/// Where the threads write, each its own heads.
struct Place(*mut f32);

impl Place {
    fn get(&self) -> *mut f32 {
        self.0
    }
}

// SAFETY: every index writes places of its own.
unsafe impl Sync for Place {}

fn one_head(query: &[f32], keys: &[f32], values: &[f32], bias: &[f32], output: &mut [f32]) {
    let mut weights = vec![0f32; keys.len() / query.len()];
    vector::products(query, keys, &mut weights);
    let scale = (query.len() as f32).sqrt().recip();
    weights.iter_mut().for_each(|score| *score *= scale);
    weights.iter_mut().zip(bias).for_each(|(score, bias)| *score += bias);
    let largest = weights.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    weights.iter_mut().for_each(|score| *score = (*score - largest).exp());
    let sum: f32 = weights.iter().sum();
    weights.iter_mut().for_each(|weight| *weight /= sum);
    vector::mixture(&weights, values, output);
}
