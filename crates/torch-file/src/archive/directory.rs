//! The table of contents at the end of a zip archive, as APPNOTE.TXT of PKWARE describes it, with the fields for large archives.

use std::collections::BTreeMap;
use std::fs::File;

use super::bytes::{Record, read_at};

/// The method of entries that are not compressed.
pub const STORED: u16 = 0;

/// What the end of an archive begins with.
const END: u32 = 0x0605_4b50;
const END_LENGTH: u64 = 22;
const MAX_COMMENT: u64 = 0xffff;
/// The end of a large archive, and what tells where that is.
const LARGE_END: u32 = 0x0606_4b50;
const LARGE_END_LENGTH: u64 = 56;
const LOCATOR: u32 = 0x0706_4b50;
const LOCATOR_LENGTH: u64 = 20;
/// What an entry of the table begins with.
const ENTRY: u32 = 0x0201_4b50;
const ENTRY_LENGTH: u64 = 46;
/// The extra field of an entry that holds the numbers which have no place in 32 bits.
const LARGE_FIELD: u16 = 1;
const ENCRYPTED: u16 = 1;
/// The longest table: a million storages with long names.
const MAX_TABLE: u64 = 1 << 28;

/// One entry, as the table tells of it.
#[derive(Debug)]
pub struct Member {
    pub is_encrypted: bool,
    pub method: u16,
    /// The CRC-32 of its bytes. `torch.save` writes 0 where it was told to compute none.
    pub checksum: u32,
    pub compressed: u64,
    pub size: u64,
    /// Where its own record begins, behind which its bytes lie.
    pub record: u64,
}

/// The table.
pub struct Directory {
    pub members: BTreeMap<String, Member>,
    /// Where it begins, which is behind all entries.
    pub begin: u64,
}

/// Where the table lies, and how many entries it has.
struct Extent {
    begin: u64,
    bytes: u64,
    count: u64,
}

/// Reads the table of a file of `length` bytes.
pub fn read(file: &File, length: u64) -> Result<Directory, String> {
    let Extent { begin, bytes, count } = extent(file, length)?;
    if bytes > MAX_TABLE || count > bytes / ENTRY_LENGTH {
        return Err(format!("its archive is broken: its table of contents has {count} entries in {bytes} bytes"));
    }
    let mut table = vec![0; bytes as usize];
    read_at(file, &mut table, begin)?;
    let mut record = Record(&table);
    let mut members = BTreeMap::new();
    for _ in 0..count {
        let (name, member) = member(&mut record)?;
        if members.contains_key(&name) {
            return Err(format!("two of its entries are called `{name}`"));
        }
        members.insert(name, member);
    }
    match record.0.len() {
        0 => Ok(Directory { members, begin }),
        left => Err(format!("its archive is broken: {left} bytes follow its table of contents")),
    }
}

fn extent(file: &File, length: u64) -> Result<Extent, String> {
    let end = end(file, length)?;
    let mut bytes = [0; END_LENGTH as usize];
    read_at(file, &mut bytes, end)?;
    let mut record = Record(&bytes);
    record.skip(4)?;
    let (part, table_part, count_here) = (record.u16()?, record.u16()?, record.u16()?);
    let (count, bytes, begin) = (record.u16()?, record.u32()?, record.u32()?);
    if (part, table_part, count_here) != (0, 0, count) {
        return Err(several());
    }
    let small = Extent { begin: begin.into(), bytes: bytes.into(), count: count.into() };
    let (found, behind) = match large_end(file, end)? {
        Some((large, place)) => {
            // What has no place in the small record is all ones there.
            let agree = (count == u16::MAX || small.count == large.count)
                && (bytes == u32::MAX || small.bytes == large.bytes)
                && (begin == u32::MAX || small.begin == large.begin);
            if !agree {
                return Err(
                    "its archive is broken: it says twice where its table of contents is, each time differently".into(),
                );
            }
            (large, place)
        }
        None => (small, end),
    };
    match found.begin.checked_add(found.bytes) {
        Some(end) if end == behind => Ok(found),
        _ => Err(format!(
            "its archive is broken: its table of contents should end at {behind}, and has {} bytes from {}",
            found.bytes, found.begin
        )),
    }
}

