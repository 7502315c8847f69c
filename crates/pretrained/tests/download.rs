//! Known weights, against a server of our own: fetched once, checked always, and never half-written.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    path::Path,
    sync::Arc,
    thread,
};

use tempfile::TempDir;
use vqkit_pretrained::{Cache, ChecksumError, KnownFile, PretrainedError, download};
use vqkit_run::{Observer, Silent};
use vqkit_testing::{Answer, Server};

fn observer() -> Arc<dyn Observer> {
    Arc::new(Silent)
}

const BODY: &str = "some weights";
/// `printf 'some weights' | sha256sum`
const SUM: &str = "a0c76a31f14d6cbed530bfac73778a5bb84861b795e8bd5d4c8eee29784fb766";

/// Answers one request with `answer` and hangs up; gives the URL.
fn serve(answer: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/weights.pth", listener.local_addr().unwrap());
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut byte = [0];
        while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
            request.push(byte[0]);
        }
        stream.write_all(answer.as_bytes()).unwrap();
    });
    url
}

fn answer(length: usize, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

fn file(url: String) -> KnownFile {
    KnownFile {
        name: "test".into(),
        about: "a test".into(),
        file: "weights.pth".into(),
        url: url.into(),
        sha256: SUM.into(),
        bytes: BODY.len() as u64,
    }
}

fn cache() -> (TempDir, Cache) {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache { folder: folder.path().join("vqkit/weights"), offline: false };
    (folder, cache)
}

fn is_empty(folder: &Path) -> bool {
    !folder.exists() || fs::read_dir(folder).unwrap().next().is_none()
}

#[test]
fn a_file_is_fetched_once() {
    let (_folder, cache) = cache();
    let file = file(serve(answer(BODY.len(), BODY)));
    let path = cache.fetch(&file, &observer()).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), BODY);
    assert_eq!(path, cache.path(&file));
    assert_eq!(fs::read_dir(&cache.folder).unwrap().count(), 1, "no temporary file stays");
    // The server answers no second time, and an offline cache asks none.
    assert_eq!(cache.fetch(&file, &observer()).unwrap(), path);
    assert_eq!(Cache { offline: true, ..cache }.fetch(&file, &observer()).unwrap(), path);
}

#[test]
fn a_wrong_checksum_says_both() {
    let (_folder, cache) = cache();
    let error = cache.fetch(&file(serve(answer(BODY.len(), "SOME WEIGHTS"))), &observer()).unwrap_err();
    let PretrainedError::Checksum(different) = &error else { panic!("{error}") };
    let ChecksumError { wanted, found, .. } = different.as_ref();
    let message = error.to_string();
    assert!(wanted == SUM && found != SUM && message.contains(wanted) && message.contains(found), "{message}");
    assert!(is_empty(&cache.folder));
}

#[test]
fn a_wrong_file_that_is_there_is_refused_and_stays() {
    let (_folder, cache) = cache();
    let file = file(serve(answer(BODY.len(), BODY)));
    fs::create_dir_all(&cache.folder).unwrap();
    fs::write(cache.path(&file), "others").unwrap();
    let message = cache.fetch(&file, &observer()).unwrap_err().to_string();
    assert!(message.contains(SUM) && message.contains("remove the file"), "{message}");
    assert_eq!(fs::read_to_string(cache.path(&file)).unwrap(), "others");
}

#[test]
fn what_a_server_does_wrong_is_said_and_only_a_beginning_is_kept() {
    let without_length = |body: &str| format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{body}");
    let cases = [
        (answer(BODY.len(), "some"), "after 4 of 12 bytes", true),
        (without_length("some"), "after 4 of 12 bytes", true),
        (without_length("some weights and more"), "more than the file's 12 bytes", false),
        (answer(1 << 40, ""), "1099511627776 bytes", false),
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(), "404", false),
        ("nonsense\r\n\r\n".to_owned(), "cannot fetch test", false),
    ];
    for (answer, reason, keeps) in cases {
        let (_folder, cache) = cache();
        let file = file(serve(answer));
        let message = cache.fetch(&file, &observer()).unwrap_err().to_string();
        assert!(message.contains(reason), "{reason}: {message}");
        assert!(!cache.path(&file).exists(), "{reason}");
        assert_eq!(!is_empty(&cache.folder), keeps, "{reason}");
    }
}

#[test]
fn a_cut_download_goes_on_where_it_stopped() {
    let (_folder, cache) = cache();
    let cut = Server::start(|_, _| Answer { cut: Some(5), ..Answer::new(200, BODY) }).unwrap();
    // Only what brings bytes is tried again, and every try of this server brings five from the beginning.
    let message = cache.fetch(&file(cut.url().to_owned()), &observer()).unwrap_err().to_string();
    assert!(message.contains("after 5 of 12 bytes"), "{message}");
    let whole = Server::start(|request, _| Answer::ranged(request, BODY.as_bytes(), "\"v1\"")).unwrap();
    let path = cache.fetch(&file(whole.url().to_owned()), &observer()).unwrap();
    assert_eq!(fs::read_to_string(path).unwrap(), BODY);
    let [request] = whole.requests().try_into().unwrap();
    assert_eq!(request.header("range"), "bytes=5-");
    assert_eq!(fs::read_dir(&cache.folder).unwrap().count(), 1, "no temporary file stays");
}

#[test]
fn a_beginning_of_another_file_is_found_by_the_checksum_and_removed() {
    let (_folder, cache) = cache();
    let other = Server::start(|_, _| Answer { cut: Some(5), ..Answer::new(200, "SOME WEIGHTS") }).unwrap();
    cache.fetch(&file(other.url().to_owned()), &observer()).unwrap_err();
    let whole = Server::start(|request, _| Answer::ranged(request, BODY.as_bytes(), "\"v1\"")).unwrap();
    let error = cache.fetch(&file(whole.url().to_owned()), &observer()).unwrap_err();
    assert!(matches!(error, PretrainedError::Checksum(_)), "{error}");
    assert!(is_empty(&cache.folder));
    cache.fetch(&file(whole.url().to_owned()), &observer()).unwrap();
}

#[test]
fn without_a_network_it_says_what_to_put_where() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let file = file(format!("http://{closed}/weights.pth"));
    let (_folder, cache) = cache();
    for (offline, reason) in [(false, "refused"), (true, "VQKIT_OFFLINE")] {
        let cache = Cache { offline, ..cache.clone() };
        let message = cache.fetch(&file, &observer()).unwrap_err().to_string();
        let path = cache.path(&file).display().to_string();
        for part in [reason, &*file.url, SUM, &path] {
            assert!(message.contains(part), "{part}: {message}");
        }
    }
}

#[test]
fn the_table_is_sound() {
    for file in download::known() {
        assert_eq!(download::find(&file.name).unwrap().url, file.url);
        assert!(file.sha256.len() == 64 && file.sha256.bytes().all(|digit| b"0123456789abcdef".contains(&digit)));
        assert!(file.url.starts_with("https://"), "{}", file.url);
    }
    let message = download::find("vgg").unwrap_err().to_string();
    assert!(message.contains("`vgg16`") && message.contains("`lpips-vgg`"), "{message}");
}
