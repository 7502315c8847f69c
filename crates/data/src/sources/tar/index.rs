//! One pass over the headers of an archive: which samples there are, and where their bytes lie.

use std::{
    fs::File,
    io,
    path::{Component, Path},
};

use serde::{Deserialize, Serialize};
use tar::{Archive, Entry, EntryType};

use crate::{BadFile, DataError, sources::labels::Label};

/// Extensions of images inside archives.
const IMAGES: [&str; 4] = ["jpg", "jpeg", "png", "webp"];

/// The largest label, caption or JSON member, in bytes.
const MAX_TEXT: u64 = 1 << 20;

/// The size of a tar record; members begin at its multiples, and one of zeros marks the end.
const BLOCK: u64 = 512;

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
}

/// What is used of a `.json` member.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Annotation {
    pub class: Option<Label>,
    pub caption: Option<String>,
}

/// Files that share a key and follow each other.
#[derive(Default)]
struct Group {
    key: String,
    image: Option<(String, Span)>,
    class: Option<Span>,
    caption: Option<Span>,
    json: Option<Span>,
}

impl Index {
    /// Reads the headers of `file`, which is at its beginning, and its class labels.
    ///
    /// # Errors
    /// [`DataError::Source`] where the archive is truncated, is compressed, or is no tar archive.
    pub(super) fn scan(path: &Path, file: &File) -> Result<Self, DataError> {
        let wrong = |reason: String| DataError::Source { path: path.into(), reason };
        let end = file.metadata().map_err(DataError::io(path))?.len();
        if file.metadata().is_ok_and(|about| about.is_dir()) {
            return Err(wrong("is a folder; an archive was expected".into()));
        }
        refuse_compressed(file).map_err(wrong)?;
        let mut archive = Archive::new(file);
        let mut scan = Scan { file, end, next: 0, group: Group::default(), index: Self::default() };
        for entry in archive.entries_with_seek().map_err(|error| wrong(error.to_string()))? {
            let entry = entry
                .map_err(|error| wrong(format!("is no sound tar archive: {error}, at byte {} of {end}", scan.next)))?;
            scan.take(&entry).map_err(wrong)?;
        }
        scan.finish().map_err(wrong)
    }
}

struct Scan<'a> {
    file: &'a File,
    end: u64,
    next: u64,
    group: Group,
    index: Index,
}

impl Scan<'_> {
    fn take(&mut self, entry: &Entry<'_, &File>) -> Result<(), String> {
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let span = Span { offset: entry.raw_file_position(), len: entry.size() };
        let stop = span.offset.saturating_add(span.len);
        if stop > self.end {
            return Err(format!(
                "is truncated: its member {name} ends at byte {stop}, the file at {}; fetch it again",
                self.end
            ));
        }
        self.next = stop.next_multiple_of(BLOCK);
        let kind = entry.header().entry_type();
        match (refusal(&name, kind), kind) {
            (Some(reason), _) => self.index.rejected.push(BadFile { key: name, reason }),
            (None, EntryType::Directory) => {}
            (None, _) => self.place(name, span),
        }
        Ok(())
    }

    fn place(&mut self, name: String, span: Span) {
        let (folder, file) = name.rsplit_once('/').map_or(("", name.as_str()), |(folder, file)| (folder, file));
        let Some((stem, extension)) = file.split_once('.').filter(|(stem, _)| !stem.is_empty()) else {
            return;
        };
        let key = if folder.is_empty() { stem.to_owned() } else { format!("{folder}/{stem}") };
        if key != self.group.key {
            self.close();
            self.group.key = key;
        }
        let extension = extension.to_ascii_lowercase();
        match extension.as_str() {
            "cls" => self.group.class = Some(span),
            "txt" => self.group.caption = Some(span),
            "json" => self.group.json = Some(span),
            image if IMAGES.contains(&image) && self.group.image.is_some() => {
                self.index.rejected.push(BadFile { key: name, reason: "is a second image of the same sample".into() });
            }
            image if IMAGES.contains(&image) => self.group.image = Some((name, span)),
            _ => {}
        }
    }

    /// Makes a sample of the files gathered so far.
    fn close(&mut self) {
        let group = std::mem::take(&mut self.group);
        let Some((image_name, image)) = group.image else {
            if group.class.or(group.caption).or(group.json).is_some() {
                let reason = "has a label or caption but no image beside it; the files of a sample must follow each other \
                              (tar --sort=name)";
                self.index.rejected.push(BadFile { key: group.key, reason: reason.into() });
            }
            return;
        };
        let described = describe(self.file, group.class, group.caption, group.json);
        match described {
            Ok((label, json_caption)) => self.index.members.push(Member {
                key: group.key,
                image_name,
                image,
                label,
                caption: group.caption,
                json: group.json,
                json_caption,
            }),
            Err(error) => self.index.rejected.push(BadFile { key: image_name, reason: error.to_string() }),
        }
    }

    fn finish(mut self) -> Result<Index, String> {
        self.close();
        let mark = Span { offset: self.next, len: BLOCK };
        if read(self.file, mark).ok().is_some_and(|block| block.iter().all(|&byte| byte == 0)) {
            return Ok(self.index);
        }
        Err(format!("is truncated: it stops at byte {} without the mark of its end; fetch it again", self.end))
    }
}

