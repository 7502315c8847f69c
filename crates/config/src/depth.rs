//! How deeply a document is nested: measured, and taken apart, without a frame of the stack for every level.

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// Tables and arrays inside each other; more is taken for a mistake.
pub(crate) const MAX_DEPTH: usize = 32;

/// What a message says of more.
pub(crate) const TOO_DEEP: &str = "tables and arrays are nested more than 32 deep";

/// Refuses a value below `above` tables that is nested too deeply, and frees it.
///
/// # Errors
/// Where it is too deep, in bytes.
pub(crate) fn checked(value: Spanned<DeValue>, above: usize) -> Result<Spanned<DeValue>, usize> {
    match too_deep(&value, above) {
        None => Ok(value),
        Some(place) => {
            free(value.into_inner());
            Err(place)
        }
    }
}

/// As [`checked`], of a whole document.
///
/// # Errors
/// As [`checked`].
pub(crate) fn checked_table(table: Spanned<DeTable>) -> Result<Spanned<DeTable>, usize> {
    let span = table.span();
    let value = checked(Spanned::new(span.clone(), DeValue::Table(table.into_inner())), 0)?;
    match value.into_inner() {
        DeValue::Table(table) => Ok(Spanned::new(span, table)),
        _ => Err(span.start),
    }
}

fn too_deep(value: &Spanned<DeValue>, above: usize) -> Option<usize> {
    let mut left = vec![(value, above)];
    while let Some((value, depth)) = left.pop() {
        if depth > MAX_DEPTH {
            return Some(value.span().start);
        }
        match value.get_ref() {
            DeValue::Table(table) => left.extend(table.values().map(|below| (below, depth + 1))),
            DeValue::Array(items) => left.extend(items.iter().map(|below| (below, depth + 1))),
            _ => {}
        }
    }
    None
}

/// Drops a value level by level; its own drop would go down to the deepest first.
fn free(value: DeValue) {
    let mut left = vec![value];
    while let Some(value) = left.pop() {
        match value {
            DeValue::Table(table) => left.extend(table.into_iter().map(|(_, below)| below.into_inner())),
            DeValue::Array(items) => left.extend(items.into_iter().map(Spanned::into_inner)),
            _ => {}
        }
    }
}
