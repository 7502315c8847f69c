//! The public checkpoints of image tokenizers and of priors over their tokens, by name: what each is, where it is, and
//! under which licence.
//!
//! Where a checksum or a size is missing, no statement of the publisher was found; a file of the Hugging Face Hub is
//! then checked against the hash that the Hub states.

#[cfg(feature = "hub")]
use std::path::PathBuf;
use std::{borrow::Cow, fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use vqkit_recipe::InvalidRequest;
use vqkit_run::Observer;

use crate::{
    download::{self, Cache, KnownFile, Obtained, Wanted},
    error::Result,
    hub::{HubPath, Location},
};

/// The table of checkpoints; those of [`download::known`] come before it.
const TABLE: &str = include_str!("checkpoints.toml");

/// What weights become in vqkit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Becomes {
    /// An image tokenizer.
    Tokenizer,
    /// A prior over tokens.
    Prior,
    /// A network whose features a loss compares.
    PerceptualNetwork,
    /// The features of a metric.
    Features,
}

impl fmt::Display for Becomes {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.pad(match self {
            Self::Tokenizer => "tokenizer",
            Self::Prior => "prior",
            Self::PerceptualNetwork => "perceptual",
            Self::Features => "features",
        })
    }
}

/// A published checkpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// Its name on the command line.
    pub name: Cow<'static, str>,
    /// What it is.
    pub about: Cow<'static, str>,
    /// What it becomes.
    pub becomes: Becomes,
    /// Where it is: a URL, or `hf://owner/name/file`.
    pub source: Cow<'static, str>,
    /// Where the file with its sizes is, if there is one.
    pub config: Option<Cow<'static, str>>,
    /// The licence that the publisher names; `None` where none was found.
    pub licence: Option<Cow<'static, str>>,
    /// Its size in bytes, if it is known.
    pub bytes: Option<u64>,
    /// Its SHA-256, if it is known.
    pub sha256: Option<Cow<'static, str>>,
    /// Whether vqkit reads it where it takes such weights: `tokenizer.finetune.from`, a perceptual loss, a metric.
    pub readable: bool,
}

/// What the table holds.
#[derive(Deserialize)]
struct Table {
    checkpoints: Vec<Published>,
}

/// All published checkpoints, family by family.
///
/// # Errors
/// When the table, which is a part of the program, cannot be read.
pub fn all() -> Result<Vec<Published>> {
    let table: Table = toml::from_str(TABLE)?;
    Ok(download::known().iter().map(Published::of_known).chain(table.checkpoints).collect())
}

/// The checkpoint of this name.
///
/// # Errors
/// [`InvalidRequest`] that lists similar names, or all.
pub fn find(name: &str) -> Result<Published> {
    let all = all()?;
    if let Some(found) = all.iter().find(|entry| entry.name == name) {
        return Ok(found.clone());
    }
    let start = name.split(['-', '_']).next().unwrap_or(name);
    let similar = |entry: &&Published| entry.name.starts_with(start);
    let mut names: Vec<_> = all.iter().filter(similar).map(|entry| format!("`{}`", entry.name)).collect();
    if start.is_empty() || names.is_empty() {
        names = all.iter().map(|entry| format!("`{}`", entry.name)).collect();
    }
    let message = format!("no weights are known as `{name}`; known are {}", names.join(", "));
    Err(InvalidRequest::option("name", message).into())
}

impl Published {
    fn of_known(file: &KnownFile) -> Self {
        let features = file.name == "fid-inception";
        Self {
            name: file.name.clone(),
            about: file.about.clone(),
            becomes: if features { Becomes::Features } else { Becomes::PerceptualNetwork },
            source: file.url.clone(),
            config: None,
            licence: None,
            bytes: Some(file.bytes),
            sha256: Some(file.sha256.clone()),
            readable: true,
        }
    }

    /// The file on this machine, downloaded if it is missing, and its checksum; the file with its sizes too.
    ///
    /// # Errors
    /// Those of [`Cache::fetch`], and of [`crate::hub::refresh`].
    pub fn fetch(&self, observer: &Arc<dyn Observer>) -> Result<Obtained> {
        if let Some(config) = &self.config {
            self.fetch_one(config, "yaml", None, None, observer)?;
        }
        self.fetch_one(&self.source, "ckpt", self.sha256.as_deref(), self.bytes, observer)
    }

    fn fetch_one(
        &self,
        source: &str,
        kind: &str,
        sha256: Option<&str>,
        bytes: Option<u64>,
        observer: &Arc<dyn Observer>,
    ) -> Result<Obtained> {
        if let Location::Hub(location) = Location::parse(source.as_ref())? {
            return fetch_from_hub(&location, sha256, observer);
        }
        let file = self.file_name(source, kind);
        let wanted = Wanted { name: &self.name, file: &file, url: source, sha256, bytes };
        Cache::user()?.obtain(&wanted, observer)
    }

