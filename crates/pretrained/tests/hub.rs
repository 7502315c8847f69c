//! The Hub, played by a server on this machine: downloads, their cache, and uploads.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::json;
use tempfile::TempDir;
use vqkit_pretrained::{
    HubProblem, PretrainedError,
    hub::{Hub, HubPath, Push, Pushed},
};
use vqkit_run::{Observer, Silent};
use vqkit_testing::{FakeHub, HubState};

const WEIGHTS: &[u8] = b"some weights, more than a few";
const CONFIG: &[u8] = b"{\"size\": 3}";

fn observer() -> Arc<dyn Observer> {
    Arc::new(Silent)
}

/// A server with a repository, and a user who has a cache and no token.
struct World {
    served: FakeHub,
    user: Hub,
    _folder: TempDir,
}

impl World {
    fn of(state: HubState) -> Self {
        let served = FakeHub::start(state).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let user = Hub {
            endpoint: served.server.url().to_owned(),
            folder: folder.path().join("hub"),
            token: None,
            offline: None,
        };
        Self { served, user, _folder: folder }
    }

    fn usual() -> Self {
        Self::of(HubState::of(&[("model.safetensors", WEIGHTS), ("config.json", CONFIG), ("README.md", b"hello")]))
    }

    fn fetch(&self, location: &str) -> Result<PathBuf, PretrainedError> {
        self.user.fetch(&HubPath::parse(location).unwrap(), false, &observer())
    }

    fn problem(&self, location: &str) -> HubProblem {
        match self.fetch(location).unwrap_err() {
            PretrainedError::Hub(error) if error.to_string().contains(location) => error.problem,
            other => panic!("{other}"),
        }
    }

    fn blobs(&self) -> Vec<PathBuf> {
        let folder = self.user.folder.join("models--me--model/blobs");
        let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
        entries.map(|entry| entry.unwrap().path()).collect()
    }
}

#[test]
fn a_file_is_fetched_once_into_the_layout_of_the_python_library() {
    let world = World::usual();
    let path = world.fetch("hf://me/model/model.safetensors").unwrap();
    let commit = world.served.state().commit.clone();
    let folder = world.user.folder.join("models--me--model");
    assert_eq!(path, folder.join("snapshots").join(&commit).join("model.safetensors"));
    assert_eq!(fs::read(&path).unwrap(), WEIGHTS);
    assert!(fs::read_link(&path).unwrap().starts_with("../../blobs"));
    assert_eq!(fs::read_to_string(folder.join("refs/main")).unwrap(), commit);
    world.served.server.forget();
    assert_eq!(world.fetch("hf://me/model/model.safetensors").unwrap(), path);
    assert_eq!(world.served.server.requests().len(), 0, "the cache answers");
}

#[test]
fn a_folder_is_fetched_without_what_are_no_weights() {
    let files: &[(&str, &[u8])] = &[("vqvae/model.safetensors", WEIGHTS), ("vqvae/config.json", CONFIG), ("a.py", b"")];
    let world = World::of(HubState::of(files));
    let whole = world.fetch("hf://me/model").unwrap();
    assert_eq!(fs::read(whole.join("vqvae/model.safetensors")).unwrap(), WEIGHTS);
    assert!(!whole.join("a.py").exists());
    let part = world.fetch("hf://me/model/vqvae").unwrap();
    assert_eq!(part, whole.join("vqvae"));
    assert_eq!(fs::read(part.join("config.json")).unwrap(), CONFIG);
    assert!(matches!(world.problem("hf://me/model/unet"), HubProblem::NotFound(_)));
}

#[test]
fn a_cut_download_goes_on_within_the_call_and_in_the_next() {
    let world = World::usual();
    // The first request brings 5 bytes, the second 3, the third none, which ends the call.
    world.served.state().cuts = vec![0, 3, 5];
    let HubProblem::Network(reason) = world.problem("hf://me/model/model.safetensors") else { panic!() };
    assert!(reason.contains("after 8 of 29 bytes"), "{reason}");
    let [part] = world.blobs().try_into().unwrap();
    assert_eq!(fs::read(&part).unwrap(), &WEIGHTS[..8]);
    world.served.server.forget();
    let path = world.fetch("hf://me/model/model.safetensors").unwrap();
    assert_eq!(fs::read(path).unwrap(), WEIGHTS);
    let requests = world.served.server.requests();
    let last = requests.iter().rfind(|request| request.path.starts_with("/storage/")).unwrap();
    assert_eq!(last.header("range"), "bytes=8-");
    assert!(!part.exists());
}

