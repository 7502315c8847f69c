//! Files of weights: what is written is read, in every kind; what differs is listed; what is broken is refused.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use tch::nn::{self, VarStore};
use tch::{Device, Kind, Tensor};
use vqkit_torch::weights;

const CPU: Device = Device::Cpu;

fn none() -> BTreeMap<String, String> {
    BTreeMap::new()
}

fn pair(key: &str, value: &str) -> (String, String) {
    (key.into(), value.into())
}

/// One tensor of every kind, with values that a lower precision would lose.
fn every_kind() -> BTreeMap<String, Tensor> {
    let fine = Tensor::from_slice(&[1.0 + f64::EPSILON, -0.0, f64::INFINITY, 1e-300]);
    let floats = [Kind::Double, Kind::Float, Kind::Half, Kind::BFloat16].map(|kind| fine.to_kind(kind));
    let whole = Tensor::from_slice(&[i64::MAX, i64::MIN, 3, 0]);
    let integers = [Kind::Int64, Kind::Int, Kind::Int16, Kind::Int8, Kind::Uint8].map(|kind| whole.to_kind(kind));
    let others = [
        Tensor::from_slice(&[true, false]),
        Tensor::from(2.5),
        Tensor::zeros([0, 3], (Kind::Float, CPU)),
        Tensor::arange(6, (Kind::Float, CPU)).view([2, 3]).transpose(0, 1),
        Tensor::ones([2], (Kind::Float, CPU)).set_requires_grad(true),
    ];
    let all = floats.into_iter().chain(integers).chain(others);
    all.enumerate().map(|(index, tensor)| (format!("{index:02}.{:?}", tensor.kind()), tensor)).collect()
}

fn model(build: impl Fn(&nn::Path)) -> VarStore {
    let vs = VarStore::new(CPU);
    build(&vs.root());
    vs
}

#[test]
fn every_kind_comes_back_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("all.safetensors");
    let tensors = every_kind();
    weights::save(&path, &tensors, &none()).unwrap();
    let back = weights::read(&path).unwrap();
    assert_eq!(back.keys().collect::<Vec<_>>(), tensors.keys().collect::<Vec<_>>());
    for (name, tensor) in &tensors {
        assert_eq!((back[name].kind(), back[name].size()), (tensor.kind(), tensor.size()), "{name}");
        assert_eq!(&back[name], &tensor.detach(), "{name}");
    }
}

#[test]
fn the_same_tensors_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let metadata: BTreeMap<_, _> = (0..20).map(|index| (format!("key{index}"), "value".to_owned())).collect();
    let files = ["a", "b"].map(|name| {
        let path = folder.path().join(name);
        weights::save(&path, &every_kind(), &metadata).unwrap();
        fs::read(path).unwrap()
    });
    assert_eq!(files[0], files[1]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "no temporary file stays");
}

#[test]
fn tch_reads_our_files_and_we_read_those_of_tch() {
    let folder = tempfile::tempdir().unwrap();
    let [ours, theirs] = ["ours.safetensors", "theirs.safetensors"].map(|name| folder.path().join(name));
    let vs = model(|root| drop(root.randn_standard("w", &[3, 2])));
    weights::save(&ours, &weights::tensors(&vs), &none()).unwrap();
    let back: BTreeMap<_, _> = Tensor::read_safetensors(&ours).unwrap().into_iter().collect();
    assert_eq!(back["w"], vs.variables()["w"]);
    vs.save(&theirs).unwrap();
    assert_eq!(weights::read(&theirs).unwrap()["w"], vs.variables()["w"]);
}

#[test]
fn metadata_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    let metadata: BTreeMap<_, _> = [pair("format", "pt"), pair("ünï", "\"\n")].into();
    weights::save(&path, &every_kind(), &metadata).unwrap();
    assert_eq!(weights::metadata(&path).unwrap(), metadata);
    weights::save(&path, &BTreeMap::new(), &none()).unwrap();
    assert_eq!(weights::metadata(&path).unwrap(), none());
    assert!(weights::read(&path).unwrap().is_empty());
}

