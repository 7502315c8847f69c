//! One pass over the headers of an archive.

use std::{
    cell::Cell,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::{Component, Path},
};

use tar::{Archive, Entry, EntryType};

use super::{
    end::{self, BLOCK},
    group::{Group, Orphan, Part},
    index::{Index, Span},
};
use crate::{BadFile, DataError, plain, sources::endings::Ending};

/// The most that a member's headers take, in bytes: its name may be long, and have attributes.
const MAX_HEADERS: u64 = 1 << 20;

/// Reads the headers of `file`, which is at its beginning, and its class labels.
///
/// # Errors
/// [`DataError::Source`] where the archive is truncated, is compressed, is no tar archive, was overwritten with zeros, or goes on
/// behind its end.
pub(super) fn scan(path: &Path, file: &File) -> Result<Index, DataError> {
    let wrong = |reason: String| DataError::Source { path: path.into(), reason };
    let end = file.metadata().map_err(DataError::io(path))?.len();
    refuse_compressed(file).map_err(wrong)?;
    let read = Cell::new(0);
    let mut archive = Archive::new(Headers { file, read: &read });
    let mut scan = Scan { file, end, next: 0, group: Group::default(), orphans: Vec::new(), index: Index::default() };
    for entry in archive.entries_with_seek().map_err(|error| wrong(error.to_string()))? {
        read.set(0);
        let entry = entry
            .map_err(|error| wrong(format!("is no sound tar archive: {error}, at byte {} of {end}", scan.next)))?;
        scan.take(&entry).map_err(wrong)?;
    }
    scan.finish().map_err(wrong)
}

/// An archive whose headers are read one after the other, and none of which may be endless.
struct Headers<'a> {
    file: &'a File,
    read: &'a Cell<u64>,
}

impl Read for Headers<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.read.set(self.read.get() + count as u64);
        match self.read.get() > MAX_HEADERS {
            true => Err(io::Error::other(format!("a member has more than {MAX_HEADERS} bytes of headers"))),
            false => Ok(count),
        }
    }
}

impl Seek for Headers<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

struct Scan<'a> {
    file: &'a File,
    end: u64,
    next: u64,
    group: Group,
    orphans: Vec<Orphan>,
    index: Index,
}

impl Scan<'_> {
    fn take(&mut self, entry: &Entry<'_, Headers>) -> Result<(), String> {
        let path = entry.path_bytes();
        let name = String::from_utf8_lossy(&path).into_owned();
        let span = Span { offset: entry.raw_file_position(), len: entry.size() };
        let stop = span.offset.saturating_add(span.len);
        if stop > self.end {
            return Err(format!(
                "is truncated: its member {name} ends at byte {stop}, the file at {}; fetch it again",
                self.end
            ));
        }
        self.next = stop.next_multiple_of(BLOCK);
        let is_text = std::str::from_utf8(&path).is_ok();
        match fate(&name, is_text, entry.header().entry_type()) {
            Fate::Rejected(reason) => self.index.rejected.push(BadFile { key: name, reason: reason.into() }),
            Fate::Passed(kind) => self.index.passed.add(kind, 1),
            Fate::PassedFile => self.index.passed.add_file(&name),
            Fate::Ignored => {}
            Fate::Used => self.place(name, span),
        }
        Ok(())
    }

    fn place(&mut self, name: String, span: Span) {
        let Some((key, part)) = Part::of(name, span) else { return };
        if key != self.group.key {
            self.close();
            self.group.key = key;
        }
        self.group.parts.push(part);
    }

    /// Makes a sample of the files gathered so far.
    fn close(&mut self) {
        let group = std::mem::take(&mut self.group);
        self.orphans.extend(group.close(self.file, &mut self.index));
    }

    fn finish(mut self) -> Result<Index, String> {
        self.close();
        Orphan::settle(self.orphans, &mut self.index);
        end::check(self.file, self.next, self.end)?;
        self.index.end = self.next;
        Ok(self.index)
    }
}

/// What becomes of a member by its name and kind.
enum Fate {
    Used,
    Rejected(&'static str),
    /// Counted as this kind.
    Passed(&'static str),
    /// Counted by its ending.
    PassedFile,
    /// Of the archive itself: folders, and what concerns all members.
    Ignored,
}

fn fate(name: &str, is_text: bool, kind: EntryType) -> Fate {
    let outside = |part| matches!(part, Component::ParentDir | Component::RootDir);
    let is_hidden = name.rsplit('/').next().is_some_and(|file| file.starts_with('.'));
    let is_picture = Ending::of(name) != Ending::Other;
    match kind {
        // Where such a header has a name at all, it is not that of a file; a volume has the name of the archive.
        EntryType::XGlobalHeader => Fate::Ignored,
        _ if kind.as_byte() == b'V' => Fate::Ignored,
        _ if Path::new(name).components().any(outside) => Fate::Rejected("climbs out of the archive; it is not read"),
        EntryType::Directory => Fate::Ignored,
        _ if is_hidden => Fate::Passed("hidden"),
        EntryType::Regular | EntryType::Continuous => match (is_text, is_picture) {
            (true, _) if name.rsplit('/').next().is_some_and(|file| file.contains('.')) => Fate::Used,
            (false, true) => Fate::Rejected("has a name that is not UTF-8; rename it"),
            _ => Fate::PassedFile,
        },
        _ if !is_picture => Fate::Passed("links or special files"),
        EntryType::Link | EntryType::Symlink => {
            Fate::Rejected("is a link, not a plain file; write the archive with --dereference --hard-dereference")
        }
        EntryType::GNUSparse => Fate::Rejected("is a sparse file, not a plain one; write the archive without --sparse"),
        _ => Fate::Rejected("is a special file, not a plain one"),
    }
}

fn refuse_compressed(file: &File) -> Result<(), String> {
    let head = plain::read_at(file, 0, 4).unwrap_or_default();
    match head.as_slice() {
        [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd] | [b'B', b'Z', b'h', _] | [0xfd, b'7', b'z', b'X'] => {
            Err("is compressed, which allows no random access; uncompress it first".into())
        }
        _ => Ok(()),
    }
}
