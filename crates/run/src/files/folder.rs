//! Folders that appear when they are complete.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use crate::{
    error::Result, error::RunError, files::names::LINK, files::place::check_free, files::place::move_without_replacing,
    files::temporary::Temporary, files::temporary::sweep_beside,
};

/// Fills a folder under a temporary name and moves it to `path`, a path that the user chose and that must be free;
/// parents are created.
///
/// # Errors
/// As [`check_free`]; those of `fill`, after which nothing is left. When `path` was taken meanwhile, what is there
/// stays, and the error says where the finished folder is.
pub fn create<E: From<RunError>>(path: &Path, fill: impl FnOnce(&Path) -> Result<(), E>) -> Result<(), E> {
    prepare(path)?;
    let found = filled(path, fill)?.place_at(numbered(path))?;
    match found == path {
        true => Ok(()),
        false => {
            let reason = format!(
                "was taken by something else meanwhile, which was left alone; what was written is at {}",
                found.display()
            );
            Err(RunError::artifact(path, reason).into())
        }
    }
}

/// As [`create`], for a folder that is useless elsewhere: when `path` was taken meanwhile, nothing is left.
///
/// # Errors
/// As [`create`].
pub fn create_here<E: From<RunError>>(path: &Path, fill: impl FnOnce(&Path) -> Result<(), E>) -> Result<(), E> {
    prepare(path)?;
    filled(path, fill)?.place_at([path.to_owned()])?;
    Ok(())
}

/// Fills a folder inside `parent` that is called `NAME-N`, with the first number from 1 on that is free when the folder
/// is complete.
///
/// # Errors
/// When `parent` does not exist, or the system refuses; those of `fill`, after which nothing is left.
pub fn create_numbered<E: From<RunError>>(
    parent: &Path,
    name: &str,
    fill: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<PathBuf, E> {
    let names = (1..).map(|number| parent.join(format!("{name}-{number}")));
    Ok(filled(&parent.join(name), fill)?.place_at(names)?)
}

/// Fills a stage's folder inside a run; an existing folder is replaced atomically.
///
/// # Errors
/// When its parent does not exist, or the system refuses; those of `fill`, after which the old folder is unchanged.
pub fn replace<E: From<RunError>>(path: &Path, fill: impl FnOnce(&Path) -> Result<(), E>) -> Result<(), E> {
    let Filled(temporary) = filled(path, fill)?;
    let io = |source| RunError::io("replace", path, source);
    match fs::symlink_metadata(path) {
        Ok(_) => temporary.finish_in_place_of(path),
        Err(_) => temporary.finish(|from| fs::rename(from, path)),
    }
    .map_err(io)?;
    Ok(sync(parent(path)).map_err(io)?)
}

/// Creates the folder `inside` of a root that must exist, folder by folder; links are not followed.
///
/// # Errors
/// When the root is gone, a link stands in the way, or the system refuses.
pub fn make_inside(root: &Path, inside: &Path) -> Result<PathBuf> {
    let mut path = root.to_owned();
    for part in inside {
        path.push(part);
        match fs::create_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made.map_err(|source| RunError::io("create", &path, source))?,
        }
        if path.is_symlink() {
            return Err(RunError::artifact(&path, LINK));
        }
    }
    Ok(path)
}

/// Checks a path that the user chose, creates its parents, and removes leftovers beside it.
fn prepare(path: &Path) -> Result<()> {
    check_free(path)?;
    let parent = parent(path);
    fs::create_dir_all(parent).map_err(|source| RunError::io("create", parent, source))?;
    sweep_beside(path);
    Ok(())
}

/// A complete folder, under its temporary name.
struct Filled(Temporary);

fn filled<E: From<RunError>>(path: &Path, fill: impl FnOnce(&Path) -> Result<(), E>) -> Result<Filled, E> {
    let io = |source| RunError::io("create", path, source);
    let temporary = Temporary::folder(path).map_err(io)?;
    fill(temporary.path())?;
    temporary.unmark().map_err(io)?;
    Ok(Filled(temporary))
}

