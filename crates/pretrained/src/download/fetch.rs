//! One file over HTTP, from where an earlier transfer stopped.

use std::{
    io::{self, Read},
    sync::Arc,
    thread,
    time::Duration,
};

use ureq::{
    Agent, Body,
    http::{HeaderMap, Response, header},
};
use vqkit_run::{Observer, Progress};

use crate::{download::checksum::Checksum, download::partial::Partial};

/// Time without data after which a transfer fails.
const SILENCE: Duration = Duration::from_secs(60);
const CHUNK: usize = 1 << 16;

/// Number of times that a transfer that was cut goes on within one call, as long as each brings bytes.
const TRIES: u32 = 5;

/// Time before the first of them; it doubles.
const PAUSE: Duration = Duration::from_millis(100);

/// A file on a server.
pub struct Remote<'r> {
    /// Its name in messages.
    pub name: &'r str,
    /// Its address.
    pub url: &'r str,
    /// The token of the user, which is not passed on to servers that the address leads to.
    pub token: Option<&'r str>,
    /// Its size in bytes, if it is known.
    pub bytes: Option<u64>,
    /// Whether a checksum of the whole tells that its parts belong together; otherwise the server is asked.
    pub is_verified: bool,
}

/// Why a transfer failed.
pub enum Failure {
    /// The server or the network, and what went wrong.
    Network(String),
    /// The server refused, with this status and these headers.
    Refused(
        u16,
        #[cfg_attr(not(feature = "hub"), allow(dead_code, reason = "only the Hub says in headers why"))] HeaderMap,
    ),
    /// The server has another file than the wanted one, and what differs; nothing of it is worth keeping.
    Other(String),
    /// The local file.
    Disk(io::Error),
}

/// A client that waits for a silent server for a minute at most, and gives refusals as responses.
pub fn agent() -> Agent {
    let config = Agent::config_builder()
        .timeout_connect(Some(SILENCE))
        .timeout_per_read(Some(SILENCE))
        .http_status_as_error(false);
    Agent::new_with_config(config.build())
}

/// Downloads what is missing of the file, returns the checksum of the whole, and reports progress to the observer.
pub fn download(remote: &Remote, partial: &mut Partial, observer: &Arc<dyn Observer>) -> Result<String, Failure> {
    let mut sum = partial.checksum().map_err(Failure::Disk)?;
    let mut pause = PAUSE;
    for left in (0..TRIES).rev() {
        let before = partial.bytes();
        if remote.bytes.is_some_and(|bytes| bytes == before) {
            break;
        }
        match receive(remote, partial, &mut sum, observer) {
            Ok(()) => break,
            Err(Failure::Network(_)) if left > 0 && partial.bytes() > before => thread::sleep(pause),
            Err(Failure::Network(reason)) if partial.bytes() > 0 => {
                let all = remote.bytes.map(|bytes| format!(" of {bytes}")).unwrap_or_default();
                return Err(Failure::Network(format!("after {}{all} bytes: {reason}", partial.bytes())));
            }
            Err(failure) => return Err(failure),
        }
        pause *= 2;
    }
    Ok(sum.finish())
}

/// Asks once for what is missing, and appends what comes.
fn receive(
    remote: &Remote,
    partial: &mut Partial,
    sum: &mut Checksum,
    observer: &Arc<dyn Observer>,
) -> Result<(), Failure> {
    if partial.bytes() > 0 && !remote.is_verified && partial.version().is_none() {
        partial.restart().map_err(Failure::Disk)?;
        *sum = Checksum::default();
    }
    let response = ask(remote, partial)?;
    let start = start(&response, partial.bytes())?;
    if start == 0 {
        partial.restart().map_err(Failure::Disk)?;
        *sum = Checksum::default();
        let version = version(response.headers()).filter(|_| !remote.is_verified);
        partial.remember(version.unwrap_or_default()).map_err(Failure::Disk)?;
    }
    let mut body = response.into_body();
    let offered = body.content_length().map(|length| start + length);
    if let (Some(offered), Some(wanted)) = (offered, remote.bytes.filter(|bytes| offered != Some(*bytes))) {
        return Err(Failure::Other(format!("the server has {offered} bytes, but the file should have {wanted}")));
    }
    let total = remote.bytes.or(offered);
    let progress = Progress::begin(observer, "fetch", "bytes", start, total.unwrap_or(0));
    progress.note(&format!("{} from {}", remote.name, remote.url));
    append(&mut body.as_reader(), remote, total, partial, sum, &progress)?;
    progress.finish(&format!("{}, {} bytes", remote.name, partial.bytes()));
    Ok(())
}

/// Appends everything that a reader returns, `total` bytes in all.
fn append(
    reader: &mut impl Read,
    remote: &Remote,
    total: Option<u64>,
    partial: &mut Partial,
    sum: &mut Checksum,
    progress: &Progress,
) -> Result<(), Failure> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = match reader.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) => return Err(Failure::Network(error.to_string())),
        };
        if let Some(bytes) = total.filter(|bytes| partial.bytes() + read as u64 > *bytes) {
            return Err(Failure::Other(format!("the server sends more than the file's {bytes} bytes")));
        }
        partial.append(&chunk[..read]).map_err(Failure::Disk)?;
        sum.update(&chunk[..read]);
        progress.advance(read as u64);
        progress.status(remote.name);
    }
    match total.is_some_and(|bytes| partial.bytes() < bytes) {
        true => Err(Failure::Network("the server sent no more".into())),
        false => Ok(()),
    }
}

/// Sends the request for the bytes that are missing; gives the answer, unless it is a refusal.
fn ask(remote: &Remote, partial: &Partial) -> Result<Response<Body>, Failure> {
    let mut request = agent().get(remote.url);
    if let Some(token) = remote.token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    if partial.bytes() > 0 {
        request = request.header(header::RANGE, format!("bytes={}-", partial.bytes()));
        if let Some(version) = partial.version().filter(|_| !remote.is_verified) {
            request = request.header(header::IF_RANGE, version);
        }
    }
    let response = request.call().map_err(|error| Failure::Network(error.to_string()))?;
    match response.status().as_u16() {
        200 | 206 => Ok(response),
        416 => Err(Failure::Other(format!("the server has less than the {} bytes that are here", partial.bytes()))),
        status => Err(Failure::Refused(status, response.headers().clone())),
    }
}

/// The position in the file at which the answer begins: at the bytes that are missing, or at 0 where the server sends
/// the whole file.
fn start(response: &Response<Body>, missing: u64) -> Result<u64, Failure> {
    if response.status().as_u16() == 200 {
        return Ok(0);
    }
    let range = response.headers().get(header::CONTENT_RANGE).and_then(|range| range.to_str().ok()).unwrap_or_default();
    match range.strip_prefix("bytes ").and_then(|range| range.split('-').next()?.parse().ok()) {
        Some(start) if start == missing => Ok(start),
        _ => Err(Failure::Other(format!("asked for the bytes from {missing}, the server sends {range:?}"))),
    }
}

/// What the server calls this version of the file: an entity tag that promises the same bytes, or a time.
fn version(headers: &HeaderMap) -> Option<&str> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    text(header::ETAG).filter(|tag| !tag.starts_with("W/")).or_else(|| text(header::LAST_MODIFIED))
}
