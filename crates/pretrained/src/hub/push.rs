//! Uploads of folders to the Hub.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use vqkit_recipe::InvalidRequest;
use vqkit_run::{Observer, Progress, RunError};

use crate::{
    download::checksum,
    error::{HubProblem, Result},
    hub::{
        client::Client,
        environment::Hub,
        hashes,
        lfs::{self, LargeFile},
        location::HubPath,
        pushed::{Push, Pushed},
    },
};

/// Number of files that one request asks about.
const AT_ONCE: usize = 200;

/// Number of first bytes by which the Hub tells text from other files.
const SAMPLE: u64 = 512;

/// A file of the folder.
struct Local {
    path: PathBuf,
    bytes: u64,
    sha256: String,
    sample: Vec<u8>,
    /// Whether the Hub wants it outside of the commit.
    is_large: bool,
}

impl Hub {
    /// Uploads a folder as one commit, and creates the repository if there is none. Files that are the same on the Hub
    /// are not sent; files of the repository that the folder lacks stay.
    ///
    /// # Errors
    /// [`InvalidRequest`] where the folder has no files; [`crate::HubError`] without a token, without permission, or
    /// when the Hub cannot be reached.
    pub fn push(&self, push: &Push, observer: &Arc<dyn Observer>) -> Result<Pushed> {
        if self.token.is_none() {
            return Err(push.to.error(HubProblem::NoToken("uploads need a token")));
        }
        if let Some(variable) = self.offline {
            return Err(push.to.error(HubProblem::Network(format!("{variable} forbids the network"))));
        }
        let mut files = local_files(push)?;
        let client = Client::new(self, push.to, || push.folder.to_owned())?;
        let created = create(&client, push)?;
        ask_for_modes(&client, push.to, &mut files)?;
        let all = files.len();
        remove_unchanged(&client, push.to, &mut files)?;
        let url = client.url(&push.to.repository);
        let unchanged = all - files.len();
        if files.is_empty() {
            return Ok(Pushed { url, created, changed: Vec::new(), unchanged, commit: None });
        }
        let progress = Progress::begin(observer, "push", "bytes", 0, files.values().map(|file| file.bytes).sum());
        let large: Vec<LargeFile> = files.values().filter(|file| file.is_large).map(Local::as_large).collect();
        lfs::upload(&client, &push.to.repository, &push.to.revision, &large, &progress)?;
        let body = commit_body(push.message, &files, &progress)?;
        let answer = client.post(&client.api_url(&["commit", &push.to.revision]), "application/x-ndjson", &body)?;
        progress.finish(&format!("{} files", files.len()));
        let commit = answer.get("commitOid").and_then(Value::as_str).map(str::to_owned);
        Ok(Pushed { url, created, changed: files.into_keys().collect(), unchanged, commit })
    }
}

impl Local {
    fn read(path: PathBuf) -> Result<Self> {
        let read = || -> std::io::Result<Self> {
            let mut file = File::open(&path)?;
            let mut sample = Vec::new();
            file.by_ref().take(SAMPLE).read_to_end(&mut sample)?;
            let mut sum = checksum::Checksum::default();
            sum.update(&sample);
            let mut bytes = sample.len() as u64;
            let mut chunk = vec![0; 1 << 16];
            loop {
                match file.read(&mut chunk)? {
                    0 => break,
                    read => {
                        sum.update(&chunk[..read]);
                        bytes += read as u64;
                    }
                }
            }
            Ok(Self { path: path.clone(), bytes, sha256: sum.finish(), sample, is_large: false })
        };
        read().map_err(|source| RunError::io("read", &path, source).into())
    }

    fn as_large(&self) -> LargeFile<'_> {
        LargeFile { path: &self.path, sha256: &self.sha256, bytes: self.bytes }
    }

    fn git_hash(&self) -> Result<String> {
        let hash = File::open(&self.path).and_then(|file| hashes::git(file, self.bytes));
        Ok(hash.map_err(|source| RunError::io("read", &self.path, source))?)
    }
}

/// The files of the folder, by their paths in the repository.
fn local_files(push: &Push) -> Result<BTreeMap<String, Local>> {
    let mut files = BTreeMap::new();
    let prefix = push.to.inside.as_ref().map(|inside| format!("{inside}/")).unwrap_or_default();
    collect(push.folder, &prefix, &mut files)?;
    match files.is_empty() {
        true => Err(InvalidRequest::option("path", format!("{} has no files to upload", push.folder.display())).into()),
        false => Ok(files),
    }
}