impl Filled {
    /// Moves it to the first of several paths that is free, and returns that path.
    fn place_at(self, places: impl IntoIterator<Item = PathBuf>) -> Result<PathBuf> {
        let from = self.0.path().to_owned();
        let mut found = None;
        let moved = self.0.finish(|from| {
            for place in places {
                match move_without_replacing(from, &place) {
                    Err(error) if is_taken(&error) => {}
                    moved => {
                        found = Some(place);
                        return moved;
                    }
                }
            }
            Err(io::ErrorKind::AlreadyExists.into())
        });
        let place = moved.map(|()| found.unwrap_or_default());
        let synced = place.and_then(|place| sync(parent(&place)).map(|()| place));
        synced.map_err(|source| RunError::io("move into place", &from, source))
    }
}

fn is_taken(error: &io::Error) -> bool {
    use io::ErrorKind::{AlreadyExists, DirectoryNotEmpty, NotADirectory};
    matches!(error.kind(), AlreadyExists | DirectoryNotEmpty | NotADirectory)
}

/// A path, and the same path with `-2`, `-3` and so on appended.
fn numbered(path: &Path) -> impl Iterator<Item = PathBuf> {
    let name = path.file_name().unwrap_or_default().to_owned();
    let path = path.to_owned();
    (1..1000).map(move |number| match number {
        1 => path.clone(),
        number => {
            let mut name = name.clone();
            name.push(format!("-{number}"));
            path.with_file_name(name)
        }
    })
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes new names survive a loss of power.
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn fill(folder: &Path) -> Result<()> {
        super::super::write(&folder.join("new"), b"new")
    }

    #[test]
    fn what_came_meanwhile_stays_and_so_does_the_work() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let refused = create(&out, |inside| {
            fs::create_dir(&out).unwrap();
            fs::write(out.join("mine"), "precious").unwrap();
            fill(inside)
        });
        assert!(refused.unwrap_err().to_string().contains("out-2"));
        assert_eq!(names(folder.path()), ["out", "out-2"]);
        assert_eq!((names(&out), names(&folder.path().join("out-2"))), (vec!["mine".into()], vec!["new".into()]));
    }

    #[test]
    fn parents_of_a_users_folder_are_made_and_those_of_a_stage_are_not() {
        let folder = tempfile::tempdir().unwrap();
        create(&folder.path().join("a/b/out"), fill).unwrap();
        assert_eq!(names(&folder.path().join("a/b")), ["out"]);
        let gone = folder.path().join("run");
        assert!(replace(&gone.join("tokens"), fill).is_err());
        assert!(make_inside(&gone, Path::new("prior/0")).is_err());
        assert!(super::super::write(&gone.join("run.json"), b"{}").is_err());
        assert!(!gone.exists());
    }

    #[test]
    fn a_stage_folder_is_replaced_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let stage = folder.path().join("report");
        fs::create_dir(&stage).unwrap();
        fs::write(stage.join("old"), "old").unwrap();
        assert!(replace(&stage, |_| Err(RunError::Interrupted)).is_err());
        assert_eq!((names(folder.path()), names(&stage)), (vec!["report".into()], vec!["old".into()]));
        replace(&stage, fill).unwrap();
        assert_eq!((names(folder.path()), names(&stage)), (vec!["report".into()], vec!["new".into()]));
    }

    #[test]
    fn a_link_in_place_of_a_stage_is_replaced_and_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let [elsewhere, run] = ["elsewhere", "run"].map(|name| folder.path().join(name));
        fs::create_dir_all(&run).unwrap();
        fs::create_dir(&elsewhere).unwrap();
        fs::write(elsewhere.join("mine"), "precious").unwrap();
        std::os::unix::fs::symlink(&elsewhere, run.join("tokens")).unwrap();
        assert!(make_inside(&run, Path::new("tokens")).unwrap_err().to_string().contains("symbolic link"));
        replace(&run.join("tokens"), fill).unwrap();
        assert_eq!((names(&elsewhere), names(&run.join("tokens"))), (vec!["mine".into()], vec!["new".into()]));
    }

    #[test]
    fn numbers_are_taken_when_the_folder_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let made = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..6).map(|_| scope.spawn(|| create_numbered(folder.path(), "samples", fill).unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<std::collections::BTreeSet<_>>()
        });
        assert_eq!(made.len(), 6);
        assert_eq!(names(folder.path()), (1..=6).map(|number| format!("samples-{number}")).collect::<Vec<_>>());
    }
}
