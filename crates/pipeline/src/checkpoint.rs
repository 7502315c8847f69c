//! Checkpoints: folders that are complete or absent, the latest few and the best.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    error::{PipelineError, Result},
    files,
};

const PREFIX: &str = "checkpoint-";
const LAST: &str = "last";
const BEST: &str = "best";

/// The checkpoints of one stage.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    folder: PathBuf,
    keep: usize,
}

impl Checkpoints {
    /// Those in `folder`, of which the latest `keep` stay; removes what a killed process left half-written.
    ///
    /// # Errors
    /// When the folder cannot be created.
    pub fn open(folder: &Path, keep: usize) -> Result<Self> {
        fs::create_dir_all(folder).map_err(|source| PipelineError::io("create", folder, source))?;
        files::sweep(folder)?;
        Ok(Self { folder: folder.to_owned(), keep })
    }

    /// The checkpoint to continue from.
    pub fn last(&self) -> Option<PathBuf> {
        self.target(LAST)
    }

    /// The checkpoint to use: the best where there is one, else the last.
    pub fn chosen(&self) -> Option<PathBuf> {
        self.target(BEST).or_else(|| self.last())
    }

    /// Fills the checkpoint of `step`, points `last` (and `best`, if told so) at it, and removes old ones.
    ///
    /// # Errors
    /// When something cannot be written.
    pub fn write(&self, step: u64, is_best: bool, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let name = format!("{PREFIX}{step:07}");
        files::create_folder(&self.folder.join(&name), fill)?;
        if is_best {
            files::point(&self.folder.join(BEST), &name)?;
        }
        files::point(&self.folder.join(LAST), &name)?;
        self.prune()
    }

    fn target(&self, link: &str) -> Option<PathBuf> {
        let target = self.folder.join(fs::read_link(self.folder.join(link)).ok()?);
        target.is_dir().then_some(target)
    }

    fn prune(&self) -> Result<()> {
        let io = |source| PipelineError::io("read", &self.folder, source);
        let mut steps: Vec<PathBuf> = fs::read_dir(&self.folder)
            .map_err(io)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX)))
            .collect();
        steps.sort();
        let best = self.target(BEST);
        for old in steps.iter().rev().skip(self.keep).filter(|path| Some(*path) != best.as_ref()) {
            fs::remove_dir_all(old).map_err(|source| PipelineError::io("remove", old, source))?;
        }
        Ok(())
    }
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

    #[test]
    fn keeps_the_latest_and_the_best() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::open(folder.path(), 2).unwrap();
        assert_eq!(checkpoints.chosen(), None);
        for (step, is_best) in [(10, false), (20, true), (30, false), (40, false), (50, false)] {
            checkpoints.write(step, is_best, |path| files::write(&path.join("state.json"), b"{}")).unwrap();
        }
        let expected = ["best", "checkpoint-0000020", "checkpoint-0000040", "checkpoint-0000050", "last"];
        assert_eq!(names(folder.path()), expected);
        assert!(checkpoints.last().unwrap().ends_with("checkpoint-0000050"));
        assert!(checkpoints.chosen().unwrap().ends_with("checkpoint-0000020"));
    }

    #[test]
    fn a_checkpoint_that_fails_half_way_is_absent_and_swept_away() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::open(folder.path(), 2).unwrap();
        checkpoints.write(1, false, |_| Ok(())).unwrap();
        let failed = checkpoints.write(2, false, |path| {
            files::write(&path.join("model.safetensors"), b"half")?;
            Err(PipelineError::Interrupted)
        });
        assert!(failed.is_err());
        let checkpoints = Checkpoints::open(folder.path(), 2).unwrap();
        assert_eq!(names(folder.path()), ["checkpoint-0000001", "last"]);
        assert!(checkpoints.last().unwrap().ends_with("checkpoint-0000001"));
    }
}
