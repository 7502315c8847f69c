//! The record before the bytes of an entry, which says again what the table of contents says.

use std::fs::File;

use super::bytes::{Record, read_at};
use super::directory::Member;

const SIGNATURE: u32 = 0x0403_4b50;
const LENGTH: usize = 30;
/// Sizes and checksum follow the bytes, and stand here as zeros.
const DESCRIPTOR: u16 = 8;

/// The bytes of an entry.
pub struct Found {
    /// Where its record begins.
    pub record: u64,
    /// Its first byte in the file.
    pub begin: u64,
    /// How many bytes it has in the file.
    pub bytes: u64,
    /// The CRC-32 of its bytes, if one was computed.
    pub checksum: Option<u32>,
}

impl Found {
    /// The place behind its last byte.
    pub fn end(&self) -> u64 {
        self.begin + self.bytes
    }
}

/// Finds the bytes of an entry, which lie before `limit`.
pub fn find(file: &File, name: &str, member: &Member, limit: u64) -> Result<Found, String> {
    let broken = |reason: &str| format!("its entry `{name}` is broken: {reason}");
    let outside = || broken("it lies outside of the archive");
    let behind = member.record.checked_add(LENGTH as u64).filter(|behind| *behind <= limit).ok_or_else(outside)?;
    let mut bytes = [0; LENGTH];
    read_at(file, &mut bytes, member.record)?;
    let mut record = Record(&bytes);
    if record.u32()? != SIGNATURE {
        return Err(broken("it has no record where the table of contents says"));
    }
    record.skip(2)?;
    let (flags, method) = (record.u16()?, record.u16()?);
    record.skip(4)?;
    let (checksum, compressed, size) = (record.u32()?, record.u32()?, record.u32()?);
    let (name_length, extra) = (record.u16()?, record.u16()?);
    let begin = behind + u64::from(name_length) + u64::from(extra);
    if begin.checked_add(member.compressed).is_none_or(|end| end > limit) {
        return Err(outside());
    }
    let mut own_name = vec![0; name_length.into()];
    read_at(file, &mut own_name, behind)?;
    let same = |own: u32, listed: u64| own == u32::MAX || u64::from(own) == listed;
    let same_sizes = checksum == member.checksum && same(compressed, member.compressed) && same(size, member.size);
    let is_same = String::from_utf8_lossy(&own_name) == name && method == member.method;
    if !is_same || (flags & DESCRIPTOR == 0 && !same_sizes) {
        return Err(broken("its record and the table of contents do not agree"));
    }
    let checksum = Some(member.checksum).filter(|checksum| *checksum != 0);
    Ok(Found { record: member.record, begin, bytes: member.compressed, checksum })
}