#[test]
fn other_bytes_than_stated_are_refused_and_not_kept() {
    let world = World::usual();
    world.served.state().is_broken = true;
    let error = world.fetch("hf://me/model/model.safetensors").unwrap_err();
    assert!(matches!(error, PretrainedError::Checksum(_)), "{error}");
    assert!(world.blobs().is_empty());
    world.served.state().is_broken = false;
    world.fetch("hf://me/model/model.safetensors").unwrap();
}

#[test]
fn the_token_goes_to_the_hub_and_not_to_the_storage() {
    let mut world = World::usual();
    world.served.state().token = Some("hf_own".into());
    let HubProblem::NoToken(_) = world.problem("hf://me/model/model.safetensors") else { panic!() };
    world.user.token = Some("hf_other".into());
    let HubProblem::Unauthorized(_) = world.problem("hf://me/model/model.safetensors") else { panic!() };
    world.user.token = Some("hf_own".into());
    // The storage would refuse a request that lacks the token, but no other does it show one.
    world.served.state().token = None;
    world.served.server.forget();
    world.fetch("hf://me/model/model.safetensors").unwrap();
    for request in world.served.server.requests() {
        let is_hub = !request.path.starts_with("/storage/");
        assert_eq!(request.header("authorization") == "Bearer hf_own", is_hub, "{}", request.path);
    }
}

#[test]
fn refusals_say_what_to_do() {
    let mut world = World::usual();
    world.user.token = Some("hf_own".into());
    let said = |world: &World, location: &str| world.fetch(location).unwrap_err().to_string();
    assert!(said(&world, "hf://me/model/other.bin").contains("no such file"));
    assert!(said(&world, "hf://me/model@v2/model.safetensors").contains("no such branch"));
    assert!(said(&world, "hf://me/other/model.safetensors").contains("no such repository"));
    assert!(said(&world, "hf://me/other").contains("no such repository"));
    world.served.state().gated = true;
    let message = said(&world, "hf://me/model/model.safetensors");
    assert!(message.contains("403, ask first") && message.contains("accept the terms"), "{message}");
    world.user.token = None;
    world.served.state().gated = false;
    world.user.endpoint = "http://127.0.0.1:1".into();
    assert!(said(&world, "hf://me/model/model.safetensors").contains("cannot reach http://127.0.0.1:1"));
}

#[test]
fn offline_the_cache_is_used_and_what_is_missing_is_named() {
    let mut world = World::usual();
    let path = world.fetch("hf://me/model/model.safetensors").unwrap();
    world.user.offline = Some("VQKIT_OFFLINE");
    world.served.server.forget();
    assert_eq!(world.fetch("hf://me/model/model.safetensors").unwrap(), path);
    assert_eq!(world.fetch("hf://me/model").unwrap(), path.parent().unwrap());
    let location = HubPath::parse("hf://me/model/model.safetensors").unwrap();
    assert_eq!(world.user.fetch(&location, true, &observer()).unwrap(), path, "there is no newer one offline");
    assert_eq!(world.user.at_hand(&location), Some(path.clone()));
    let message = world.fetch("hf://me/model/config.json").unwrap_err().to_string();
    let place = path.with_file_name("config.json").display().to_string();
    assert!(message.contains(&place) && message.contains("VQKIT_OFFLINE"), "{message}");
    assert_eq!(world.user.at_hand(&HubPath::parse("hf://me/model/config.json").unwrap()), None);
    assert_eq!(world.served.server.requests().len(), 0);
}

#[test]
fn a_branch_stays_at_its_commit_until_it_is_renewed() {
    let world = World::usual();
    let location = HubPath::parse("hf://me/model/model.safetensors").unwrap();
    let old = world.fetch("hf://me/model/model.safetensors").unwrap();
    {
        let mut state = world.served.state();
        state.commit = "a".repeat(40);
        state.files.insert("model.safetensors".into(), b"newer".to_vec());
    }
    assert_eq!(world.fetch("hf://me/model/model.safetensors").unwrap(), old);
    let new = world.user.fetch(&location, true, &observer()).unwrap();
    assert_eq!((fs::read(&old).unwrap().as_slice(), fs::read(&new).unwrap().as_slice()), (WEIGHTS, &b"newer"[..]));
    // A commit is what it is.
    let commit = format!("hf://me/model@{}/model.safetensors", "a".repeat(40));
    assert_eq!(world.fetch(&commit).unwrap(), new);
}

