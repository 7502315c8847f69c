//! Checkpoints: folders that are complete or absent, the latest few and the best.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

use crate::{error::Result, error::RunError, files};

const PREFIX: &str = "checkpoint-";
const LAST: &str = "last";
const BEST: &str = "best";
const GOOD: &str = "good";

/// The checkpoints of one stage.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    folder: PathBuf,
    keep: usize,
}

impl Checkpoints {
    /// The checkpoints in a stage's existing `folder`, of which the latest `keep` stay; removes what a killed process
    /// left half-written.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn open(folder: &Path, keep: usize) -> Result<Self> {
        files::sweep(folder)?;
        Ok(Self { folder: folder.to_owned(), keep })
    }

    /// The checkpoint to continue from, or `None` where none was written yet; also checks that the best one, if any, is
    /// sound.
    ///
    /// # Errors
    /// When `last` or `best` names a missing one.
    pub fn to_continue(&self) -> Result<Option<PathBuf>> {
        self.target(BEST)?;
        self.last()
    }

    /// The last checkpoint; `None` where none was written yet.
    ///
    /// # Errors
    /// When `last` names a missing one.
    pub fn last(&self) -> Result<Option<PathBuf>> {
        match self.target(LAST)? {
            Some(path) => Ok(Some(path)),
            // A process was killed between its first checkpoint and the link to it.
            None => Ok(self.steps()?.pop().map(|(_, path)| path)),
        }
    }

    /// The checkpoint to use: the best where there is one, else the last.
    ///
    /// # Errors
    /// When the link to it names a missing one.
    pub fn chosen(&self) -> Result<Option<PathBuf>> {
        self.target(BEST)?.map_or_else(|| self.last(), |best| Ok(Some(best)))
    }

    /// Points `good` at the last checkpoint: the one to step back to.
    ///
    /// # Errors
    /// When the link cannot be written.
    pub fn mark_good(&self) -> Result<()> {
        let last = self.last()?;
        let name = last.as_deref().and_then(Path::file_name).map(OsStr::to_string_lossy);
        name.map_or(Ok(()), |name| files::point(&self.folder.join(GOOD), &name))
    }

    /// Points `last` at the checkpoint that was marked as good, and removes later ones but the best; `None` where none was.
    ///
    /// # Errors
    /// When a link names a missing checkpoint, or one cannot be removed.
    pub fn step_back(&self) -> Result<Option<PathBuf>> {
        let Some(good) = self.target(GOOD)? else { return Ok(None) };
        files::point(&self.folder.join(LAST), &good.file_name().unwrap_or_default().to_string_lossy())?;
        let (best, steps) = (self.target(BEST)?, self.steps()?);
        let later = steps.iter().rev().map(|(_, path)| path).take_while(|path| **path != good);
        for path in later.filter(|path| best.as_ref() != Some(*path)) {
            fs::remove_dir_all(path).map_err(|source| RunError::io("remove", path, source))?;
        }
        Ok(Some(good))
    }

    /// Writes the checkpoint of `step`, points `last` (and `best`, if requested) at it, and removes old ones.
    ///
    /// # Errors
    /// When something cannot be written.
    pub fn write<E: From<RunError>>(
        &self,
        step: u64,
        is_best: bool,
        fill: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<(), E> {
        let name = format!("{PREFIX}{step:07}");
        files::replace(&self.folder.join(&name), fill)?;
        if is_best {
            files::point(&self.folder.join(BEST), &name)?;
        }
        files::point(&self.folder.join(LAST), &name)?;
        Ok(self.prune(step)?)
    }

    /// The checkpoint that a link names; `None` where there is no such link.
    fn target(&self, link: &str) -> Result<Option<PathBuf>> {
        let path = self.folder.join(link);
        let target = match fs::read_link(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            // A copy that followed links has turned it into a folder.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                let reason = "it must be a symbolic link to a checkpoint beside it: remove it, and link it (ln -s) to the checkpoint that \
                              it is a copy of";
                return Err(RunError::artifact(&path, reason));
            }
            read => read.map_err(|source| RunError::io("read the link", &path, source))?,
        };
        let checkpoint = self.folder.join(&target);
        match step_of(target.as_os_str()).is_some() && is_folder(&checkpoint) {
            true => Ok(Some(checkpoint)),
            false => Err(RunError::artifact(&path, self.remedy(&target)?)),
        }
    }

    /// What to do about a dangling link.
    fn remedy(&self, target: &Path) -> Result<String> {
        let target = target.display();
        let others: Vec<String> = self.steps()?.iter().rev().map(|(step, _)| format!("{PREFIX}{step:07}")).collect();
        Ok(match others.as_slice() {
            [] => format!(
                "it names {target}, but there is no such checkpoint beside it, nor any other: restore it, or remove the whole folder to \
                 start the stage again"
            ),
            others => format!(
                "it names {target}, but there is no such checkpoint beside it: restore it, or point the link (ln -sfn) at one of {}",
                others.join(", ")
            ),
        })
    }

    /// All checkpoints by their steps, in order.
    fn steps(&self) -> Result<Vec<(u64, PathBuf)>> {
        let entries = fs::read_dir(&self.folder).map_err(|source| RunError::io("read", &self.folder, source))?;
        let step = |entry: fs::DirEntry| Some((step_of(&entry.file_name())?, entry.path()));
        let mut steps: Vec<_> =
            entries.filter_map(|entry| step(entry.ok()?)).filter(|(_, path)| is_folder(path)).collect();
        steps.sort();
        Ok(steps)
    }

    /// Removes checkpoints before `step` except for the latest and those that are named. Later ones, which a killed
    /// process left beyond `last`, are replaced when training reaches them.
    fn prune(&self, step: u64) -> Result<()> {
        let named = [self.target(LAST)?, self.target(BEST)?, self.target(GOOD)?];
        let steps = self.steps()?;
        let before = steps.iter().rev().filter(|(other, _)| *other <= step).skip(self.keep).map(|(_, path)| path);
        for old in before.filter(|path| !named.iter().flatten().any(|named| named == *path)) {
            fs::remove_dir_all(old).map_err(|source| RunError::io("remove", old, source))?;
        }
        Ok(())
    }
}