#[test]
fn loading_changes_values_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    let build = |root: &nn::Path| {
        let _ = (root.randn_standard("w", &[2, 2]), root.zeros_no_train("n", &[1]));
    };
    let (from, mut to) = (model(build), model(build));
    weights::save(&path, &weights::tensors(&from), &none()).unwrap();
    let held = to.variables();
    weights::load(&path, &mut to).unwrap();
    assert_eq!(held["w"], from.variables()["w"]);
    assert!(held["w"].requires_grad() && !held["n"].requires_grad());
}

#[test]
fn every_difference_is_listed_and_nothing_is_changed() {
    let mut to = model(|root| {
        let _ = (
            root.zeros("same", &[1]),
            root.zeros("shape", &[2, 1]),
            root.zeros("kind", &[2]),
            root.zeros("gone", &[3]),
        );
    });
    let float = |shape: &[i64]| Tensor::ones(shape, (Kind::Float, CPU));
    let from: BTreeMap<_, _> = [
        ("same", float(&[1])),
        // Both of these would be broadcast or cast by `VarStore::load`.
        ("shape", float(&[1, 1])),
        ("kind", float(&[2]).to_kind(Kind::Half)),
        ("new", float(&[4])),
    ]
    .map(|(name, tensor)| (name.to_owned(), tensor))
    .into();
    let message = weights::assign(&from, &mut to).unwrap_err().to_string();
    let expected = "the given tensors: 4 differences from what is wanted:\
                    \n  `gone` is missing, wanted F32 [3]\
                    \n  `kind` is F16, wanted F32\
                    \n  `shape` has shape [1, 1], wanted [2, 1]\
                    \n  `new` is not wanted, found F32 [4]";
    assert_eq!(message, expected);
    assert_eq!(to.variables()["same"].double_value(&[0]), 0.0);
}

#[test]
fn trainable_variables_are_told_from_buffers() {
    let mut vs = model(|root| {
        let _ = (root.zeros("b", &[1]), root.zeros("a", &[1]), root.zeros_no_train("n", &[1]));
    });
    let names = |vs: &VarStore| weights::trainable(vs).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names(&vs), ["a", "b"]);
    vs.freeze();
    assert_eq!(names(&vs), ["a", "b"]);
}

#[test]
fn a_kind_without_a_name_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.safetensors");
    let complex = [("z".to_owned(), Tensor::zeros([1], (Kind::ComplexFloat, CPU)))].into();
    let message = weights::save(&path, &complex, &none()).unwrap_err().to_string();
    assert!(message.contains("`z` is ComplexFloat"), "{message}");
    let reserved = [("__metadata__".to_owned(), Tensor::zeros([1], (Kind::Float, CPU)))].into();
    assert!(weights::save(&path, &reserved, &none()).is_err());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn a_folder_that_is_not_there_is_told_of() {
    let path = Path::new("no such folder/m.safetensors");
    let message = weights::save(path, &BTreeMap::new(), &none()).unwrap_err().to_string();
    assert!(message.starts_with("cannot write no such folder/m.safetensors: "), "{message}");
    assert!(weights::read(path).unwrap_err().to_string().starts_with("cannot read "));
}

/// A header of the given text and length field, with `data` zeros behind it.
fn file(path: &Path, length: u64, header: &str, data: usize) {
    fs::write(path, [&length.to_le_bytes()[..], header.as_bytes(), &vec![0; data]].concat()).unwrap();
}

#[test]
fn broken_files_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let table = r#"{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"b":{"dtype":"F32","shape":[4],"data_offsets":[8,24]}}"#;
    let one =
        |dtype: &str, shape: &str| format!(r#"{{"a":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,16]}}}}"#);
    let length = |text: &str| text.len() as u64;
    let cases = [
        ("empty", 0, String::new(), 0),
        ("lying", (1 << 56) - 1, table.into(), 0),
        ("overlap", length(table), table.into(), 24),
        ("truncated", length(&one("F32", "[4]")), one("F32", "[4]"), 8),
        ("longer", length(&one("F32", "[4]")), one("F32", "[4]"), 24),
        ("size", length(&one("F32", "[5]")), one("F32", "[5]"), 16),
        ("kind", length(&one("U32", "[4]")), one("U32", "[4]"), 16),
        ("text", 4, "no!!".into(), 0),
    ];
    for (name, length, header, data) in cases {
        let path = folder.path().join(format!("{name}.safetensors"));
        file(&path, length, &header, data);
        let message = weights::read(&path).unwrap_err().to_string();
        assert!(message.starts_with(&path.display().to_string()), "{name}: {message}");
    }
}

