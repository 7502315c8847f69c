//! Files and folders of the Hub, in the cache.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;
use vqkit_run::{Observer, RunError};

use crate::{
    download::{
        checksum,
        fetch::{self, Failure, Remote},
        partial::Partial,
    },
    error::{HubProblem, Result},
    hub::{
        cache::{RepositoryCache, is_commit},
        client::{Client, Head},
        environment::Hub,
        hashes,
        location::{HubPath, is_inside},
    },
};

/// How the names of files end that are weights or say what they are; only those of a folder are fetched.
const KNOWN: [&str; 8] = [".safetensors", ".json", ".yaml", ".yml", ".bin", ".ckpt", ".pt", ".pth"];

impl Hub {
    /// The path of a location in the cache; downloads what is missing. `renew`: asks for the present commit of a branch
    /// that is in the cache.
    ///
    /// A file is checked against the hash that the Hub states. Of a repository or folder the files with weights and
    /// their configurations are fetched; where there are safetensors files, the `.bin` files beside them are left out.
    ///
    /// # Errors
    /// [`crate::HubError`] where the location cannot be had; [`crate::ChecksumError`] where the server sent something
    /// else than it stated.
    pub fn fetch(&self, location: &HubPath, renew: bool, observer: &Arc<dyn Observer>) -> Result<PathBuf> {
        match location.inside.as_deref().filter(|inside| is_known(inside)) {
            Some(file) => self.fetch_file(location, file, renew, observer),
            None => self.fetch_folder(location, renew, observer),
        }
    }

    /// The path of a location in the cache, as it is; `None` where it is not there.
    pub fn at_hand(&self, location: &HubPath) -> Option<PathBuf> {
        RepositoryCache::new(self, location).find(location.inside.as_deref())
    }

    fn fetch_file(&self, location: &HubPath, file: &str, renew: bool, observer: &Arc<dyn Observer>) -> Result<PathBuf> {
        let cache = RepositoryCache::new(self, location);
        if let (Some(found), false) = (cache.find(Some(file)), renew && self.offline.is_none()) {
            return Ok(found);
        }
        let client = self.client(location, &cache)?;
        let revision = revision(location, &cache, renew);
        let (path, commit) = obtain(&client, &cache, &revision, file, observer)?;
        cache.point(&commit)?;
        Ok(path)
    }

    fn fetch_folder(&self, location: &HubPath, renew: bool, observer: &Arc<dyn Observer>) -> Result<PathBuf> {
        let cache = RepositoryCache::new(self, location);
        let inside = location.inside.as_deref();
        if let (Some(found), Some(_)) = (cache.find(inside), self.offline) {
            return Ok(found);
        }
        let client = self.client(location, &cache)?;
        let listed = client.get(&client.api_url(&["revision", &revision(location, &cache, renew)]))?;
        let listed = listed.ok_or_else(|| client.refusal(404, &Default::default(), ""))?;
        let commit = listed.get("sha").and_then(Value::as_str).filter(|commit| is_commit(commit));
        let commit = commit.ok_or_else(|| client.nonsense("the server states no commit of the repository".into()))?;
        let files = listed.get("siblings").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let names: Vec<&str> = files.iter().filter_map(|file| file.get("rfilename")?.as_str()).collect();
        let wanted = wanted(&names, inside);
        if wanted.is_empty() {
            return Err(location.error(HubProblem::NotFound("there are no weights there")));
        }
        for name in wanted.into_iter().filter(|name| !cache.place(commit, Some(name)).exists()) {
            obtain(&client, &cache, commit, name, observer)?;
        }
        cache.point(commit)?;
        Ok(cache.place(commit, inside))
    }

    fn client<'h>(&'h self, location: &'h HubPath, cache: &RepositoryCache) -> Result<Client<'h>> {
        let place = || {
            let commit = cache.commit().unwrap_or_else(|| "COMMIT".to_owned());
            cache.place(&commit, location.inside.as_deref())
        };
        Client::new(self, location, place)
    }
}

/// The revision to ask for: that of the location, unless the cache has its commit.
fn revision(location: &HubPath, cache: &RepositoryCache, renew: bool) -> String {
    let commit = if renew { None } else { cache.commit() };
    commit.unwrap_or_else(|| location.revision.clone())
}