/// Why a member must not be used, whatever its content.
fn refusal(name: &str, kind: EntryType) -> Option<String> {
    let outside = |part| matches!(part, Component::ParentDir | Component::RootDir | Component::Prefix(_));
    match kind {
        _ if Path::new(name).components().any(outside) => Some("climbs out of the archive; it is not read".into()),
        EntryType::Regular | EntryType::Continuous | EntryType::Directory => None,
        _ => Some("is a link or a special file, not a plain one".into()),
    }
}

/// The label of a sample, and whether its JSON holds a caption that is needed.
fn describe(
    file: &File,
    class: Option<Span>,
    caption: Option<Span>,
    json: Option<Span>,
) -> io::Result<(Option<Label>, bool)> {
    let label = class.map(|span| read_text(file, span)).transpose()?.as_deref().and_then(Label::parse);
    if label.is_some() && caption.is_some() {
        return Ok((label, false));
    }
    let annotation = json.map(|span| read_json(file, span)).transpose()?.unwrap_or_default();
    Ok((label.or(annotation.class), caption.is_none() && annotation.caption.is_some()))
}

/// The text of a small member.
pub(super) fn read_text(file: &File, span: Span) -> io::Result<String> {
    if span.len > MAX_TEXT {
        return Err(invalid(format!("its label or caption has {} bytes, more than {MAX_TEXT}", span.len)));
    }
    String::from_utf8(read(file, span)?).map_err(|_| invalid("its label or caption is not UTF-8 text".into()))
}

/// The fields that are used of a `.json` member.
pub(super) fn read_json(file: &File, span: Span) -> io::Result<Annotation> {
    serde_json::from_str(&read_text(file, span)?).map_err(|error| invalid(format!("its .json: {error}")))
}

fn invalid(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

/// The bytes of `span`, whatever position the file is at.
pub(super) fn read(file: &File, span: Span) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; span.len as usize];
    #[cfg(unix)]
    std::os::unix::fs::FileExt::read_exact_at(file, &mut bytes, span.offset)?;
    #[cfg(windows)]
    for_windows(file, &mut bytes, span.offset)?;
    Ok(bytes)
}

#[cfg(windows)]
fn for_windows(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match std::os::windows::fs::FileExt::seek_read(file, &mut bytes[done..], offset + done as u64)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => done += count,
        }
    }
    Ok(())
}

fn refuse_compressed(file: &File) -> Result<(), String> {
    let head = read(file, Span { offset: 0, len: 4 }).unwrap_or_default();
    match head.as_slice() {
        [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd] | [b'B', b'Z', b'h', _] | [0xfd, b'7', b'z', b'X'] => {
            Err("is compressed, which allows no random access; uncompress it first".into())
        }
        _ => Ok(()),
    }
}
