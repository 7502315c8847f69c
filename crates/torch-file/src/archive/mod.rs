//! PyTorch's format since 1.6: a zip archive of `NAME/data.pkl`, `NAME/byteorder` and one `NAME/data/KEY` per storage.

mod bytes;
mod directory;
mod local;

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;

use crate::pickle::{self, Input, Pickle};
use crate::places::{Memory, Place, Places, memories};
use directory::Member;
use local::Found;

/// The first bytes of a zip archive.
pub const MAGIC: &[u8] = b"PK\x03\x04";
const PICKLE: &str = "/data.pkl";
const ORDER: &str = "byteorder";

/// Reads the pickle, and finds the storages that it describes.
pub fn open(file: &File, length: u64) -> Result<(Pickle, Places), String> {
    let archive = Archive::open(file, length)?;
    archive.check_order()?;
    let pickle = archive.pickle()?;
    let places = archive.places(memories(&pickle)?, length)?;
    Ok((pickle, places))
}

struct Archive<'f> {
    file: &'f File,
    /// All entries by name, and where their bytes are.
    members: BTreeMap<String, (Member, Found)>,
    /// What stands before `/data.pkl`.
    folder: String,
}

impl<'f> Archive<'f> {
    fn open(file: &'f File, length: u64) -> Result<Self, String> {
        let directory = directory::read(file, length)?;
        let find = |(name, member): (String, Member)| {
            let found = local::find(file, &name, &member, directory.begin)?;
            Ok((name, (member, found)))
        };
        let members = directory.members.into_iter().map(find).collect::<Result<_, String>>()?;
        check_apart(&members)?;
        let folder = folder(&members)?;
        Ok(Self { file, members, folder })
    }

    fn check_order(&self) -> Result<(), String> {
        const LITTLE: &[u8] = b"little";
        let name = self.name(ORDER);
        if !self.members.contains_key(&name) {
            return Ok(());
        }
        let order = self.place(&name, Some(LITTLE.len() as u64))?;
        let mut input = Input::new(self.file, order.begin, order.begin + order.bytes);
        let found = input.take(order.bytes)?;
        if found == LITTLE { Ok(()) } else { Err("it is not in little-endian order, the only one read".into()) }
    }

    fn pickle(&self) -> Result<Pickle, String> {
        let name = format!("{}{PICKLE}", self.folder);
        let place = self.place(&name, None)?;
        let mut input = Input::new(self.file, place.begin, place.begin + place.bytes);
        let pickle = pickle::read(&mut input)?;
        match input.left() {
            0 if place.checksum.is_some_and(|checksum| checksum != input.checksum()) => Err(damaged(&name)),
            0 => Ok(pickle),
            left => Err(format!("its entry `{name}` is broken: {left} bytes follow the pickle")),
        }
    }

    /// Where the storages lie.
    fn places(&self, memories: BTreeMap<Arc<str>, Memory>, length: u64) -> Result<Places, String> {
        let place = |(key, memory): (Arc<str>, Memory)| {
            let bytes = memory.bytes(&key, length)?;
            let found = self.place(&self.name(&format!("data/{key}")), Some(bytes))?;
            Ok((key, Place { memory, begin: found.begin, bytes, checksum: found.checksum }))
        };
        memories.into_iter().map(place).collect()
    }

    fn name(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }

    /// The entry of this name; it has to be one as PyTorch writes all of them, and of this length.
    fn place(&self, name: &str, length: Option<u64>) -> Result<&Found, String> {
        let (member, found) = self.members.get(name).ok_or_else(|| format!("its entry `{name}` is missing"))?;
        check_stored(name, member)?;
        match length.filter(|length| *length != member.size) {
            Some(length) => Err(format!("its entry `{name}` has {} bytes, {length} belong there", member.size)),
            None => Ok(found),
        }
    }
}

/// That no byte belongs to two entries.
fn check_apart(members: &BTreeMap<String, (Member, Found)>) -> Result<(), String> {
    let mut taken: Vec<_> = members.iter().map(|(name, (_, found))| (found.record, found.end(), name)).collect();
    taken.sort();
    match taken.windows(2).find(|pair| pair[1].0 < pair[0].1) {
        Some(pair) => Err(format!("its entries `{}` and `{}` lie upon each other", pair[0].2, pair[1].2)),
        None => Ok(()),
    }
}

/// The folder of PyTorch's entries, which has the archive's name at the time that it was written.
fn folder(members: &BTreeMap<String, (Member, Found)>) -> Result<String, String> {
    let depth = |name: &str| name.matches('/').count();
    let all: Vec<&str> = members.keys().filter_map(|name| name.strip_suffix(PICKLE)).collect();
    let lowest = all.iter().map(|name| depth(name)).min();
    let found: Vec<&str> = all.into_iter().filter(|name| Some(depth(name)) == lowest).collect();
    match found[..] {
        [folder] => Ok(folder.to_owned()),
        [] => Err(
            "it is a zip archive, but not of PyTorch's: there is no data.pkl in it; if it holds checkpoints, unpack it"
                .into(),
        ),
        [one, other, ..] => Err(format!("it is two archives in one: there are `{one}{PICKLE}` and `{other}{PICKLE}`")),
    }
}

fn check_stored(name: &str, member: &Member) -> Result<(), String> {
    let again = "unpack the archive and zip it again with `zip -0`, or save it again with torch.save";
    if member.is_encrypted {
        return Err(format!("its entry `{name}` is encrypted; {again}"));
    }
    if member.method != directory::STORED || member.compressed != member.size {
        let method = member.method;
        return Err(format!(
            "its entry `{name}` is compressed (method {method}), which those of torch.save never are; {again}"
        ));
    }
    Ok(())
}

/// What a checksum that differs means.
pub fn damaged(name: &str) -> String {
    format!(
        "its entry `{name}` is broken: its bytes have another checksum than those that were written; fetch the file again"
    )
}
