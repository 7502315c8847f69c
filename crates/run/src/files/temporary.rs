//! Files and folders that are being written: each has a temporary name beside its final path, a lock while its process
//! lives, and is removed unless it is finished.

use std::{
    collections::BTreeSet,
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError, TryLockError as TryLock},
    thread,
    time::Duration,
};

use crate::{
    error::Result,
    error::RunError,
    files::names::{ASIDE, short_name},
    files::place::remove,
    files::place::swap,
};

/// Prefix of temporary names.
const PREFIX: &str = ".writing-";

/// A file in a folder that is being written, which distinguishes it from a folder of the user with such a name.
const MARK: &str = ".vqkit-is-writing";

/// Number of names that are tried for one path.
const TRIES: usize = 1000;

/// Number of names beside a path of the user that are swept.
const SWEPT: usize = 20;

/// Everything that this process is currently writing.
static IN_WORK: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn in_work() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    IN_WORK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file, link or folder that is being written. Dropped before it is finished, it is removed.
#[derive(Debug)]
pub struct Temporary {
    path: PathBuf,
    /// Holds the lock that tells others that this process lives.
    lock: Option<File>,
    is_finished: bool,
}

impl Temporary {
    /// A new file beside `path`.
    pub fn file(path: &Path) -> io::Result<(Self, File)> {
        let temporary = Self::new(path, |beside| File::create_new(beside).and_then(locked).map(Some))?;
        let file = temporary.lock.as_ref().map(File::try_clone);
        let file = file.unwrap_or_else(|| Err(io::ErrorKind::NotFound.into()))?;
        Ok((temporary, file))
    }

    /// A new link to `target` beside `path`.
    pub fn link(path: &Path, target: &str) -> io::Result<Self> {
        Self::new(path, |beside| std::os::unix::fs::symlink(target, beside).map(|()| None))
    }

    /// A new folder beside `path`.
    pub fn folder(path: &Path) -> io::Result<Self> {
        let lock = |beside: &Path| File::open(beside).and_then(locked).map(Some).map_err(as_taken);
        let folder = Self::new(path, |beside| fs::create_dir(beside).and_then(|()| lock(beside)))?;
        File::create_new(folder.path.join(MARK))?;
        Ok(folder)
    }

    /// Calls `create` with the first name that is free.
    fn new(path: &Path, create: impl Fn(&Path) -> io::Result<Option<File>>) -> io::Result<Self> {
        // Nothing is created that is not in the list.
        let mut list = in_work();
        let (path, lock) = take_name(path, create)?;
        list.insert(path.clone());
        Ok(Self { path, lock, is_finished: false })
    }

    /// Its temporary path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the mark from a folder, which is complete now.
    pub fn unmark(&self) -> io::Result<()> {
        fs::remove_file(self.path.join(MARK))
    }

    /// Moves it to its final path; `place` does this, given the temporary path.
    pub fn finish(mut self, place: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
        // It is either in the list and not moved yet, or moved and no longer in the list, so a finished one is never
        // removed.
        let mut list = in_work();
        place(&self.path)?;
        list.remove(&self.path);
        self.is_finished = true;
        Ok(())
    }

    /// Replaces a folder, which is removed.
    pub fn finish_in_place_of(self, old: &Path) -> io::Result<()> {
        let path = self.path.clone();
        self.finish(|from| swap(from, old))?;
        // The old one has the temporary name now, so nobody else can have taken it.
        remove(&path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.is_finished {
            let mut list = in_work();
            // Where that fails too, the next process sweeps it away.
            let _ = remove(&self.path);
            list.remove(&self.path);
        }
    }
}

/// Treats a temporary name as taken if another process swept it away while it was being created.
fn as_taken(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::NotFound => io::ErrorKind::AlreadyExists.into(),
        _ => error,
    }
}

/// The first free of `.writing-NAME`, `.writing-NAME-2` and so on beside `path`, taken by creating it.
fn take_name<T>(path: &Path, create: impl Fn(&Path) -> io::Result<T>) -> io::Result<(PathBuf, T)> {
    for number in 1..=TRIES {
        let beside = path.with_file_name(name(path, number));
        match create(&beside) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            created => return created.map(|created| (beside, created)),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{TRIES} names beside it are taken; remove {PREFIX}*")))
}

fn name(path: &Path, number: usize) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = short_name(&name);
    match number {
        1 => format!("{PREFIX}{name}"),
        number => format!("{PREFIX}{name}-{number}"),
    }
}

/// Locks what was just created. If another process swept it first, the name counts as taken.
fn locked(file: File) -> io::Result<File> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(io::ErrorKind::AlreadyExists.into()),
        // On file systems without locks nothing is swept either.
        Ok(()) | Err(TryLockError::Error(_)) if file.metadata()?.nlink() > 0 => Ok(file),
        _ => Err(io::ErrorKind::AlreadyExists.into()),
    }
}

/// Removes leftovers of dead processes in a folder of vqkit, and restores what they had set aside.
///
/// # Errors
/// When something cannot be removed.
pub fn sweep(folder: &Path) -> Result<()> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries.flatten() {
        let path = entry.path();
        let swept = match entry.file_name().to_str() {
            Some(name) if name.starts_with(PREFIX) => sweep_one(&path),
            Some(name) if name.starts_with(ASIDE) => put_back(&path, &folder.join(&name[ASIDE.len()..])),
            _ => Ok(()),
        };
        match swept {
            // Another process was faster.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            swept => swept.map_err(|source| RunError::io("remove", &path, source))?,
        }
    }
    Ok(())
}