#[test]
fn truth_values_are_zero_or_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b.safetensors");
    let header = r#"{"b":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}}"#;
    fs::write(&path, [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[7, 0]].concat()).unwrap();
    let back = &weights::read(&path).unwrap()["b"];
    assert_eq!(back, &Tensor::from_slice(&[true, false]));
    assert_eq!(back.to_kind(Kind::Int64), Tensor::from_slice(&[1_i64, 0]));
}

#[test]
fn the_corpus_of_broken_files() {
    let Some(folder) = vqkit_testing::corpus("bad") else { return };
    let control = weights::read(&folder.join("control.safetensors")).unwrap();
    assert_eq!(control["a"].to_kind(Kind::Float), Tensor::from_slice(&[0.0_f32, 1.0, 2.0, 3.0]));
    assert_eq!(control["b"].to_kind(Kind::Float), Tensor::from_slice(&[0.0_f32, 1.0, 2.0, 3.0]).view([2, 2]));
    let cases = [
        ("lying-header.safetensors", "its header would have"),
        ("overlapping.safetensors", "offset"),
        ("pickle-exec.pt", "can run code"),
    ];
    for (name, reason) in cases {
        let message = weights::read(&folder.join(name)).unwrap_err().to_string();
        assert!(message.contains(name) && message.contains(reason), "{message}");
    }
    assert!(!Path::new("PWNED").exists());
}

/// A file with this header and so many bytes of data.
fn with_header(header: &str, data: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; data]].concat()
}

fn refusal(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("any.safetensors");
    fs::write(&path, bytes).unwrap();
    let message = weights::read(&path).unwrap_err().to_string();
    assert!(message.contains("any.safetensors") && !message.contains("frame #"), "{message}");
    message
}

#[test]
fn shapes_that_no_tensor_has_are_refused() {
    let one =
        |shape: &str, end: usize| format!(r#"{{"a":{{"dtype":"F32","shape":{shape},"data_offsets":[0,{end}]}}}}"#);
    for (shape, end, want) in [
        ("[0,4611686018427387904,4611686018427387904]".to_owned(), 0, "impossible shape"),
        ("[4611686018427387904,0,2,2]".to_owned(), 0, "impossible shape"),
        ("[0,9223372036854775808]".to_owned(), 0, "impossible shape"),
        (format!("[{}1]", "1,".repeat(99)), 4, "impossible shape"),
        ("[4611686018427387904,4611686018427387904]".to_owned(), 4, "verflow"),
        ("[-1]".to_owned(), 4, "invalid"),
        ("[2]".to_owned(), 4, ""),
        ("[1e3]".to_owned(), 4000, "invalid type"),
    ] {
        let message = refusal(&with_header(&one(&shape, end), end));
        assert!(message.contains(want), "{shape}: {message}");
    }
    let deep = format!(r#"{{"__metadata__":{}1{}}}"#, "[".repeat(9000), "]".repeat(9000));
    for header in [r#"{"__metadata__":5}"#, r#"{"__metadata__":{"a":1}}"#, "[1]", "5", "", &deep] {
        let bytes = with_header(header, 0);
        refusal(&bytes);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("any.safetensors");
        fs::write(&path, &bytes).unwrap();
        assert!(weights::open(&path).is_err(), "{header:.40}");
        // What has no table of metadata has none; what has another thing there is refused.
        if header.contains("__metadata__") {
            assert!(weights::metadata(&path).is_err(), "{header:.40}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is changed or cut, the answer is tensors no larger than the file, or a sentence.
    #[test]
    fn changed_bytes_do_no_harm(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("any.safetensors");
        weights::save(&path, &every_kind(), &BTreeMap::from([pair("a", "b")])).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        for (place, byte) in changes {
            *place.get_mut(&mut bytes) = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        fs::write(&path, &bytes).unwrap();
        let opened = weights::open(&path);
        match weights::read_any(&path) {
            Ok(tensors) => {
                prop_assert!(opened.is_ok());
                let held: usize = tensors.values().map(|tensor| tensor.numel() * tensor.kind().elt_size_in_bytes()).sum();
                prop_assert!(held <= bytes.len());
            }
            Err(error) => prop_assert!(!error.to_string().contains("frame #"), "{error}"),
        }
        let _ = weights::metadata(&path);
    }
}
