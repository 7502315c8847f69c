//! Indices of large archives, kept in the user's cache folder so that they are built once.

use std::{
    env, fs,
    fs::File,
    io,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use super::index::Index;
use crate::DataError;

/// Archives smaller than this are read anew each time, which takes no longer than looking them up.
const MIN_BYTES: u64 = 64 << 20;

/// Part of the cache's key; a change of [`Index`] raises it.
const VERSION: u32 = 1;

/// The index of the archive: from the cache where it is there and the archive's path, size and time are unchanged, else
/// by a scan. A cache that cannot be read or written does no harm.
pub(super) fn index(path: &Path, file: &File) -> Result<Index, DataError> {
    let place = cached_at(path, file);
    if let Some(index) = place.as_deref().and_then(load) {
        return Ok(index);
    }
    let index = Index::scan(path, file)?;
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
    let key = format!("{VERSION}\0{}\0{}\0{}", path.display(), about.len(), time.as_nanos());
    let name = blake3::hash(key.as_bytes()).to_hex();
    Some(cache_folder()?.join("vqkit").join("tar-index").join(format!("{}.json", &name[..32])))
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
    use crate::sources::{
        labels::Label,
        tar::index::{Member, Span},
    };

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
        let index = Index { members: vec![member], rejected: vec![] };
        let place = folder.path().join("deep/index.json");
        store(&place, &index).unwrap();
        assert_eq!(load(&place), Some(index));
        fs::write(&place, "{").unwrap();
        assert_eq!(load(&place), None);
    }
}
