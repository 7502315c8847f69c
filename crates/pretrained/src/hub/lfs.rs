//! Large files: the upload protocol of Git LFS, in one part or, where the Hub asks for it, in several.
//!
//! Follows the batch API of Git LFS, <https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md>, and the Hub's
//! custom transfer `multipart`.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use ureq::{
    Agent, SendBody,
    http::{StatusCode, header},
};
use vqkit_run::{Progress, RunError};

use crate::{download::fetch, error::Result, hub::client::Client};

/// Content type of the protocol.
const LFS: &str = "application/vnd.git-lfs+json";

/// Number of times that a part is sent where the server does not take it.
const TRIES: u32 = 3;

/// Time before the second of them; it doubles.
const PAUSE: Duration = Duration::from_millis(200);

/// A large file to be uploaded.
pub struct LargeFile<'f> {
    /// Where it is.
    pub path: &'f Path,
    /// Its SHA-256.
    pub sha256: &'f str,
    /// Its size.
    pub bytes: u64,
}

/// Uploads those files that the Hub does not have; `repository` is `owner/name`.
pub fn upload(
    client: &Client,
    repository: &str,
    revision: &str,
    files: &[LargeFile],
    progress: &Progress,
) -> Result<()> {
    if files.is_empty() {
        return Ok(());
    }
    let objects: Vec<Value> = files.iter().map(|file| json!({ "oid": file.sha256, "size": file.bytes })).collect();
    let request = json!({
        "operation": "upload",
        "transfers": ["basic", "multipart"],
        "hash_algo": "sha256",
        "ref": { "name": revision },
        "objects": objects,
    });
    let url = client.url(&format!("{repository}.git/info/lfs/objects/batch"));
    let answer = client.post(&url, LFS, request.to_string().as_bytes())?;
    let offers = answer.get("objects").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for file in files {
        let offer = offers.iter().find(|offer| offer.get("oid").and_then(Value::as_str) == Some(file.sha256));
        let offer =
            offer.ok_or_else(|| client.nonsense(format!("the server does not answer about {}", file.name())))?;
        if let Some(error) = offer.get("error") {
            return Err(client.nonsense(format!("the server does not take {}: {error}", file.name())));
        }
        let Some(actions) = offer.get("actions") else {
            // The server has it.
            progress.advance(file.bytes);
            continue;
        };
        transfer(client, file, actions, progress)?;
    }
    Ok(())
}

impl LargeFile<'_> {
    fn name(&self) -> String {
        self.path.display().to_string()
    }
}

/// Uploads one file as the server asks, and lets it check the file where it wants to.
fn transfer(client: &Client, file: &LargeFile, actions: &Value, progress: &Progress) -> Result<()> {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let missing = || client.nonsense(format!("the server does not say where {} goes", file.name()));
    let upload = actions.get("upload").ok_or_else(missing)?;
    let href = text(upload, "href").ok_or_else(missing)?;
    progress.note(&file.name());
    match upload.get("header").and_then(|header| as_number(header.get("chunk_size")?)) {
        None => put(client, file, &href, 0, file.bytes, progress).map(drop)?,
        Some(size) => {
            let parts = parts(upload, size, file.bytes).ok_or_else(missing)?;
            let mut done = Vec::new();
            for (number, url) in (1..).zip(&parts) {
                let start = (number - 1) * size;
                let tag = put(client, file, url, start, size.min(file.bytes - start), progress)?;
                done.push(json!({ "partNumber": number, "etag": tag }));
            }
            client.post(&href, LFS, json!({ "oid": file.sha256, "parts": done }).to_string().as_bytes())?;
        }
    }
    match actions.get("verify").and_then(|verify| text(verify, "href")) {
        Some(url) => {
            let object = json!({ "oid": file.sha256, "size": file.bytes });
            client.create(&url, &object)
        }
        None => Ok(()),
    }
}

/// The addresses of all parts of a file, in order.
fn parts(upload: &Value, size: u64, bytes: u64) -> Option<Vec<String>> {
    let header = upload.get("header")?.as_object()?;
    let mut parts: Vec<(u64, String)> =
        header.iter().filter_map(|(key, value)| Some((key.parse().ok()?, value.as_str()?.to_owned()))).collect();
    parts.sort();
    let complete = size > 0 && parts.iter().map(|(number, _)| *number).eq(1..=bytes.div_ceil(size));
    complete.then(|| parts.into_iter().map(|(_, url)| url).collect())
}

/// A number that a server may write as text.
fn as_number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// Sends a part of a file to an address that needs no token; gives what the server calls it.
fn put(client: &Client, file: &LargeFile, url: &str, start: u64, bytes: u64, progress: &Progress) -> Result<String> {
    let io = |source| RunError::io("read", file.path, source);
    let mut pause = PAUSE;
    for left in (0..TRIES).rev() {
        let mut source = File::open(file.path).map_err(io)?;
        source.seek(SeekFrom::Start(start)).map_err(io)?;
        let mut reader = Metered { reader: source.take(bytes), progress };
        let sent = send(&fetch::agent(), url, bytes, &mut reader);
        let reason = match sent {
            Ok((status, tag, _)) if status.is_success() => {
                return Ok(tag);
            }
            Ok((status, _, said)) if status.is_client_error() || left == 0 => {
                return Err(
                    client.nonsense(format!("the storage answers with status {status} to {}: {said}", file.name()))
                );
            }
            Ok(_) => None,
            Err(error) => Some(error.to_string()),
        };
        if let (Some(reason), 0) = (reason, left) {
            return Err(client.nonsense(format!("the upload of {} was cut: {reason}", file.name())));
        }
        thread::sleep(pause);
        pause *= 2;
    }
    Err(client.nonsense(format!("the storage does not take {}", file.name())))
}

/// Sends `bytes` bytes; gives the status, the entity tag, and what the server says.
fn send(
    agent: &Agent,
    url: &str,
    bytes: u64,
    reader: &mut impl Read,
) -> Result<(StatusCode, String, String), ureq::Error> {
    let request = agent.put(url).header(header::CONTENT_LENGTH, bytes.to_string());
    let response = request.send(SendBody::from_reader(reader))?;
    let tag = response.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok()).unwrap_or_default().to_owned();
    let status = response.status();
    let said =
        if status.is_success() { String::new() } else { response.into_body().read_to_string().unwrap_or_default() };
    Ok((status, tag, said.chars().take(300).collect()))
}

/// A reader that reports what was read.
struct Metered<'p, R> {
    reader: R,
    progress: &'p Progress,
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.progress.advance(read as u64);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_in_order_and_complete() {
        let offer = |numbers: &[&str]| {
            let mut header = serde_json::Map::new();
            header.insert("chunk_size".into(), "4".into());
            header.extend(numbers.iter().map(|number| ((*number).to_owned(), format!("to/{number}").into())));
            json!({ "href": "done", "header": header })
        };
        let found = parts(&offer(&["00002", "00001", "00010", "3", "4", "5", "6", "7", "8", "9"]), 4, 40).unwrap();
        assert_eq!((found.len(), &*found[0], &*found[1], &*found[9]), (10, "to/00001", "to/00002", "to/00010"));
        assert!(parts(&offer(&["1", "3"]), 4, 9).is_none(), "one is missing");
        assert!(parts(&offer(&["1"]), 4, 9).is_none(), "too few for the file");
    }
}
