//! Files for tests: hand-made ones of both formats, goldens, and folders of data.

#![allow(dead_code, reason = "no test uses all of it")]
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

pub mod archive;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use vqkit_torch_file::{TorchFile, TorchFileError};

/// Both hold what this gives in PyTorch 2.11, the second with `_use_new_zipfile_serialization=False`:
///
/// ```python
/// b = torch.arange(12.).reshape(3, 4)
/// n = torch.tensor([-2, 0, 3])
/// kinds = {str(d)[6:]: n.to(d) for d in (float64, float32, float16, bfloat16, int64, int32, int16, int8, uint8, bool)}
/// views = {"base": b, "t": b.t(), "slice": b[1:, ::2], "scalar": b[2, 3], "wide": b[0, 1].expand(5), "empty": torch.zeros(0, 3)}
/// others = {"epoch": 3, "lr": 0.5, "note": "é", "half": slice(1, 2), "device": torch.device("cpu"),
///           "sizes": [b.shape, torch.float32, None, b""]}
/// torch.save({"kinds": kinds, "views": views, "p": torch.nn.Parameter(torch.ones(2)), **others}, path)
/// ```
pub const FILES: [(&str, &[u8]); 2] =
    [("zip.pt", include_bytes!("../files/zip.pt")), ("legacy.pt", include_bytes!("../files/legacy.pt"))];

thread_local! {
    static FOLDER: TempDir = tempfile::tempdir().unwrap();
}

/// Opens a file with these bytes; it stays open when the next one takes its name.
pub fn open(bytes: &[u8]) -> Result<TorchFile, TorchFileError> {
    let path = FOLDER.with(|folder| folder.path().join("any.name"));
    let _ = fs::remove_file(&path);
    fs::write(&path, bytes).unwrap();
    TorchFile::open(&path)
}

/// Why a file with these bytes is refused, in the crate's own words.
#[track_caller]
pub fn refusal(bytes: &[u8]) -> String {
    let message = open(bytes).unwrap_err().to_string();
    assert!(message.contains("any.name"), "{message}");
    message
}

/// A legacy file whose object is this pickle, with one storage `0` of two floats, 1 and 2.
pub fn legacy(object: &[u8]) -> Vec<u8> {
    let head = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}X\x0d\0\0\0little_endian\x88s.";
    let storages = b"\x80\x02]X\x01\0\0\x000a.\x02\0\0\0\0\0\0\0\0\0\x80\x3f\0\0\0\x40";
    [&head[..], b"\x80\x02", object, b".", storages].concat()
}

/// A pickle of `{"w": tensor}`: a storage `0` of `elements`, seen with one length and one stride.
pub fn one_tensor(class: &str, elements: u64, offset: u64, length: u64, stride: u64) -> Vec<u8> {
    let number = |value: u64| [b"\x8a\x09", &value.to_le_bytes()[..], b"\0"].concat();
    let storage = [b"(U\x07storagec", class.as_bytes(), b"\nU\x010U\x03cpu", &number(elements), b"tQ"].concat();
    let shape = [number(offset), number(length), b"\x85".to_vec(), number(stride), b"\x85".to_vec()].concat();
    [b"}U\x01wctorch._utils\n_rebuild_tensor_v2\n(", &storage[..], &shape, b"\x89}tRs"].concat()
}

/// The class of storages that most tests use.
pub const FLOAT: &str = "torch\nFloatStorage";

/// A golden's folder; the variable `VQKIT_GOLDEN` names another folder of goldens.
pub fn golden(component: &str) -> PathBuf {
    let goldens = std::env::var_os("VQKIT_GOLDEN").unwrap_or_else(|| "tests/golden".into());
    workspace().join(goldens).join(component)
}

/// The configuration of a golden.
pub fn golden_config(component: &str) -> serde_json::Value {
    serde_json::from_slice(&fs::read(golden(component).join("config.json")).unwrap()).unwrap()
}

/// The corpus of broken files, if it is there; the variable `VQKIT_DATA` names the folder that it lies in.
pub fn bad() -> Option<PathBuf> {
    let data = std::env::var_os("VQKIT_DATA").unwrap_or_else(|| "../shared/data".into());
    let folder = workspace().join(data).join("bad");
    if folder.is_dir() {
        return Some(folder);
    }
    // Past the capture of the test harness.
    let _ =
        writeln!(std::io::stderr(), "skipped: there is no {} (VQKIT_DATA names the folder of data)", folder.display());
    None
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
