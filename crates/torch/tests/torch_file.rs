//! PyTorch's own files: their tensors are read bit for bit, and nothing in them can run, overrun or exhaust anything.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use tch::{Device, Kind, Tensor};
use vqkit_testing::{Golden, corpus};
use vqkit_torch::{TorchError, weights};

/// Both hold what this gives in PyTorch 2.11, the second with `_use_new_zipfile_serialization=False`; `vqkit-torch-file` has them:
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
    with_storages(object, b"\x80\x02]X\x01\0\0\x000a.\x02\0\0\0\0\0\0\0\0\0\x80\x3f\0\0\0\x40")
}

/// A legacy file whose object is this pickle, without storages.
fn bare(object: &[u8]) -> Vec<u8> {
    with_storages(object, b"\x80\x02].")
}

fn with_storages(object: &[u8], storages: &[u8]) -> Vec<u8> {
    let head = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}X\x0d\0\0\0little_endian\x88s.";
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
fn what_is_no_dict_of_tensors_is_refused() {
    let float = "torch\nFloatStorage";
    let sound = read_bytes(&legacy(&one_tensor(float, 2, 0, 2, 1))).unwrap();
    assert_same("w", &sound["w"], &Tensor::from_slice(&[1.0_f32, 2.0]));
    let tensor = one_tensor(float, 2, 0, 2, 1);
    let (call, item) = (&tensor[4..tensor.len() - 1], &tensor[1..]);
    let cases = [
        (legacy(&one_tensor(float, 2, 1, 2, 1)), "leaves storage `0` of 2 elements"),
        (legacy(&one_tensor("torch\nQInt32Storage", 2, 0, 2, 1)), "`w` is made with `torch.QInt32Storage`"),
        (legacy(&[&tensor[..], item].concat()), "two of its tensors or dicts are called `w`"),
        (
            legacy(&[&tensor[..], b"U\x01a}U\x01b", call, b"ssU\x03a.b", call, b"s"].concat()),
            "two of its tensors are called `a.b`",
        ),
        (legacy(call), "its root is a tensor"),
        (legacy(&[b"]", call, b"a"].concat()), "its root is not a dict of tensors"),
        (bare(b"}"), "no tensor"),
        (bare(b"N"), "not a dict of tensors"),
        (bare(b"}q\0U\x01ah\0s"), "hold one another without end"),
        (bare(b"}U\x01acnumpy.core.multiarray\n_reconstruct\n)Rs"), "numpy's arrays, such as `a`"),
        (bare(b"ctorch.jit\nModule\n)\x81"), "`torch.jit.Module`"),
        (bare(b"}U\x0astate_dictcos\nsystem\nU\x02ls\x85Rs"), "`state_dict` asks to call `os.system`"),
    ];
    for (file, reason) in cases {
        let message = refusal(&file);
        assert!(message.contains(reason), "{reason}: {message}");
    }
}

/// A tensor that would have to be called for, or stands in a list, does no harm beside the `state_dict`.
#[test]
fn only_the_state_dict_counts_where_there_is_one() {
    let tensor = one_tensor("torch\nFloatStorage", 2, 0, 2, 1);
    let sparse = b"ctorch._utils\n_rebuild_sparse_tensor\n)R";
    let object = [b"}U\x0astate_dict", &tensor[..], b"sU\x01a", sparse, b"sU\x01b", &tensor, b"s"].concat();
    assert_eq!(read_bytes(&legacy(&object)).unwrap().into_keys().collect::<Vec<_>>(), ["w"]);
    let listed = [&tensor[..], b"U\x01l]", &tensor[4..tensor.len() - 1], b"as"].concat();
    assert_eq!(read_bytes(&legacy(&listed)).unwrap().into_keys().collect::<Vec<_>>(), ["w"]);
}

#[test]
fn what_stands_beside_the_weights_is_ignored() {
    let beside = b"U\x09callbackscos\nsystem\nU\x02ls\x85Rs";
    let object = [&one_tensor("torch\nFloatStorage", 2, 0, 2, 1)[..], beside].concat();
    assert_eq!(read_bytes(&legacy(&object)).unwrap().len(), 1);
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
