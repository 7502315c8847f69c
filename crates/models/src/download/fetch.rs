//! One file over HTTP.

use std::{
    fs::File,
    io::{self, Read, Write},
    sync::Arc,
    time::Duration,
};

use ureq::Agent;
use vqkit_run::{Observer, Progress};

use crate::{download::checksum::Checksum, download::known::KnownFile};

/// Time without data after which a download fails.
const SILENCE: Duration = Duration::from_secs(60);
const CHUNK: usize = 1 << 16;

/// Why a download failed.
pub enum Failure {
    /// The server or the network, and what went wrong.
    Network(String),
    /// The local file.
    Disk(io::Error),
}

/// Downloads the file into `target`, returns its checksum, and reports progress to the observer.
pub fn download(file: &KnownFile, target: &mut File, observer: &Arc<dyn Observer>) -> Result<String, Failure> {
    let network = |reason: String| Failure::Network(reason);
    let config = Agent::config_builder().timeout_connect(Some(SILENCE)).timeout_per_read(Some(SILENCE)).build();
    let response = Agent::new_with_config(config).get(&*file.url).call().map_err(|error| network(error.to_string()))?;
    let mut body = response.into_body();
    if let Some(length) = body.content_length().filter(|length| *length != file.bytes) {
        return Err(network(format!("the server has {length} bytes, but the file should have {}", file.bytes)));
    }
    let progress = Progress::begin(observer, "fetch", "bytes", 0, file.bytes);
    progress.note(&format!("{} from {}", file.name, file.url));
    let mut reader = body.as_reader();
    let (mut sum, mut chunk, mut received) = (Checksum::default(), vec![0; CHUNK], 0);
    loop {
        let read = match reader.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) => return Err(network(format!("after {received} of {} bytes: {error}", file.bytes))),
        };
        received += read as u64;
        if received > file.bytes {
            return Err(network(format!("the server sends more than the file's {} bytes", file.bytes)));
        }
        sum.update(&chunk[..read]);
        target.write_all(&chunk[..read]).map_err(Failure::Disk)?;
        progress.advance(read as u64);
        progress.status(&file.name);
    }
    if received < file.bytes {
        return Err(network(format!("it ended after {received} of {} bytes", file.bytes)));
    }
    progress.finish(&format!("{}, {received} bytes", file.name));
    Ok(sum.finish())
}
