//! PyTorch's own files: their tensors are read bit for bit, and nothing in them can run, overrun or exhaust anything.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use tch::{Device, Kind, Tensor};
use vqkit_testing::{Golden, corpus};
use vqkit_torch::{TorchError, weights};

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
const FILES: [(&str, &[u8]); 2] = [
    ("zip.pt", include_bytes!("../../torch-file/tests/files/zip.pt")),
    ("legacy.pt", include_bytes!("../../torch-file/tests/files/legacy.pt")),
];

fn read_bytes(bytes: &[u8]) -> Result<BTreeMap<String, Tensor>, TorchError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("any.name");
    fs::write(&path, bytes).unwrap();
    weights::read_torch(&path)
}

fn refusal(bytes: &[u8]) -> String {
    read_bytes(bytes).unwrap_err().to_string()
}

#[track_caller]
fn assert_same(name: &str, found: &Tensor, wanted: &Tensor) {
    assert_eq!((found.kind(), found.size()), (wanted.kind(), wanted.size()), "{name}");
    assert_eq!(found, wanted, "{name}");
}

#[test]
fn every_kind_and_view_is_read() {
    let base = Tensor::arange(12, (Kind::Float, Device::Cpu)).view([3, 4]);
    let numbers = Tensor::from_slice(&[-2_i64, 0, 3]);
    let wanted = [
        ("kinds.float64", numbers.to_kind(Kind::Double)),
        ("kinds.float32", numbers.to_kind(Kind::Float)),
        ("kinds.float16", numbers.to_kind(Kind::Half)),
        ("kinds.bfloat16", numbers.to_kind(Kind::BFloat16)),
        ("kinds.int64", numbers.shallow_clone()),
        ("kinds.int32", numbers.to_kind(Kind::Int)),
        ("kinds.int16", numbers.to_kind(Kind::Int16)),
        ("kinds.int8", numbers.to_kind(Kind::Int8)),
        ("kinds.uint8", numbers.to_kind(Kind::Uint8)),
        ("kinds.bool", numbers.to_kind(Kind::Bool)),
        ("views.base", base.shallow_clone()),
        ("views.t", base.tr()),
        ("views.slice", base.slice(0, 1, None, 1).slice(1, None, None, 2)),
        ("views.scalar", Tensor::from(11.0_f32)),
        ("views.wide", Tensor::ones([5], (Kind::Float, Device::Cpu))),
        ("views.empty", Tensor::zeros([0, 3], (Kind::Float, Device::Cpu))),
        ("p", Tensor::ones([2], (Kind::Float, Device::Cpu))),
    ];
    for (file, bytes) in FILES {
        let found = read_bytes(bytes).unwrap();
        assert_eq!(found.len(), wanted.len(), "{file}: {:?}", found.keys());
        for (name, tensor) in &wanted {
            assert_same(&format!("{file} {name}"), &found[*name], tensor);
        }
        assert_eq!(found["views.t"].data_ptr(), found["views.base"].data_ptr(), "a shared storage is shared");
    }
}

#[test]
fn golden_taming_vqgan_ckpt() {
    checkpoint("taming-vqgan-ckpt");
}

#[test]
fn golden_taming_vqgan_ckpt_legacy() {
    checkpoint("taming-vqgan-ckpt-legacy");
}

/// The model's weights are those of another golden, those of its losses are recorded beside the checkpoint.
fn checkpoint(component: &str) {
    let (golden, model) = (Golden::open(component), Golden::open("taming-vqgan"));
    let found = weights::read_any(&golden.path(golden.config()["file"].as_str().unwrap())).unwrap();
    let listed = golden.config()["state_dict_keys"].as_object().unwrap();
    assert_eq!(found.keys().collect::<Vec<_>>(), sorted(listed.keys()));
    for (name, tensor) in model.weights() {
        assert_same(&name, &found[&name], &tensor);
    }
    let losses: Vec<_> = found.keys().filter(|name| name.starts_with("loss.")).collect();
    assert_eq!(losses.len() + model.weights().len(), found.len());
    for name in losses {
        let key = golden.keys().find(|key| key.ends_with(name.as_str())).unwrap().to_owned();
        assert_same(name, &found[name], &golden.input(&key));
    }
}

fn sorted<'a>(names: impl Iterator<Item = &'a String>) -> Vec<&'a String> {
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

