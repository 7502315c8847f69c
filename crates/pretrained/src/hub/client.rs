//! Requests to the Hub, and what its refusals mean.

use serde_json::Value;
use ureq::{
    Agent, Body, RequestBuilder,
    http::{HeaderMap, Response, header},
};

use crate::{
    download::fetch,
    error::{HubProblem, Result},
    hub::{cache::is_commit, environment::Hub, location::HubPath},
};

/// Number of redirects inside the Hub that are followed.
const REDIRECTS: usize = 5;

/// Largest answer in bytes that is read into memory.
const LONGEST: u64 = 1 << 28;

/// Requests about one location.
pub struct Client<'h> {
    hub: &'h Hub,
    location: &'h HubPath,
    agent: Agent,
}

/// What the Hub says about a file.
pub struct Head {
    /// The commit of the revision that was asked for.
    pub commit: String,
    /// SHA-256 of a large file, Git's hash of a small one.
    pub hash: String,
    /// Its size.
    pub bytes: u64,
}

impl<'h> Client<'h> {
    /// A client for requests about a location.
    ///
    /// # Errors
    /// [`HubProblem::Offline`], which names `place` as where the location belongs.
    pub fn new(hub: &'h Hub, location: &'h HubPath, place: impl FnOnce() -> std::path::PathBuf) -> Result<Self> {
        match hub.offline {
            Some(variable) => Err(location.error(HubProblem::Offline { variable, place: place() })),
            None => Ok(Self { hub, location, agent: fetch::agent() }),
        }
    }

    /// The address of a file at a revision.
    pub fn file_url(&self, revision: &str, inside: &str) -> String {
        let names = inside.split('/').map(escaped).collect::<Vec<_>>().join("/");
        format!("{}/{}/resolve/{}/{names}", self.hub.endpoint, self.location.repository, escaped(revision))
    }

    /// The address of the programming interface of the repository: `…/api/models/owner/name/TAIL`.
    pub fn api_url(&self, tail: &[&str]) -> String {
        let tail: String = tail.iter().map(|part| format!("/{}", escaped(part))).collect();
        format!("{}/api/models/{}{tail}", self.hub.endpoint, self.location.repository)
    }