/// Removes leftovers of dead processes that wrote the folder `path`, but nothing without their mark.
pub fn sweep_beside(path: &Path) {
    let names = (1..=SWEPT).map(|number| path.with_file_name(name(path, number)));
    for beside in names.filter(|beside| fs::symlink_metadata(beside.join(MARK)).is_ok()) {
        // If this fails, the leftover only takes up space.
        let _ = sweep_one(&beside);
    }
}

/// Removes the leftover at `path`, unless its process lives and holds the lock. A link has no lock, but only the
/// process that works on a run creates links.
fn sweep_one(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.is_symlink() {
        return remove(path);
    }
    let file = File::open(path)?;
    // The lock is held to the end, so that a process that has just made it sees that it is taken away.
    match file.try_lock() {
        Ok(()) if stands_at(&file, path)? => remove(path),
        // Its process lives, or has just finished it, and the name is that of another.
        _ => Ok(()),
    }
}

/// Whether a path still leads to what was opened there.
fn stands_at(file: &File, path: &Path) -> io::Result<bool> {
    let (opened, now) = (file.metadata()?, fs::symlink_metadata(path)?);
    Ok((opened.dev(), opened.ino()) == (now.dev(), now.ino()))
}

/// Completes or undoes the replacement of a folder by a dead process.
fn put_back(aside: &Path, place: &Path) -> io::Result<()> {
    match fs::symlink_metadata(place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::rename(aside, place),
        _ => remove(aside),
    }
}

/// Removes everything that this process is writing; called when it ends without time to unwind.
///
/// It waits at most two seconds for another thread, which may hold the list and be stuck.
pub fn abandon_all() {
    let look = |_| {
        let found = match IN_WORK.try_lock() {
            Err(TryLock::WouldBlock) => None,
            Err(TryLock::Poisoned(list)) => Some(list.into_inner()),
            Ok(list) => Some(list),
        };
        found.or_else(|| {
            thread::sleep(Duration::from_millis(5));
            None
        })
    };
    let Some(list) = (0..400).find_map(look) else { return };
    for path in list.iter() {
        // Another thread may still add files to a folder while its entries are removed.
        let _ = (0..100).try_for_each(|_| match remove(path) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            _ => Err(()),
        });
    }
    // A thread that finishes something now waits for the end of the process.
    std::mem::forget(list);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_finished_goes_away_and_names_are_unique() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let first = Temporary::folder(&path).unwrap();
        let second = Temporary::folder(&path).unwrap();
        assert_ne!(first.path(), second.path());
        fs::write(first.path().join("picture"), "half").unwrap();
        drop((first, second));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn only_the_dead_are_swept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let living = Temporary::folder(&path).unwrap();
        let dead = folder.path().join(".writing-other");
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join("picture"), "half").unwrap();
        fs::write(folder.path().join(".writing-state.json"), "half").unwrap();
        std::os::unix::fs::symlink("nowhere", folder.path().join(".writing-last")).unwrap();
        fs::write(folder.path().join("state.json"), "whole").unwrap();
        sweep(folder.path()).unwrap();
        assert!(living.path().is_dir());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "the living one and the file");
    }

    #[test]
    fn what_was_set_aside_comes_back_where_nothing_took_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in [".replaced-checkpoint-1", ".replaced-checkpoint-2", "checkpoint-2"] {
            fs::create_dir(at(name)).unwrap();
            fs::write(at(name).join("of"), name).unwrap();
        }
        sweep(folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        assert_eq!(fs::read_to_string(at("checkpoint-1/of")).unwrap(), ".replaced-checkpoint-1");
        assert_eq!(fs::read_to_string(at("checkpoint-2/of")).unwrap(), "checkpoint-2");
    }

    #[test]
    fn many_that_sweep_and_write_at_once_do_not_meet() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        std::thread::scope(|scope| {
            for worker in 0..4 {
                let path = &path;
                scope.spawn(move || {
                    for turn in 0..60 {
                        sweep(path.parent().unwrap()).unwrap();
                        sweep_beside(path);
                        let temporary = Temporary::folder(path).unwrap();
                        fs::write(temporary.path().join("x"), "x").unwrap();
                        let place = path.with_file_name(format!("{worker}-{turn}"));
                        temporary.finish(|from| fs::rename(from, &place)).unwrap();
                        assert!(place.join("x").is_file());
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4 * 60);
    }

    #[test]
    fn beside_a_users_path_only_what_has_the_mark_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let [own, dead] = ["", "-2"].map(|number| folder.path().join(format!(".writing-out{number}")));
        fs::create_dir(&own).unwrap();
        fs::write(own.join("mine"), "precious").unwrap();
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join(MARK), "").unwrap();
        sweep_beside(&path);
        assert!(own.join("mine").is_file());
        assert!(!dead.exists());
    }

    #[test]
    fn a_name_that_fills_the_file_system_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["x".repeat(255), "ü".repeat(127)] {
            let (temporary, _) = Temporary::file(&folder.path().join(&name)).unwrap();
            temporary.finish(|from| fs::rename(from, folder.path().join(&name))).unwrap();
            assert!(folder.path().join(&name).is_file());
        }
    }
}
