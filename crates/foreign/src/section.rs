//! Sections of recipes, from keys and values.

use toml::{Table, Value};

/// A table of one level.
pub fn table<const N: usize>(entries: [(&str, Value); N]) -> Table {
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// `[quantizer]` of a codebook that is learned by gradient, as other projects train it: nothing is initialized or revived.
pub fn vector_quantizer(codes: i64, codebook_weight: f64, commitment_weight: f64) -> Table {
    table([
        ("type", "vq".into()),
        ("codebook_size", codes.into()),
        ("codebook_weight", codebook_weight.into()),
        ("commitment_weight", commitment_weight.into()),
        ("kmeans_init", false.into()),
        ("revive_after", 0.into()),
    ])
}