#[test]
fn a_file_that_ends_early_is_refused_wherever_it_ends() {
    for (file, bytes) in FILES {
        for length in (0..bytes.len()).step_by(7) {
            assert!(read_bytes(&bytes[..length]).is_err(), "{file}, {length} bytes");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Some changes do no harm, most are refused, none ends the program.
    #[test]
    fn changed_bytes_do_no_harm(file in 0..2_usize, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = FILES[file].1.to_vec();
        for (place, byte) in changes {
            *place.get_mut(&mut bytes) = byte;
        }
        match read_bytes(&bytes) {
            Ok(tensors) => prop_assert!(tensors.values().all(|tensor| tensor.numel() <= bytes.len())),
            Err(error) => prop_assert!(error.to_string().contains("any.name")),
        }
    }
}

/// A legacy file whose object is this pickle, with one storage `0` of two floats.
fn legacy(object: &[u8]) -> Vec<u8> {
    let head = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}X\x0d\0\0\0little_endian\x88s.";
    let storages = b"\x80\x02]X\x01\0\0\x000a.\x02\0\0\0\0\0\0\0\0\0\x80\x3f\0\0\0\x40";
    [&head[..], b"\x80\x02", object, b".", storages].concat()
}

/// A pickle of `{"w": tensor}`: a storage of `elements`, seen with one length and one stride.
fn one_tensor(class: &str, elements: u64, offset: u64, length: u64, stride: u64) -> Vec<u8> {
    let number = |value: u64| [b"\x8a\x09", &value.to_le_bytes()[..], b"\0"].concat();
    let storage = [b"(U\x07storagec", class.as_bytes(), b"\nU\x010U\x03cpu", &number(elements), b"tQ"].concat();
    let shape = [number(offset), number(length), b"\x85".to_vec(), number(stride), b"\x85".to_vec()].concat();
    [b"}U\x01wctorch._utils\n_rebuild_tensor_v2\n(", &storage[..], &shape, b"\x89}tRs"].concat()
}

#[test]
fn claims_are_compared_with_the_file() {
    let float = "torch\nFloatStorage";
    let sound = read_bytes(&legacy(&one_tensor(float, 2, 0, 2, 1))).unwrap();
    assert_same("w", &sound["w"], &Tensor::from_slice(&[1.0_f32, 2.0]));
    let cases = [
        (one_tensor(float, 2, 1, 2, 1), "leaves storage `0` of 2 elements"),
        (one_tensor(float, 2, 0, 2, 2), "leaves storage `0` of 2 elements"),
        (one_tensor(float, 2, u64::MAX, 2, 1), "leaves storage `0`"),
        (one_tensor(float, 2, 0, 2, 1 << 62), "leaves storage `0`"),
        (one_tensor(float, 2, 0, 1 << 40, 0), "it would have the shape [1099511627776]"),
        (one_tensor(float, 2, 0, u64::MAX, 0), "impossible length"),
        (one_tensor(float, 1 << 62, u64::MAX, 0, 1), "would have 4611686018427387904 elements"),
        (one_tensor(float, 1 << 62, 0, 2, 1), "would have 4611686018427387904 elements"),
        (one_tensor(float, 3, 0, 2, 1), "has 2 elements, 3 belong there"),
        (one_tensor("torch\nDoubleStorage", 2, 0, 2, 1), "truncated"),
        (one_tensor("torch\nComplexFloatStorage", 2, 0, 2, 1), "`torch.ComplexFloatStorage`"),
        (b"\x8d\0\0\0\0\0\0\0\x40".to_vec(), "truncated"),
        (b"}U\x01a}U\x01b2sh\x05".to_vec(), "recalls 5"),
        (b"}".to_vec(), "no tensor"),
        (b"N".to_vec(), "not a dict of tensors"),
        (b"}q\0U\x01ah\0s".to_vec(), "hold one another without end"),
        (b"0".to_vec(), "takes a value where there is none"),
        (b"ctorch.jit\nModule\n)\x81".to_vec(), "`torch.jit.Module`"),
        (b"}U\x0astate_dictcos\nsystem\nU\x02ls\x85Rs".to_vec(), "`state_dict` asks to call `os.system`"),
    ];
    let twice = [&one_tensor(float, 2, 0, 2, 1)[..], &one_tensor(float, 2, 0, 2, 1)[1..]].concat();
    for (object, reason) in cases.into_iter().chain([(twice, "two of its tensors are called `w`")]) {
        let message = refusal(&legacy(&object));
        assert!(message.contains(reason), "{reason}: {message}");
    }
}

/// An empty tensor lies nowhere, wherever it says that it lies.
#[test]
fn the_place_of_an_empty_tensor_does_not_matter() {
    let found = read_bytes(&legacy(&one_tensor("torch\nFloatStorage", 2, u64::MAX, 0, 1))).unwrap();
    assert_eq!(found["w"].size(), [0]);
}

/// Deeper than any stack: lists, tuples and dicts within each other, and dicts of dicts, each with a name.
#[test]
fn depth_is_no_matter_of_the_stack() {
    const DEPTH: usize = 300_000;
    let tensor = one_tensor("torch\nFloatStorage", 2, 0, 2, 1);
    let nested = [b"]".repeat(DEPTH), b"a".repeat(DEPTH - 1)].concat();
    let tuples = [b")".to_vec(), b"\x85".repeat(DEPTH)].concat();
    for beside in [&nested, &tuples] {
        let object = [&tensor[..], b"U\x04deep", beside, b"s"].concat();
        assert_eq!(read_bytes(&legacy(&object)).unwrap().len(), 1);
    }
    let dicts = [b"}U\x01a".repeat(DEPTH), b"}".to_vec(), b"s".repeat(DEPTH)].concat();
    assert!(refusal(&legacy(&dicts)).contains("hold one another without end"));
}

/// One shape of many lengths, used by as many tensors as a file can name.
#[test]
fn a_shape_that_many_tensors_share_is_counted_for_each() {
    let one = one_tensor("torch\nFloatStorage", 2, 0, 2, 1);
    // Storage, offset, shape and strides are put into memory once; each tensor is then a call with them.
    let storage = b"(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x02tQq\x00";
    let shape = [b"(".to_vec(), b"K\x01".repeat(64), b"tq\x01".to_vec()].concat();
    let call = b"ctorch._utils\n_rebuild_tensor_v2\nq\x02";
    let each = b"h\x02(h\x00K\x00h\x01h\x01tR0".repeat(80_000);
    let object = [&one[..], b"U\x01a", storage, b"0", &shape, b"0", call, b"0", &each, b"Ns"].concat();
    assert!(refusal(&legacy(&object)).contains("steps, too many"));
}

#[test]
fn what_stands_beside_the_weights_is_ignored() {
    let beside = b"U\x09callbackscos\nsystem\nU\x02ls\x85Rs";
    let object = [&one_tensor("torch\nFloatStorage", 2, 0, 2, 1)[..], beside].concat();
    assert_eq!(read_bytes(&legacy(&object)).unwrap().len(), 1);
}

/// Python 2 wrote an ordered dict as a call with a list of pairs.
#[test]
fn an_ordered_dict_of_python_2_is_read() {
    let inner = one_tensor("torch\nFloatStorage", 2, 0, 2, 1);
    let tensor = &inner[4..inner.len() - 1];
    let object = [b"ccollections\nOrderedDict\n(](]U\x01wa", tensor, b"aetR"].concat();
    let found = read_bytes(&legacy(&object)).unwrap();
    assert_eq!(found["w"].size(), [2]);
}

#[test]
fn the_format_is_told_by_the_first_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    for (file, bytes) in FILES {
        fs::write(&path, bytes).unwrap();
        assert_eq!(weights::read_any(&path).unwrap().len(), 17, "{file}");
    }
    let cases = [
        (&b""[..], "it is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"PK\x03\x04 and no more", "archive"),
    ];
    for (bytes, reason) in cases {
        fs::write(&path, bytes).unwrap();
        let message = weights::read_any(&path).unwrap_err().to_string();
        assert!(message.contains(reason) && message.contains("model.safetensors"), "{reason}: {message}");
    }
}

#[test]
fn a_pickle_that_calls_is_refused_and_not_run() {
    let Some(folder) = corpus("bad") else { return };
    let path = folder.join("pickle-exec.pt");
    for read in [weights::read_torch, weights::read_any] {
        let message = read(&path).unwrap_err().to_string();
        assert!(message.contains("`posix.system`") && message.contains("never run"), "{message}");
    }
    assert!(!Path::new("PWNED").exists());
}
