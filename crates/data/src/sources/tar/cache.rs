//! Indices of large archives, kept in the user's cache folder so that they are built once.

use std::{
    env,
    fs::{self, File, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use tar::Header;

use super::{
    end::{self, BLOCK},
    index::{Index, Member, Span},
    scan::scan,
};
use crate::{DataError, plain};

/// Archives smaller than this are read anew each time, which takes no longer than looking them up.
const MIN_BYTES: u64 = 64 << 20;

/// Part of the cache's key; a change of [`Index`] raises it.
const VERSION: u32 = 3;

/// Members of a cached index whose headers are looked at anew.
const LOOKED_AT: usize = 64;

/// The index of the archive: from the cache where it is there, the archive is the same file by all that the system says of it, and its
/// end and some of its members still stand where they stood; else by a scan. A cache that cannot be read or written does no harm.
pub(super) fn index(path: &Path, file: &File) -> Result<Index, DataError> {
    let place = cached_at(path, file);
    if let Some(index) = place.as_deref().and_then(load).filter(|index| is_of(index, file)) {
        return Ok(index);
    }
    let index = scan(path, file)?;
    if let Some(place) = place {
        // Without the cache the next opening scans again; nothing is lost but time.
        let _ = store(&place, &index);
    }
    Ok(index)
}

fn cached_at(path: &Path, file: &File) -> Option<PathBuf> {
    let about = file.metadata().ok().filter(|about| about.len() >= MIN_BYTES)?;
    let time = about.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    let path = fs::canonicalize(path).ok()?;
    let key = format!("{VERSION}\0{}\0{}\0{}\0{}", path.display(), about.len(), time.as_nanos(), identity(&about));
    let name = blake3::hash(key.as_bytes()).to_hex();
    Some(cache_folder()?.join("vqkit").join("tar-index").join(format!("{}.json", &name[..32])))
}

/// What changes with every change of a file, and cannot be set back as its time can.
fn identity(about: &Metadata) -> String {
    format!("{} {} {} {}", about.dev(), about.ino(), about.ctime(), about.ctime_nsec())
}

/// Whether an index may be that of this file: all its members lie inside, some of them begin where it says, and nothing stands behind
/// its end. Files can change without a trace in their times, as a disk that failed leaves them.
fn is_of(index: &Index, file: &File) -> bool {
    let Ok(len) = file.metadata().map(|about| about.len()) else { return false };
    let spans = |member: &Member| [Some(member.image), member.caption, member.json].into_iter().flatten();
    let inside = |span: Span| span.offset >= BLOCK && span.offset.checked_add(span.len).is_some_and(|stop| stop <= len);
    let step = index.members.len().div_ceil(LOOKED_AT).max(1);
    let mut some = index.members.iter().step_by(step).chain(index.members.last());
    index.members.iter().flat_map(spans).all(inside)
        && some.all(|member| begins(file, member.image))
        && end::check(file, index.end, len).is_ok()
}

/// Whether a header of a member of this size stands before it.
fn begins(file: &File, span: Span) -> bool {
    let block = plain::read_at(file, span.offset - BLOCK, BLOCK).unwrap_or_default();
    let mut header = Header::new_old();
    block.len() == header.as_bytes().len() && {
        header.as_mut_bytes().copy_from_slice(&block);
        header.as_bytes().iter().any(|byte| *byte != 0) && header.cksum().is_ok()
    }
}

fn cache_folder() -> Option<PathBuf> {
    let folder = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    folder("XDG_CACHE_HOME").or_else(|| folder("LOCALAPPDATA")).or_else(|| Some(folder("HOME")?.join(".cache")))
}

fn load(place: &Path) -> Option<Index> {
    serde_json::from_slice(&fs::read(place).ok()?).ok()
}

/// Written beside and renamed, so that a reader never meets half of it.
fn store(place: &Path, index: &Index) -> io::Result<()> {
    place.parent().map_or(Ok(()), fs::create_dir_all)?;
    let beside = place.with_extension(format!("{}.new", std::process::id()));
    fs::write(&beside, serde_json::to_vec(index)?)?;
    fs::rename(&beside, place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::labels::Label;

    #[test]
    fn an_index_comes_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let span = Span { offset: 512, len: 3 };
        let member = Member {
            key: "a".into(),
            image_name: "a.png".into(),
            image: span,
            label: Some(Label::Number(3)),
            caption: Some(span),
            json: None,
            json_caption: false,
        };
        let index = Index { members: vec![member], end: 1024, ..Index::default() };
        let place = folder.path().join("deep/index.json");
        store(&place, &index).unwrap();
        assert_eq!(load(&place), Some(index));
        fs::write(&place, "{").unwrap();
        assert_eq!(load(&place), None);
    }

    /// Whatever the file's time says.
    #[test]
    fn an_index_does_not_outlive_its_archive() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tar");
        let mut tar = tar::Builder::new(Vec::new());
        for name in ["a.png", "b.png"] {
            let mut header = Header::new_gnu();
            header.set_size(3);
            tar.append_data(&mut header, name, &b"abc"[..]).unwrap();
        }
        let whole = tar.into_inner().unwrap();
        fs::write(&path, &whole).unwrap();
        let index = scan(&path, &File::open(&path).unwrap()).unwrap();
        assert_eq!((index.members.len(), index.end), (2, 2048));
        let fits = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            is_of(&index, &File::open(&path).unwrap())
        };
        let zeroed = |range: std::ops::Range<usize>| {
            let mut bytes = whole.clone();
            bytes[range].fill(0);
            bytes
        };
        assert!(fits(&whole));
        assert!(!fits(&zeroed(0..whole.len())));
        assert!(!fits(&zeroed(0..512)) && !fits(&zeroed(1024..2048)));
        assert!(!fits(&[whole.as_slice(), &whole].concat()));
        assert!(!fits(&whole[..1500]) && !fits(&[]));
    }
}
