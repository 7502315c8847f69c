//! A server that plays the Hugging Face Hub, with one model repository.

use std::{
    collections::BTreeMap,
    fmt::Write,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use sha1::{Digest as _, Sha1};
use sha2::{Digest as _, Sha256};

use crate::http::{Answer, Request, Server};

/// What the server has, and how it behaves.
#[derive(Debug, Clone, Default)]
pub struct HubState {
    /// `owner/name` of the repository; empty while there is none.
    pub repository: String,
    /// The commit of `main`, in 40 hexadecimal digits.
    pub commit: String,
    /// Its files.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The token that every request must have, if any.
    pub token: Option<String>,
    /// Whether the user has to accept terms first.
    pub gated: bool,
    /// Number of bytes after which each of the next downloads is cut, the last first.
    pub cuts: Vec<usize>,
    /// Whether the storage of large files sends other bytes than it states.
    pub is_broken: bool,
    /// Size of the parts in which large files are to be uploaded; whole if 0.
    pub part_size: usize,
    /// Uploaded large files, by their SHA-256; parts behind it.
    pub storage: BTreeMap<String, Vec<u8>>,
    /// The lines of every commit.
    pub commits: Vec<Vec<Value>>,
}

impl HubState {
    /// A repository `me/model` with these files.
    pub fn of(files: &[(&str, &[u8])]) -> Self {
        Self {
            repository: "me/model".into(),
            commit: "c0ffee00".repeat(5),
            files: files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect(),
            ..Self::default()
        }
    }
}

/// The server.
#[derive(Debug)]
pub struct FakeHub {
    /// The server, which keeps all requests.
    pub server: Server,
    state: Arc<Mutex<HubState>>,
}

impl FakeHub {
    /// Starts the server.
    ///
    /// # Errors
    /// When there is no free port.
    pub fn start(state: HubState) -> io::Result<Self> {
        let state = Arc::new(Mutex::new(state));
        let own = Arc::clone(&state);
        let server = Server::start(move |request, url| {
            let mut state = own.lock().unwrap_or_else(PoisonError::into_inner);
            state.refusal(request).unwrap_or_else(|| state.answer(request, url))
        })?;
        Ok(Self { server, state })
    }

    /// What the server has.
    pub fn state(&self) -> MutexGuard<'_, HubState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The requests so far whose method and path begin so.
    pub fn count(&self, beginning: &str) -> usize {
        let lines = self.server.requests().into_iter().map(|request| format!("{} {}", request.method, request.path));
        lines.filter(|line| line.starts_with(beginning)).count()
    }
}

impl HubState {
    /// The answer to a user who may not do this.
    fn refusal(&self, request: &Request) -> Option<Answer> {
        if request.path.starts_with("/storage/") {
            return None;
        }
        let wrong =
            self.token.as_ref().is_some_and(|token| request.header("authorization") != format!("Bearer {token}"));
        match (wrong, self.gated && request.path.contains("/resolve/")) {
            (true, _) => Some(Answer::new(401, r#"{"error":"Invalid username or password."}"#)),
            (false, true) => {
                Some(Answer::new(403, "").with("X-Error-Code", "GatedRepo").with("X-Error-Message", "ask first"))
            }
            (false, false) => None,
        }
    }

    fn answer(&mut self, request: &Request, url: &str) -> Answer {
        let Request { method, path, .. } = request;
        let parts: Vec<&str> = path.split('?').next().unwrap_or_default().trim_start_matches('/').split('/').collect();
        match (method.as_str(), parts.as_slice()) {
            ("GET", ["storage", hash]) => self.download(request, hash),
            ("PUT", ["storage", hash, part @ ..]) => {
                self.storage.insert([&[*hash], part].concat().join("/"), request.body.clone());
                Answer::new(200, "").with("ETag", &format!("\"tag-{}\"", part.join("")))
            }
            ("POST", ["api", "repos", "create"]) => {
                let json = request.json();
                let name = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
                let (owner, name) = (name("organization"), name("name"));
                *self = Self { repository: format!("{owner}/{name}"), ..self.clone() };
                Answer::json(&json!({ "url": "…" }))
            }
            ("POST", ["complete", hash]) => self.complete(&request.json(), hash),
            ("POST", ["verify"]) => Answer::new(200, ""),
            (_, ["api", "models", owner, name, rest @ ..]) if self.is_here(owner, name) => self.api(request, rest),
            (_, [owner, name, "resolve", revision, file @ ..]) if self.is_here(owner, name) => {
                self.resolve(revision, &file.join("/"), url)
            }
            ("POST", [owner, name, "info", "lfs", "objects", "batch"])
                if self.is_here(owner, name.trim_end_matches(".git")) =>
            {
                self.batch(&request.json(), url)
            }
            _ => Answer::new(404, "").with("X-Error-Code", "RepoNotFound"),
        }
    }

    fn is_here(&self, owner: &str, name: &str) -> bool {
        self.repository == format!("{owner}/{name}")
    }

    fn is_revision(&self, revision: &str) -> bool {
        revision == "main" || revision == self.commit
    }

    fn resolve(&self, revision: &str, file: &str, url: &str) -> Answer {
        if !self.is_revision(revision) {
            return Answer::new(404, "").with("X-Error-Code", "RevisionNotFound");
        }
        let Some(bytes) = self.files.get(file) else {
            return Answer::new(404, "").with("X-Error-Code", "EntryNotFound");
        };
        let answer = if is_large(file) {
            let hash = sha256(bytes);
            Answer::new(302, "")
                .with("Location", &format!("{url}/storage/{hash}"))
                .with("X-Linked-Etag", &format!("\"{hash}\""))
                .with("X-Linked-Size", &bytes.len().to_string())
        } else {
            Answer::new(200, bytes.as_slice()).with("ETag", &format!("\"{}\"", git_hash(bytes)))
        };
        answer.with("X-Repo-Commit", &self.commit)
    }

    fn download(&mut self, request: &Request, hash: &str) -> Answer {
        let Some(bytes) = self.files.values().find(|bytes| sha256(bytes) == hash) else { return Answer::new(404, "") };
        let bytes: Vec<u8> = if self.is_broken { bytes.iter().map(|byte| !byte).collect() } else { bytes.clone() };
        Answer { cut: self.cuts.pop(), ..Answer::ranged(request, &bytes, "\"storage\"") }
    }

    fn api(&mut self, request: &Request, rest: &[&str]) -> Answer {
        match rest {
            [] => Answer::json(&json!({ "id": self.repository })),
            ["revision", revision] if self.is_revision(revision) => {
                let files: Vec<Value> = self.files.keys().map(|name| json!({ "rfilename": name })).collect();
                Answer::json(&json!({ "sha": self.commit, "siblings": files }))
            }
            ["preupload", "main"] => {
                let mode = |file: &Value| {
                    let path = file["path"].as_str().unwrap_or_default();
                    let mode = if is_large(path) { "lfs" } else { "regular" };
                    json!({ "path": path, "uploadMode": mode, "shouldIgnore": false })
                };
                let json = request.json();
                let files: Vec<Value> = json["files"].as_array().into_iter().flatten().map(mode).collect();
                Answer::json(&json!({ "files": files }))
            }
            ["paths-info", "main"] => {
                let json = request.json();
                let asked = json["paths"].as_array().into_iter().flatten().filter_map(Value::as_str);
                let there: Vec<Value> = asked.filter_map(|path| self.describe(path)).collect();
                Answer::json(&there.into())
            }
            ["commit", "main"] => self.receive(request),
            _ => Answer::new(404, "").with("X-Error-Code", "RevisionNotFound"),
        }
    }

    fn describe(&self, path: &str) -> Option<Value> {
        let bytes = self.files.get(path)?;
        let mut entry = json!({ "type": "file", "path": path, "size": bytes.len(), "oid": git_hash(bytes) });
        if is_large(path) {
            entry["lfs"] = json!({ "oid": sha256(bytes), "size": bytes.len() });
        }
        Some(entry)
    }

    fn batch(&self, request: &Value, url: &str) -> Answer {
        let offer = |object: &Value| {
            let (hash, bytes) = (object["oid"].as_str().unwrap_or_default(), object["size"].as_u64().unwrap_or(0));
            let mut upload = json!({ "href": format!("{url}/storage/{hash}") });
            if self.part_size > 0 {
                let parts = 1..=(bytes as usize).div_ceil(self.part_size);
                upload = json!({ "href": format!("{url}/complete/{hash}"), "header": parts
                    .map(|part| (format!("{part:05}"), json!(format!("{url}/storage/{hash}/{part:05}"))))
                    .chain([("chunk_size".to_owned(), json!(self.part_size.to_string()))])
                    .collect::<serde_json::Map<_, _>>() });
            }
            let verify = json!({ "href": format!("{url}/verify") });
            json!({ "oid": hash, "size": bytes, "actions": { "upload": upload, "verify": verify } })
        };
        let offers: Vec<Value> = request["objects"].as_array().into_iter().flatten().map(offer).collect();
        Answer::json(&json!({ "objects": offers }))
    }

    /// Puts the parts of a large file together, if all are there with the tags that they got.
    fn complete(&mut self, request: &Value, hash: &str) -> Answer {
        let mut whole = Vec::new();
        for part in request["parts"].as_array().into_iter().flatten() {
            let number = format!("{:05}", part["partNumber"].as_u64().unwrap_or(0));
            match self.storage.remove(&format!("{hash}/{number}")) {
                Some(bytes) if part["etag"] == json!(format!("\"tag-{number}\"")) => whole.extend(bytes),
                _ => return Answer::new(400, "a part is missing"),
            }
        }
        self.storage.insert(hash.to_owned(), whole);
        Answer::json(&json!({}))
    }

    fn receive(&mut self, request: &Request) -> Answer {
        let lines = request.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let Ok(lines) = lines.map(serde_json::from_slice).collect::<Result<Vec<Value>, _>>() else {
            return Answer::new(400, r#"{"error":"not NDJSON"}"#);
        };
        for line in &lines {
            let value = &line["value"];
            let path = value["path"].as_str().unwrap_or_default().to_owned();
            let content = match line["key"].as_str() {
                Some("file") => BASE64_STANDARD.decode(value["content"].as_str().unwrap_or_default()).ok(),
                Some("lfsFile") => {
                    let hash = value["oid"].as_str().unwrap_or_default();
                    self.storage.get(hash).filter(|bytes| sha256(bytes) == hash).cloned()
                }
                _ => continue,
            };
            match content {
                Some(content) => self.files.insert(path, content),
                None => return Answer::new(400, r#"{"error":"a file is missing"}"#),
            };
        }
        self.commits.push(lines);
        self.commit = format!("{:040x}", self.commits.len());
        Answer::json(&json!({ "success": true, "commitOid": self.commit }))
    }
}

/// Whether the Hub keeps a file of this name as a large one.
fn is_large(name: &str) -> bool {
    [".safetensors", ".bin", ".pt", ".pth", ".ckpt"].iter().any(|end| name.ends_with(end))
}

fn sha256(bytes: &[u8]) -> String {
    digits(&Sha256::digest(bytes))
}

fn git_hash(bytes: &[u8]) -> String {
    let header = format!("blob {}\0", bytes.len());
    digits(&Sha1::digest([header.as_bytes(), bytes].concat()))
}

fn digits(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}