    /// Another address on the Hub.
    pub fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.hub.endpoint)
    }

    /// The user's token.
    pub fn token(&self) -> Option<&'h str> {
        self.hub.token.as_deref()
    }

    /// The user's token, for an address on the Hub.
    fn token_for(&self, url: &str) -> Option<&'h str> {
        self.token().filter(|_| url.strip_prefix(&self.hub.endpoint).is_some_and(|path| path.starts_with('/')))
    }

    /// What the Hub says about a file, without its content.
    pub fn head(&self, revision: &str, inside: &str) -> Result<Head> {
        let mut url = self.file_url(revision, inside);
        let mut commit = None;
        for _ in 0..REDIRECTS {
            let request = self.agent.head(&url).config().max_redirects(0).build();
            let response = request_with(request, self.token()).call().map_err(|error| self.cut(&error))?;
            let (status, headers) = (response.status(), response.headers());
            if !status.is_success() && !status.is_redirection() {
                return Err(self.refusal(status.as_u16(), headers, ""));
            }
            commit = text(headers, "x-repo-commit").map(str::to_owned).or(commit);
            // A repository that was renamed, and files that the Hub itself keeps elsewhere.
            match text(headers, header::LOCATION.as_str()).filter(|place| place.starts_with('/')) {
                Some(place) => url = format!("{}{place}", self.hub.endpoint),
                None => return self.read_head(commit, headers),
            }
        }
        Err(self.nonsense(format!("{url} leads to no file")))
    }

    fn read_head(&self, commit: Option<String>, headers: &HeaderMap) -> Result<Head> {
        let commit = commit.filter(|commit| is_commit(commit));
        let hash = text(headers, "x-linked-etag").or_else(|| text(headers, "etag"));
        let hash = hash.map(|hash| hash.trim_start_matches("W/").trim_matches('"').to_owned());
        let hash = hash.filter(|hash| !hash.is_empty() && hash.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
        let bytes = text(headers, "x-linked-size").or_else(|| text(headers, "content-length"));
        match (commit, hash, bytes.and_then(|bytes| bytes.parse().ok())) {
            (Some(commit), Some(hash), Some(bytes)) => Ok(Head { commit, hash, bytes }),
            _ => Err(self.nonsense("the server states no commit, hash or size of the file; is it a Hub?".into())),
        }
    }

    /// The JSON at an address; `None` where there is nothing.
    pub fn get(&self, url: &str) -> Result<Option<Value>> {
        let response = request_with(self.agent.get(url), self.token_for(url)).call();
        let response = response.map_err(|error| self.cut(&error))?;
        match response.status().as_u16() {
            404 if text(response.headers(), "x-error-code") != Some("RevisionNotFound") => Ok(None),
            _ => self.read_json(response).map(Some),
        }
    }

    /// Sends bytes of a content type; gives the JSON of the answer.
    pub fn post(&self, url: &str, content_type: &str, body: &[u8]) -> Result<Value> {
        self.read_json(self.send(url, content_type, body)?)
    }

    /// Sends a JSON value; gives the JSON of the answer.
    pub fn post_json(&self, url: &str, value: &Value) -> Result<Value> {
        self.post(url, "application/json", value.to_string().as_bytes())
    }

    /// As [`Client::post_json`], for an answer of any kind; status 409 says that there is such a thing already.
    pub fn create(&self, url: &str, value: &Value) -> Result<()> {
        let response = self.send(url, "application/json", value.to_string().as_bytes())?;
        match response.status().as_u16() {
            409 => Ok(()),
            _ => self.read_text(response).map(drop),
        }
    }

    fn send(&self, url: &str, content_type: &str, body: &[u8]) -> Result<Response<Body>> {
        let request =
            request_with(self.agent.post(url), self.token_for(url)).header(header::CONTENT_TYPE, content_type);
        let request = request.header(header::ACCEPT, accepted(content_type));
        request.send(body).map_err(|error| self.cut(&error))
    }

    fn read_json(&self, response: Response<Body>) -> Result<Value> {
        let text = self.read_text(response)?;
        serde_json::from_str(&text).map_err(|error| self.nonsense(format!("the server's answer is no JSON: {error}")))
    }

    /// The text of an answer, unless it is a refusal.
    pub fn read_text(&self, response: Response<Body>) -> Result<String> {
        let (parts, body) = response.into_parts();
        let text = body.into_with_config().limit(LONGEST).read_to_string();
        match parts.status.is_success() {
            true => text.map_err(|error| self.cut(&error)),
            false => Err(self.refusal(parts.status.as_u16(), &parts.headers, &text.unwrap_or_default())),
        }
    }

    /// The error of a request that got no answer.
    pub fn cut(&self, error: &ureq::Error) -> crate::error::PretrainedError {
        self.nonsense(format!("cannot reach {}: {error}", self.hub.endpoint))
    }

    /// The error of an answer that makes no sense.
    pub fn nonsense(&self, reason: String) -> crate::error::PretrainedError {
        self.location.error(HubProblem::Network(reason))
    }

    /// The error of a refusal.
    pub fn refusal(&self, status: u16, headers: &HeaderMap, body: &str) -> crate::error::PretrainedError {
        let code = text(headers, "x-error-code").unwrap_or_default();
        let said = text(headers, "x-error-message").map(str::to_owned).or_else(|| error_of(body)).unwrap_or_default();
        let detail = if said.is_empty() { said } else { format!(", {said}") };
        self.location.error(match (status, code, self.token()) {
            (401 | 403, "GatedRepo", None) => {
                HubProblem::NoToken("the repository is open only to users who accepted its terms on its page")
            }
            (401, _, None) => HubProblem::NoToken("the Hub answers 401: the repository does not exist, or is private"),
            (401, ..) => HubProblem::Unauthorized(self.hub.endpoint.clone()),
            (403, ..) => HubProblem::Forbidden { detail },
            (404, "EntryNotFound", _) => HubProblem::NotFound("the repository has no such file at this revision"),
            (404, "RevisionNotFound", _) => HubProblem::NotFound("the repository has no such branch, tag or commit"),
            (404, ..) => {
                HubProblem::NotFound("there is no such repository, or it is private and the token is not its user's")
            }
            _ => HubProblem::Network(format!("the Hub answers with status {status}{detail}")),
        })
    }
}

/// Adds the user's token to a request.
fn request_with<B>(request: RequestBuilder<B>, token: Option<&str>) -> RequestBuilder<B> {
    match token {
        Some(token) => request.header(header::AUTHORIZATION, format!("Bearer {token}")),
        None => request,
    }
}

/// The content type of the answer to a request of this one.
fn accepted(content_type: &str) -> &str {
    if content_type == "application/x-ndjson" { "application/json" } else { content_type }
}

/// A header's value.
fn text<'m>(headers: &'m HeaderMap, name: &str) -> Option<&'m str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The message in an answer that refuses.
fn error_of(body: &str) -> Option<String> {
    let value: Value = serde_json::from_str(body).ok()?;
    Some(value.get("error")?.as_str()?.to_owned())
}

/// A name as a part of an address: everything but letters, digits and `-_.~` in hexadecimal digits.
fn escaped(name: &str) -> String {
    let escape = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    name.bytes().map(escape).collect()
}