/// The files to be fetched, of all `names` of a repository.
fn wanted<'n>(names: &[&'n str], inside: Option<&str>) -> Vec<&'n str> {
    let prefix = inside.map(|inside| format!("{inside}/")).unwrap_or_default();
    let inside = |name: &&str| name.starts_with(&prefix) || Some(*name) == inside;
    let folder = |name: &'n str| name.rsplit_once('/').map_or("", |(folder, _)| folder);
    let safe: Vec<&str> = names.iter().filter(|name| name.ends_with(".safetensors")).map(|name| folder(name)).collect();
    let is_double = |name: &'n str| name.ends_with(".bin") && safe.contains(&folder(name));
    names.iter().filter(|name| inside(name) && is_inside(name) && is_known(name) && !is_double(name)).copied().collect()
}

fn is_known(name: &str) -> bool {
    KNOWN.iter().any(|end| name.ends_with(end))
}

/// Downloads one file of a revision, unless its content is there; gives its path and the commit.
fn obtain(
    client: &Client,
    cache: &RepositoryCache,
    revision: &str,
    file: &str,
    observer: &Arc<dyn Observer>,
) -> Result<(PathBuf, String)> {
    let head = client.head(revision, file)?;
    let blob = cache.blob(&head.hash);
    let lock = cache.lock(&head.hash)?;
    if !blob.is_file() {
        download(client, cache, file, &head, &blob, observer)?;
    }
    drop(lock);
    Ok((cache.link(&head.commit, file, &head.hash)?, head.commit))
}

fn download(
    client: &Client,
    cache: &RepositoryCache,
    file: &str,
    head: &Head,
    blob: &Path,
    observer: &Arc<dyn Observer>,
) -> Result<()> {
    let part = cache.incomplete(&head.hash);
    let io = |source: io::Error| RunError::io("write", &part, source);
    let mut partial = Partial::open(&part).map_err(io)?;
    if partial.bytes() > head.bytes {
        partial.restart().map_err(io)?;
    }
    let url = client.file_url(&head.commit, file);
    let remote = Remote { name: file, url: &url, token: client.token(), bytes: Some(head.bytes), is_verified: true };
    let (error, keep) = match fetch::download(&remote, &mut partial, observer) {
        Ok(sha256) => match check(&part, head, &sha256, &url)? {
            Ok(()) => return Ok(partial.finish(blob).map_err(io)?),
            Err(different) => (different, false),
        },
        Err(Failure::Disk(source)) => return Err(io(source).into()),
        Err(Failure::Network(reason)) => (client.nonsense(reason), true),
        Err(Failure::Refused(status, headers)) => (client.refusal(status, &headers, ""), true),
        Err(Failure::Other(reason)) => (client.nonsense(reason), false),
    };
    if keep { partial.keep() } else { partial.remove() }.map_err(io)?;
    Err(error)
}

/// Compares a download with the hash that the Hub stated.
fn check(part: &Path, head: &Head, sha256: &str, url: &str) -> Result<Result<()>> {
    let found = match head.hash.len() {
        64 => sha256.to_owned(),
        40 => {
            let file = File::open(part).map_err(|source| RunError::io("read", part, source))?;
            hashes::git(file, head.bytes).map_err(|source| RunError::io("read", part, source))?
        }
        // No known kind of hash; the size was checked.
        _ => head.hash.clone(),
    };
    let remedy = format!("nothing was kept of what {url} sent; try again");
    Ok(checksum::compare(part, &head.hash, &found, &remedy))
}

/// The checksum of a file in the cache.
pub fn sha256(path: &Path) -> Result<String> {
    let name = fs::canonicalize(path).ok().and_then(|path| Some(path.file_name()?.to_str()?.to_owned()));
    // A large file is named by its checksum, and was checked when it came.
    if let Some(name) = name.filter(|name| name.len() == 64 && name.bytes().all(|digit| digit.is_ascii_hexdigit())) {
        return Ok(name);
    }
    let sum = File::open(path).and_then(checksum::of);
    Ok(sum.map_err(|source| RunError::io("read", path, source))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_folder_only_weights_and_configurations_are_wanted() {
        let names = [
            ".gitattributes",
            "README.md",
            "config.json",
            "model.safetensors",
            "pytorch_model.bin",
            "vqvae/config.json",
            "vqvae/model.bin",
            "vqvae-2/model.bin",
            "../outside.bin",
        ];
        let all = ["config.json", "model.safetensors", "vqvae/config.json", "vqvae/model.bin", "vqvae-2/model.bin"];
        assert_eq!(wanted(&names, None), all);
        assert_eq!(wanted(&names, Some("vqvae")), ["vqvae/config.json", "vqvae/model.bin"]);
        assert!(wanted(&names, Some("unet")).is_empty());
    }
}