fn several() -> String {
    "its archive is broken, or has several parts: join them, or save the file again".into()
}

/// The place of the last record, which reaches to the end of the file.
fn end(file: &File, length: u64) -> Result<u64, String> {
    let begin = length.saturating_sub(END_LENGTH + MAX_COMMENT);
    let mut tail = vec![0; (length - begin) as usize];
    read_at(file, &mut tail, begin)?;
    let reaches = |at: &usize| {
        let comment = tail.get(at + END_LENGTH as usize - 2..at + END_LENGTH as usize);
        let is_end = tail[*at..].starts_with(&END.to_le_bytes());
        let comment = comment.map(|comment| usize::from(u16::from_le_bytes([comment[0], comment[1]])));
        is_end && comment.is_some_and(|comment| at + END_LENGTH as usize + comment == tail.len())
    };
    let found = (0..tail.len()).rev().find(reaches);
    found.map(|at| begin + at as u64).ok_or_else(|| {
        "it is truncated: its archive has no table of contents at the end; fetch or write the file again".into()
    })
}

/// The numbers of a large archive, and the place of their record.
fn large_end(file: &File, end: u64) -> Result<Option<(Extent, u64)>, String> {
    let Some(place) = end.checked_sub(LOCATOR_LENGTH) else { return Ok(None) };
    let mut locator = [0; LOCATOR_LENGTH as usize];
    read_at(file, &mut locator, place)?;
    let mut record = Record(&locator);
    if record.u32()? != LOCATOR {
        return Ok(None);
    }
    let (part, large, parts) = (record.u32()?, record.u64()?, record.u32()?);
    if part != 0 || parts > 1 {
        return Err(several());
    }
    if large.checked_add(LARGE_END_LENGTH) != Some(place) {
        return Err(format!("its archive is broken: the end of its table of contents should lie before {place}"));
    }
    let mut bytes = [0; LARGE_END_LENGTH as usize];
    read_at(file, &mut bytes, large)?;
    let mut record = Record(&bytes);
    if record.u32()? != LARGE_END {
        return Err("its archive is broken: the end of its table of contents is missing".into());
    }
    record.skip(12)?;
    let (part, table_part, count_here) = (record.u32()?, record.u32()?, record.u64()?);
    let (count, bytes, begin) = (record.u64()?, record.u64()?, record.u64()?);
    if (part, table_part, count_here) != (0, 0, count) {
        return Err(several());
    }
    Ok(Some((Extent { begin, bytes, count }, large)))
}

fn member(record: &mut Record) -> Result<(String, Member), String> {
    if record.u32()? != ENTRY {
        return Err("its archive is broken: something else stands in its table of contents".into());
    }
    record.skip(4)?;
    let (flags, method) = (record.u16()?, record.u16()?);
    record.skip(4)?;
    let checksum = record.u32()?;
    let (compressed, size) = (record.u32()?, record.u32()?);
    let (name, extra, comment) = (record.u16()?, record.u16()?, record.u16()?);
    if record.u16()? != 0 {
        return Err(several());
    }
    record.skip(6)?;
    let place = record.u32()?;
    let name = record.take(name.into())?;
    let mut large = large_numbers(record.take(extra.into())?)?;
    record.skip(comment.into())?;
    // In this order, each only where 32 bits did not do.
    let mut wide = |number: u32| if number == u32::MAX { large.u64() } else { Ok(number.into()) };
    let (size, compressed, record) = (wide(size)?, wide(compressed)?, wide(place)?);
    let name = String::from_utf8_lossy(name).into_owned();
    Ok((name, Member { is_encrypted: flags & ENCRYPTED != 0, method, checksum, compressed, size, record }))
}

/// The field of large numbers among the extra fields; empty where there is none.
fn large_numbers(extra: &[u8]) -> Result<Record<'_>, String> {
    let mut record = Record(extra);
    while !record.0.is_empty() {
        let (kind, length) = (record.u16()?, record.u16()?);
        let field = record.take(length.into())?;
        if kind == LARGE_FIELD {
            return Ok(Record(field));
        }
    }
    Ok(Record(&[]))
}