    /// The name in the cache of a file from a URL: that of a known file, else that of the checkpoint, with the ending
    /// that the URL shows, or that of its kind.
    fn file_name(&self, url: &str, kind: &str) -> String {
        if let Some(known) = download::known().iter().find(|known| known.url == url) {
            return known.file.to_string();
        }
        let path = url.split('?').next().unwrap_or(url);
        let ending =
            path.rsplit_once('.').map(|(_, ending)| ending).filter(|ending| ["zip", "pt", "pth"].contains(ending));
        format!("{}.{}", self.name, ending.unwrap_or(kind))
    }
}

/// Fetches weights by name or from the Hub, and asks the Hub for newer ones.
///
/// # Errors
/// [`InvalidRequest`] for a name that is not known; those of [`Published::fetch`].
pub fn fetch(name: &str, observer: &Arc<dyn Observer>) -> Result<Vec<Obtained>> {
    match Location::parse(name.as_ref())? {
        Location::Hub(location) => fetched_from_hub(&location, observer),
        Location::Path(_) => Ok(vec![find(name)?.fetch(observer)?]),
    }
}

#[cfg(feature = "hub")]
fn fetch_from_hub(location: &HubPath, sha256: Option<&str>, observer: &Arc<dyn Observer>) -> Result<Obtained> {
    let path = crate::hub::refresh(location, observer)?;
    let found = crate::hub::sha256(&path)?;
    if let Some(published) = sha256 {
        let remedy = format!("the file of {location} is another than the one that vqkit knows by this name");
        download::checksum::compare(&path, published, &found, &remedy)?;
    }
    Ok(Obtained { path, sha256: found })
}

#[cfg(feature = "hub")]
fn fetched_from_hub(location: &HubPath, observer: &Arc<dyn Observer>) -> Result<Vec<Obtained>> {
    let path = crate::hub::refresh(location, observer)?;
    let files: Vec<PathBuf> = if path.is_dir() { files_in(&path)? } else { vec![path] };
    let obtained = |path: PathBuf| Ok(Obtained { sha256: crate::hub::sha256(&path)?, path });
    files.into_iter().map(obtained).collect()
}

/// All files below a folder, in order.
#[cfg(feature = "hub")]
fn files_in(folder: &std::path::Path) -> Result<Vec<PathBuf>> {
    let io = |source| vqkit_run::RunError::io("read", folder, source);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.is_dir() { files.extend(files_in(&path)?) } else { files.push(path) }
    }
    files.sort();
    Ok(files)
}

#[cfg(not(feature = "hub"))]
fn fetch_from_hub(location: &HubPath, _: Option<&str>, _: &Arc<dyn Observer>) -> Result<Obtained> {
    Err(location.error(crate::error::HubProblem::NoFeature))
}

#[cfg(not(feature = "hub"))]
fn fetched_from_hub(location: &HubPath, _: &Arc<dyn Observer>) -> Result<Vec<Obtained>> {
    Err(location.error(crate::error::HubProblem::NoFeature))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_table_is_sound() {
        let all = all().unwrap();
        let names: BTreeSet<_> = all.iter().map(|entry| &entry.name).collect();
        assert_eq!(names.len(), all.len(), "every name is there once");
        for Published { name, source, config, sha256, about, .. } in &all {
            for place in [Some(source), config.as_ref()].into_iter().flatten() {
                let is_file = |location: HubPath| location.inside.is_some();
                let sound = place.starts_with("https://") || HubPath::parse(place).is_ok_and(is_file);
                assert!(sound, "{name}: {place}");
            }
            let is_sum = |sum: &str| sum.len() == 64 && sum.bytes().all(|digit| b"0123456789abcdef".contains(&digit));
            assert!(sha256.as_deref().is_none_or(is_sum), "{name}");
            assert!(!about.is_empty() && !name.contains(' '), "{name}");
        }
    }

    #[test]
    fn a_wrong_name_shows_similar_ones() {
        let message = find("titok-l33").unwrap_err().to_string();
        assert!(message.contains("`titok-l32`") && !message.contains("`vgg16`"), "{message}");
        let message = find("alexnet").unwrap_err().to_string();
        assert!(message.contains("`vgg16`") && message.contains("`titok-l32`"), "{message}");
    }

    #[test]
    fn files_from_urls_are_named_after_the_checkpoint() {
        let name = |entry: &str, kind| {
            let entry = find(entry).unwrap();
            entry.file_name(&entry.source, kind)
        };
        assert_eq!(name("taming-f16-1024", "ckpt"), "taming-f16-1024.ckpt");
        assert_eq!(name("ldm-vq-f8", "ckpt"), "ldm-vq-f8.zip");
        assert_eq!(name("vgg16", "ckpt"), "vgg16-397923af.pth");
    }
}
