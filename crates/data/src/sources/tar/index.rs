//! One pass over the headers of an archive: which samples there are, and where their bytes lie.

use std::{
    cell::Cell,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::{Component, Path},
};

use serde::{Deserialize, Serialize};
use tar::{Archive, Entry, EntryType};

use super::{
    end::{self, BLOCK},
    group::{Group, Orphan, Part},
};
use crate::{
    BadFile, DataError, PassedOver, plain,
    sources::{annotation::Annotation, endings::Ending, labels::Label, text::utf8},
};

/// The largest label, caption or JSON member, in bytes.
const MAX_TEXT: u64 = 1 << 20;

/// The most that a member's headers take, in bytes: its name may be long, and have attributes.
const MAX_HEADERS: u64 = 1 << 20;

/// A range of bytes of the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Span {
    pub offset: u64,
    pub len: u64,
}

/// A sample of the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Member {
    pub key: String,
    pub image_name: String,
    pub image: Span,
    pub label: Option<Label>,
    pub caption: Option<Span>,
    pub json: Option<Span>,
    pub json_caption: bool,
}

/// The samples of an archive, and the members that are none.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Index {
    pub members: Vec<Member>,
    pub rejected: Vec<BadFile>,
    /// Members that belong to no sample, and those that a sample has no use for.
    pub passed: PassedOver,
    /// Where the mark of the end begins.
    pub end: u64,
}

impl Index {
    /// Reads the headers of `file`, which is at its beginning, and its class labels.
    ///
    /// # Errors
    /// [`DataError::Source`] where the archive is truncated, is compressed, is no tar archive, was overwritten with zeros, or goes on
    /// behind its end.
    pub(super) fn scan(path: &Path, file: &File) -> Result<Self, DataError> {
        let wrong = |reason: String| DataError::Source { path: path.into(), reason };
        let end = file.metadata().map_err(DataError::io(path))?.len();
        refuse_compressed(file).map_err(wrong)?;
        let read = Cell::new(0);
        let mut archive = Archive::new(Headers { file, read: &read });
        let mut scan =
            Scan { file, end, next: 0, group: Group::default(), orphans: Vec::new(), index: Self::default() };
        for entry in archive.entries_with_seek().map_err(|error| wrong(error.to_string()))? {
            read.set(0);
            let entry = entry
                .map_err(|error| wrong(format!("is no sound tar archive: {error}, at byte {} of {end}", scan.next)))?;
            scan.take(&entry).map_err(wrong)?;
        }
        scan.finish().map_err(wrong)
    }
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
            true => Err(invalid(format!("a member has more than {MAX_HEADERS} bytes of headers"))),
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
        Orphan::judge(self.orphans, &mut self.index);
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

/// The text of a small member, without a mark of byte order.
pub(super) fn read_text(file: &File, span: Span) -> io::Result<String> {
    if span.len > MAX_TEXT {
        return Err(invalid(format!("its label or caption has {} bytes, more than {MAX_TEXT}", span.len)));
    }
    let bytes = plain::read_at(file, span.offset, span.len)?;
    utf8(bytes).map_err(|reason| invalid(format!("its label or caption {reason}")))
}

/// The fields that are used of a `.json` member; none of one that holds a list.
pub(super) fn read_json(file: &File, span: Span) -> io::Result<Annotation> {
    let text = read_text(file, span)?;
    match text.trim_start().starts_with('[') {
        true => Ok(Annotation::default()),
        false => {
            Annotation::read(&text, &["class", "caption"]).map_err(|reason| invalid(format!("its .json {reason}")))
        }
    }
}

fn invalid(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
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