/// The step in the name of a checkpoint.
fn step_of(name: &OsStr) -> Option<u64> {
    name.to_str()?.strip_prefix(PREFIX)?.parse().ok()
}

/// Whether this is a folder, and not a link to one.
fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn last(checkpoints: &Checkpoints) -> PathBuf {
        checkpoints.last().unwrap().unwrap()
    }

    fn write(checkpoints: &Checkpoints, step: u64) {
        checkpoints.write(step, false, |path| files::write(&path.join("state.json"), b"{}")).unwrap();
    }

    #[test]
    fn keeps_the_latest_and_the_best() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::open(folder.path(), 2).unwrap();
        assert_eq!(checkpoints.chosen().unwrap(), None);
        for (step, is_best) in [(10, false), (20, true), (30, false), (40, false), (50, false)] {
            checkpoints.write(step, is_best, |path| files::write(&path.join("state.json"), b"{}")).unwrap();
        }
        let expected = ["best", "checkpoint-0000020", "checkpoint-0000040", "checkpoint-0000050", "last"];
        assert_eq!(names(folder.path()), expected);
        assert!(last(&checkpoints).ends_with("checkpoint-0000050"));
        assert!(checkpoints.chosen().unwrap().unwrap().ends_with("checkpoint-0000020"));
    }

    #[test]
    fn a_checkpoint_that_fails_half_way_is_absent_and_swept_away() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::open(folder.path(), 2).unwrap();
        checkpoints.write(1, false, |_| Ok::<_, RunError>(())).unwrap();
        let failed = checkpoints.write(2, false, |path| {
            files::write(&path.join("model.safetensors"), b"half")?;
            Err(RunError::Interrupted)
        });
        assert!(failed.is_err());
        let checkpoints = Checkpoints::open(folder.path(), 2).unwrap();
        assert_eq!(names(folder.path()), ["checkpoint-0000001", "last"]);
        assert!(last(&checkpoints).ends_with("checkpoint-0000001"));
    }

    #[test]
    fn the_latest_are_those_of_the_highest_numbers_whatever_their_digits() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::open(folder.path(), 2).unwrap();
        for step in [9_999_998, 9_999_999, 10_000_000, 10_000_001] {
            write(&checkpoints, step);
        }
        assert_eq!(names(folder.path()), ["checkpoint-10000000", "checkpoint-10000001", "last"]);
        assert!(last(&checkpoints).ends_with("checkpoint-10000001"));
    }

    #[test]
    fn what_last_and_best_name_is_never_pruned() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::open(folder.path(), 1).unwrap();
        checkpoints.write(10, true, |_| Ok::<_, RunError>(())).unwrap();
        write(&checkpoints, 20);
        // Killed after the folder of step 30 was moved into place, and before `last` was.
        write(&checkpoints, 30);
        files::point(&folder.path().join(LAST), "checkpoint-0000020").unwrap();
        fs::create_dir_all(folder.path().join("checkpoint-0000020")).unwrap();
        write(&checkpoints, 25);
        assert!(last(&checkpoints).ends_with("checkpoint-0000025"));
        assert_eq!(
            names(folder.path()),
            ["best", "checkpoint-0000010", "checkpoint-0000025", "checkpoint-0000030", "last"]
        );
    }

    #[test]
    fn a_step_back_leads_to_the_good_one_which_is_never_pruned() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::open(folder.path(), 1).unwrap();
        assert_eq!(checkpoints.step_back().unwrap(), None);
        [10, 20].into_iter().for_each(|step| write(&checkpoints, step));
        checkpoints.mark_good().unwrap();
        [30, 40].into_iter().for_each(|step| write(&checkpoints, step));
        assert_eq!(names(folder.path()), ["checkpoint-0000020", "checkpoint-0000040", "good", "last"]);
        let back = checkpoints.step_back().unwrap().unwrap();
        assert!(back.ends_with("checkpoint-0000020"));
        assert_eq!(last(&checkpoints), back);
        assert_eq!(names(folder.path()), ["checkpoint-0000020", "good", "last"]);
    }

    #[test]
    fn a_link_that_leads_nowhere_is_an_error_and_not_a_fresh_start() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::open(folder.path(), 3).unwrap();
        assert_eq!(checkpoints.last().unwrap(), None);
        [10, 20].into_iter().for_each(|step| write(&checkpoints, step));
        fs::remove_dir_all(folder.path().join("checkpoint-0000020")).unwrap();
        let message = checkpoints.last().unwrap_err().to_string();
        assert!(message.contains("checkpoint-0000020") && message.contains("one of checkpoint-0000010"), "{message}");
        for elsewhere in ["/", "..", "../checkpoint-0000010", "checkpoint-x"] {
            files::point(&folder.path().join(LAST), elsewhere).unwrap();
            assert!(checkpoints.last().is_err(), "{elsewhere}");
        }
        fs::remove_file(folder.path().join(LAST)).unwrap();
        assert!(last(&checkpoints).ends_with("checkpoint-0000010"), "killed before its first link");
    }
}
