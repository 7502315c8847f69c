//! Paths of new files and folders: whether one is free, and how it is taken without a race.

use std::{
    ffi::OsString,
    fs, io,
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
};

use crate::{error::Result, error::RunError, files::names::ASIDE};

/// Checks that a new file or folder can be created at `path`.
///
/// # Errors
/// [`RunError::NotFree`] when the path exists, even as a dangling link, or does not end in a name.
pub fn check_free(path: &Path) -> Result<()> {
    let refuse = |reason| Err(RunError::NotFree { path: path.to_owned(), reason });
    // Without a slash at its end, which would make the system follow a link.
    let plain: &Path = &path.components().collect::<PathBuf>();
    if !matches!(plain.components().next_back(), Some(Component::Normal(_))) {
        return refuse("does not end in the name of something new");
    }
    match fs::symlink_metadata(plain) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(RunError::io("look at", path, source)),
        Ok(found) if found.is_symlink() && !path.exists() => {
            refuse("is a link that leads nowhere; nothing is overwritten")
        }
        Ok(_) => refuse("exists already; nothing is overwritten"),
    }
}

/// Moves a file or folder to a path that must be free: what was created there meanwhile stays.
///
/// Where the file system has no such operation, a folder is renamed normally, which fails if the target is a folder
/// that is not empty, and a file is linked, which fails if the target exists.
pub fn move_without_replacing(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) if from.is_dir() => fs::rename(from, to),
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            fs::hard_link(from, to).and_then(|()| fs::remove_file(from))
        }
        moved => Ok(moved?),
    }
}

/// Swaps a new folder with the one that it replaces; afterwards the old one is at `from`.
pub fn swap(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::EXCHANGE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => swap_by_renames(from, to),
        swapped => Ok(swapped?),
    }
}

/// As [`swap`], where the file system cannot do it atomically: if the process is killed in between,
/// [`sweep`](super::sweep) finds the old folder by its name and restores it.
fn swap_by_renames(from: &Path, to: &Path) -> io::Result<()> {
    let mut name = OsString::from(ASIDE);
    name.push(to.file_name().unwrap_or_default());
    let aside = to.with_file_name(name);
    fs::rename(to, &aside)?;
    fs::rename(from, to)?;
    fs::rename(&aside, from)
}

/// Removes a file, a link or a whole folder; links are not followed.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path)?.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_place_is_free_where_nothing_stands_and_the_path_ends_in_a_name() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        symlink("nowhere", at("dangling")).unwrap();
        fs::create_dir(at("there")).unwrap();
        check_free(&at("new")).unwrap();
        check_free(&at("not/yet/there")).unwrap();
        for (path, part) in [
            (at("there"), "exists already"),
            (at("dangling"), "leads nowhere"),
            (at("dangling/"), "leads nowhere"),
            (at("new/.."), "name of something new"),
            (at("there/.."), "name of something new"),
            ("/".into(), "name of something new"),
            ("".into(), "name of something new"),
            ("..".into(), "name of something new"),
        ] {
            let message = check_free(&path).unwrap_err().to_string();
            assert!(message.contains(part), "{}: {message}", path.display());
        }
    }

    #[test]
    fn folders_are_swapped_in_one_move_and_in_three() {
        for swap in [swap, swap_by_renames] {
            let folder = tempfile::tempdir().unwrap();
            let [new, old] = ["new", "old"].map(|name| folder.path().join(name));
            for path in [&new, &old] {
                fs::create_dir(path).unwrap();
                fs::write(path.join("is"), path.to_str().unwrap()).unwrap();
            }
            swap(&new, &old).unwrap();
            assert_eq!(fs::read_to_string(old.join("is")).unwrap(), new.to_str().unwrap());
            assert_eq!(fs::read_to_string(new.join("is")).unwrap(), old.to_str().unwrap());
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        }
    }

    #[test]
    fn nothing_that_stands_in_the_way_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("new")).unwrap();
        fs::write(at("new-file"), "new").unwrap();
        fs::write(at("file"), "old").unwrap();
        fs::create_dir(at("full")).unwrap();
        fs::write(at("full/mine"), "precious").unwrap();
        symlink("nowhere", at("link")).unwrap();
        for to in ["file", "full", "link"] {
            for from in ["new", "new-file"] {
                assert!(move_without_replacing(&at(from), &at(to)).is_err(), "{from} to {to}");
                assert!(at(from).exists() && at("full/mine").is_file() && at("link").is_symlink());
            }
        }
        move_without_replacing(&at("new"), &at("free")).unwrap();
        assert!(at("free").is_dir());
    }
}