/// A folder with a small file, a large one in a folder, and what stays.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("sub")).unwrap();
    fs::create_dir(folder.path().join(".git")).unwrap();
    for (name, bytes) in
        [("config.json", CONFIG), ("sub/model.safetensors", WEIGHTS), (".git/x", b""), (".secret", b"")]
    {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

fn push(world: &World, folder: &Path, private: bool) -> Result<Pushed, PretrainedError> {
    let to = HubPath::parse("hf://me/model").unwrap();
    world.user.push(&Push { folder, to: &to, message: "first", private }, &observer())
}

fn empty_hub() -> World {
    let mut world = World::of(HubState { token: Some("hf_own".into()), ..HubState::default() });
    world.user.token = Some("hf_own".into());
    world
}

#[test]
fn an_upload_creates_the_repository_and_sends_what_changed() {
    let (world, folder) = (empty_hub(), folder());
    let pushed = push(&world, folder.path(), true).unwrap();
    assert_eq!(pushed.changed, ["config.json", "sub/model.safetensors"]);
    assert_eq!((pushed.created, pushed.unchanged), (true, 0));
    assert_eq!(pushed.url, format!("{}/me/model", world.served.server.url()));
    {
        let state = world.served.state();
        assert_eq!(state.files["config.json"], CONFIG);
        assert_eq!(state.files["sub/model.safetensors"], WEIGHTS);
        assert_eq!(pushed.commit.as_ref(), Some(&state.commit));
        let [header, config, model] = state.commits[0].as_slice() else { panic!("{:?}", state.commits) };
        assert_eq!(header, &json!({ "key": "header", "value": { "summary": "first", "description": "" } }));
        // `printf '{"size": 3}' | base64`
        let content = json!({ "path": "config.json", "encoding": "base64", "content": "eyJzaXplIjogM30=" });
        assert_eq!(config, &json!({ "key": "file", "value": content }));
        // `printf 'some weights, more than a few' | sha256sum`
        let oid = "191c6ef975c5f11621ebaaac075f02bde2f73b333feb7a459ff54496d9623c12";
        let large = json!({ "path": "sub/model.safetensors", "algo": "sha256", "oid": oid, "size": 29 });
        assert_eq!(model, &json!({ "key": "lfsFile", "value": large }));
    }
    let create =
        world.served.server.requests().into_iter().find(|request| request.path == "/api/repos/create").unwrap();
    let wanted = json!({ "type": "model", "organization": "me", "name": "model", "private": true });
    assert_eq!(create.json(), wanted);

    // Nothing is sent twice.
    world.served.server.forget();
    let again = push(&world, folder.path(), false).unwrap();
    assert_eq!((again.created, again.changed.len(), again.unchanged, again.commit), (false, 0, 2, None));
    assert_eq!(world.served.count("PUT") + world.served.count("POST /api/models/me/model/commit"), 0);
    fs::write(folder.path().join("config.json"), "{}").unwrap();
    let changed = push(&world, folder.path(), false).unwrap();
    assert_eq!((changed.changed, changed.unchanged), (vec!["config.json".to_owned()], 1));
    assert_eq!(world.served.count("PUT"), 0);
}

#[test]
fn a_large_file_goes_in_parts_where_the_hub_asks_for_it() {
    let (world, folder) = (empty_hub(), folder());
    world.served.state().part_size = 10;
    push(&world, folder.path(), false).unwrap();
    assert_eq!(world.served.count("PUT"), 3);
    assert_eq!(world.served.state().files["sub/model.safetensors"], WEIGHTS);
    let puts = world.served.server.requests().into_iter().filter(|request| request.method == "PUT");
    assert_eq!(
        puts.map(|put| (put.body.len(), put.header("authorization").to_owned())).collect::<Vec<_>>(),
        [(10, String::new()), (10, String::new()), (9, String::new())]
    );
}

#[test]
fn an_upload_without_a_token_or_files_ends_before_it_begins() {
    let (mut world, folder) = (empty_hub(), folder());
    let nothing = tempfile::tempdir().unwrap();
    let message = push(&world, nothing.path(), false).unwrap_err().to_string();
    assert!(message.contains("no files"), "{message}");
    world.user.token = None;
    let message = push(&world, folder.path(), false).unwrap_err().to_string();
    assert!(message.contains("HF_TOKEN"), "{message}");
    assert_eq!(world.served.server.requests().len(), 0);
    world.user.token = Some("hf_other".into());
    let message = push(&world, folder.path(), false).unwrap_err().to_string();
    assert!(message.contains("401"), "{message}");
}