fn collect(folder: &Path, prefix: &str, files: &mut BTreeMap<String, Local>) -> Result<()> {
    let io = |source| RunError::io("read", folder, source);
    for entry in fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let unreadable = || RunError::artifact(&path, "has a name that is not UTF-8; the Hub takes no such file");
        let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(unreadable)?;
        if name.starts_with('.') && name != ".gitattributes" {
            continue;
        }
        let inside = format!("{prefix}{name}");
        match (path.is_dir(), path.is_symlink()) {
            (true, true) => {
                let reason = "is a symbolic link to a folder; upload that folder by itself";
                return Err(RunError::artifact(&path, reason).into());
            }
            (true, false) => collect(&path, &format!("{inside}/"), files)?,
            (false, _) => {
                files.insert(inside, Local::read(path)?);
            }
        }
    }
    Ok(())
}

/// Creates the repository if there is none; tells whether it did.
fn create(client: &Client, push: &Push) -> Result<bool> {
    if client.get(&client.api_url(&[]))?.is_some() {
        return Ok(false);
    }
    let (owner, name) = push.to.repository.split_once('/').unwrap_or_default();
    let repository = json!({ "type": "model", "organization": owner, "name": name, "private": push.private });
    client.create(&client.url("api/repos/create"), &repository)?;
    Ok(true)
}

/// Asks which files are to be sent outside of the commit, and leaves out those that the repository ignores.
fn ask_for_modes(client: &Client, to: &HubPath, files: &mut BTreeMap<String, Local>) -> Result<()> {
    let paths: Vec<String> = files.keys().cloned().collect();
    for paths in paths.chunks(AT_ONCE) {
        let described = |path: &String| {
            let file = files.get(path)?;
            Some(json!({ "path": path, "size": file.bytes, "sample": BASE64_STANDARD.encode(&file.sample) }))
        };
        let request = json!({ "files": paths.iter().filter_map(described).collect::<Vec<_>>() });
        let answer = client.post_json(&client.api_url(&["preupload", &to.revision]), &request)?;
        for answer in answer.get("files").and_then(Value::as_array).into_iter().flatten() {
            let Some(path) = answer.get("path").and_then(Value::as_str) else { continue };
            if answer.get("shouldIgnore").and_then(Value::as_bool).unwrap_or(false) {
                files.remove(path);
            } else if let Some(file) = files.get_mut(path) {
                file.is_large = answer.get("uploadMode").and_then(Value::as_str) == Some("lfs");
            }
        }
    }
    Ok(())
}

/// Removes the files whose content the repository has under the same path.
fn remove_unchanged(client: &Client, to: &HubPath, files: &mut BTreeMap<String, Local>) -> Result<()> {
    let paths: Vec<String> = files.keys().cloned().collect();
    for paths in paths.chunks(AT_ONCE) {
        let url = client.api_url(&["paths-info", &to.revision]);
        let there = client.post_json(&url, &json!({ "paths": paths, "expand": false }))?;
        for there in there.as_array().into_iter().flatten() {
            let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
            let Some(path) = text(there, "path") else { continue };
            let Some(file) = files.get(&path) else { continue };
            let same = match there.get("lfs").and_then(|lfs| text(lfs, "oid")) {
                Some(sha256) => sha256 == file.sha256,
                None => text(there, "oid") == Some(file.git_hash()?),
            };
            if same {
                files.remove(&path);
            }
        }
    }
    Ok(())
}

/// The commit: a line of JSON for the message and for each file, small files with their content.
fn commit_body(message: &str, files: &BTreeMap<String, Local>, progress: &Progress) -> Result<Vec<u8>> {
    let mut lines = vec![json!({ "key": "header", "value": { "summary": message, "description": "" } })];
    for (path, file) in files {
        lines.push(match file.is_large {
            true => json!({
                "key": "lfsFile",
                "value": { "path": path, "algo": "sha256", "oid": file.sha256, "size": file.bytes },
            }),
            false => {
                let content = fs::read(&file.path).map_err(|source| RunError::io("read", &file.path, source))?;
                progress.advance(file.bytes);
                json!({
                    "key": "file",
                    "value": { "path": path, "encoding": "base64", "content": BASE64_STANDARD.encode(content) },
                })
            }
        });
    }
    Ok(lines.iter().flat_map(|line| format!("{line}\n").into_bytes()).collect())
}
