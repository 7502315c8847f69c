//! Where an archive ends, and that nothing stands behind it.

use std::fs::File;

use crate::plain;

/// The size of a tar record; members begin at its multiples, and one of zeros marks the end.
pub(super) const BLOCK: u64 = 512;

/// Zeros that any archive may end with: the two blocks of the mark, and what fills up tar's usual record of 20 blocks.
const USUAL: u64 = 2 * BLOCK + 20 * BLOCK;

/// The largest record that archives are filled up to.
const MAX_RECORD: u64 = 1 << 20;

/// Bytes that are looked at in one go.
const PIECE: u64 = 1 << 16;

/// Looks at everything from the end of the last member, `mark`, to the `end` of the file: a block of zeros, and then no more than zeros
/// that fill up a record.
///
/// # Errors
/// In words: where the mark is missing, where there are other bytes behind it, or more zeros than tar writes.
pub(super) fn check(file: &File, mark: u64, end: u64) -> Result<(), String> {
    let behind = first_byte(file, mark, end)?;
    let zeros = behind.unwrap_or(end).saturating_sub(mark);
    match behind {
        _ if mark == 0 && zeros > 0 && behind.is_none() => {
            Err(format!("holds nothing but {end} zeros: it was overwritten, or never written; fetch it again"))
        }
        _ if zeros < BLOCK => {
            Err(format!("is truncated: it stops at byte {end} without the mark of its end; fetch it again"))
        }
        Some(at) => Err(format!(
            "goes on at byte {at}, behind the mark of its end at byte {mark}: archives were joined with `cat` (join them with `tar \
             --concatenate`, or give them one by one, as in `{{a,b}}.tar`), or a part of it was overwritten with zeros (fetch it again)"
        )),
        None if zeros > allowed(end) => Err(format!(
            "ends in {zeros} zeros from byte {mark} on, which no tar writes: its rest was overwritten, or never written; fetch it again"
        )),
        None => Ok(()),
    }
}

/// The most zeros that an archive of `end` bytes ends with: it was filled up to a record, of which it has a whole number.
fn allowed(end: u64) -> u64 {
    let records = (1..=MAX_RECORD / BLOCK).rev().map(|blocks| blocks * BLOCK);
    let record = records.into_iter().find(|record| end.is_multiple_of(*record)).unwrap_or(0);
    USUAL.max(record + 2 * BLOCK)
}

/// The place of the first byte that is not zero.
fn first_byte(file: &File, from: u64, end: u64) -> Result<Option<u64>, String> {
    let mut at = from;
    while at < end {
        let piece = plain::read_at(file, at, PIECE.min(end - at)).map_err(|error| error.to_string())?;
        if let Some(place) = piece.iter().position(|byte| *byte != 0) {
            return Ok(Some(at + place as u64));
        }
        at += piece.len() as u64;
    }
    Ok(None)
}
