//! Both formats: their tensors are read bit for bit, one at a time.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod support;

use std::fs;
use std::path::Path;

use support::{FILES, FLOAT, golden, golden_config, legacy, one_tensor, open};
use vqkit_torch_file::{Dtype, Entry, TorchFile, TorchFileError, Value};

fn floats(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn bytes<const N: usize>(numbers: [[u8; N]; 3]) -> Vec<u8> {
    numbers.concat()
}

#[test]
fn every_type_and_view_is_read() {
    let wanted = [
        ("kinds.float64", Dtype::F64, vec![3], bytes([-2.0_f64, 0.0, 3.0].map(f64::to_le_bytes))),
        ("kinds.float32", Dtype::F32, vec![3], floats(&[-2.0, 0.0, 3.0])),
        ("kinds.float16", Dtype::F16, vec![3], bytes([0xc000_u16, 0, 0x4200].map(u16::to_le_bytes))),
        ("kinds.bfloat16", Dtype::BF16, vec![3], bytes([0xc000_u16, 0, 0x4040].map(u16::to_le_bytes))),
        ("kinds.int64", Dtype::I64, vec![3], bytes([-2_i64, 0, 3].map(i64::to_le_bytes))),
        ("kinds.int32", Dtype::I32, vec![3], bytes([-2_i32, 0, 3].map(i32::to_le_bytes))),
        ("kinds.int16", Dtype::I16, vec![3], bytes([-2_i16, 0, 3].map(i16::to_le_bytes))),
        ("kinds.int8", Dtype::I8, vec![3], bytes([-2_i8, 0, 3].map(i8::to_le_bytes))),
        ("kinds.uint8", Dtype::U8, vec![3], vec![254, 0, 3]),
        ("kinds.bool", Dtype::Bool, vec![3], vec![1, 0, 1]),
        ("views.base", Dtype::F32, vec![3, 4], floats(&[0., 1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11.])),
        ("views.t", Dtype::F32, vec![4, 3], floats(&[0., 4., 8., 1., 5., 9., 2., 6., 10., 3., 7., 11.])),
        ("views.slice", Dtype::F32, vec![2, 2], floats(&[4., 6., 8., 10.])),
        ("views.scalar", Dtype::F32, vec![], floats(&[11.])),
        ("views.wide", Dtype::F32, vec![5], floats(&[1.; 5])),
        ("views.empty", Dtype::F32, vec![0, 3], vec![]),
        ("p", Dtype::F32, vec![2], floats(&[1.; 2])),
    ];
    for (name, content) in FILES {
        let file = open(content).unwrap();
        assert_eq!(file.tensors().len(), wanted.len(), "{name}");
        for (Entry { path, tensor, in_sequence }, (key, dtype, shape, bytes)) in file.tensors().iter().zip(&wanted) {
            assert_eq!((&path.join("."), *in_sequence), (&(*key).to_owned(), false), "in the file's order");
            assert_eq!((tensor.dtype(), tensor.shape()), (*dtype, &shape[..]), "{name} {key}");
            assert_eq!(&file.read(tensor).unwrap(), bytes, "{name} {key}");
            assert_eq!(tensor.bytes(), bytes.len() as u64, "{name} {key}");
        }
    }
}

#[test]
fn tensors_that_share_a_storage_say_so() {
    for (name, content) in FILES {
        let file = open(content).unwrap();
        let [base, slice] = ["base", "slice"].map(|key| file.tensor(&["views", key]).unwrap());
        assert_eq!(base.storage_key(), slice.storage_key(), "{name}");
        assert_eq!((slice.storage_offset(), slice.strides(), slice.is_contiguous()), (4, &[4, 2][..], false));
        assert_eq!((base.storage_offset(), base.strides(), base.is_contiguous()), (0, &[4, 1][..], true));
        assert_eq!(file.read_storage(slice).unwrap(), file.read(base).unwrap(), "{name}");
    }
}

#[test]
fn what_stands_beside_the_tensors_is_kept() {
    for (name, content) in FILES {
        let file = open(content).unwrap();
        assert_eq!(file.get(&["epoch"]).unwrap().as_int(), Some(3), "{name}");
        assert_eq!(file.get(&["lr"]).unwrap().as_float(), Some(0.5), "{name}");
        assert_eq!(file.get(&["note"]).unwrap().as_text(), Some("é"), "{name}");
        let device = file.get(&["device"]).unwrap().as_object().unwrap();
        assert_eq!((device.class(), device.arguments().get(0).unwrap().as_text()), ("torch.device", Some("cpu")));
        let sizes = file.get(&["sizes"]).unwrap().as_sequence().unwrap();
        assert_eq!(sizes.get(0).unwrap().get("1").unwrap().as_int(), Some(4), "{name}");
        let [dtype, none, bytes] = [1, 2, 3].map(|place| sizes.get(place).unwrap());
        assert!(matches!((dtype, none), (Value::Global("torch.float32"), Value::None)), "{dtype:?} {none:?}");
        // Protocol 2 has no bytes: it asks to call for them.
        assert_eq!(bytes.as_object().unwrap().class(), "__builtin__.bytes", "{name}");
    }
}

/// The weights of the same model are recorded beside the checkpoint, as a safetensors file.
fn checkpoint(component: &str) {
    let name = golden_config(component)["file"].as_str().unwrap().to_owned();
    let file = TorchFile::open(&golden(component).join(name)).unwrap();
    let recorded = fs::read(golden("taming-vqgan").join("weights.safetensors")).unwrap();
    let recorded = safetensors::SafeTensors::deserialize(&recorded).unwrap();
    for (name, wanted) in recorded.iter() {
        let tensor = file.tensor(&["state_dict", name]).unwrap();
        let shape: Vec<_> = wanted.shape().iter().map(|length| *length as u64).collect();
        assert_eq!((tensor.dtype().to_string(), tensor.shape()), (wanted.dtype().to_string(), &shape[..]), "{name}");
        assert!(file.read(tensor).unwrap() == wanted.data(), "{name}");
    }
    let listed = golden_config(component)["state_dict_keys"].as_object().unwrap().len();
    let state_dict = file.tensors().iter().filter(|entry| entry.path[0] == "state_dict");
    assert_eq!(state_dict.count(), listed);
}

#[test]
fn golden_taming_vqgan_ckpt() {
    checkpoint("taming-vqgan-ckpt");
}

#[test]
fn golden_taming_vqgan_ckpt_legacy() {
    checkpoint("taming-vqgan-ckpt-legacy");
}

#[test]
fn a_file_that_ends_early_is_refused_wherever_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in FILES {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        let cut = fs::OpenOptions::new().write(true).open(&path).unwrap();
        for length in (0..content.len()).rev() {
            cut.set_len(length as u64).unwrap();
            assert!(TorchFile::open(&path).is_err(), "{name}, {length} bytes");
        }
    }
}

#[test]
fn a_file_that_is_cut_while_it_is_open_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in FILES {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        let file = TorchFile::open(&path).unwrap();
        fs::write(&path, &content[..64]).unwrap();
        let error = file.read(file.tensor(&["views", "base"]).unwrap()).unwrap_err();
        assert!(matches!(error, TorchFileError::Cut { now: 64, .. }), "{error}");
        assert!(error.to_string().contains(&format!("64 of its {} bytes", content.len())), "{error}");
    }
}

#[test]
fn a_tensor_of_another_file_is_refused() {
    let two = open(&legacy(&one_tensor(FLOAT, 2, 0, 2, 1))).unwrap();
    let other = open(FILES[0].1).unwrap();
    let error = other.read(two.tensor(&["w"]).unwrap()).unwrap_err().to_string();
    assert!(error.contains("of another file"), "{error}");
}

#[test]
fn what_is_no_file_of_pytorchs_is_refused() {
    let missing = TorchFile::open(Path::new("no such file")).unwrap_err();
    assert!(matches!(missing, TorchFileError::Io { .. }) && missing.to_string().contains("no such file"));
    let folder = tempfile::tempdir().unwrap();
    let error = TorchFile::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("not a plain file"), "{error}");
    for bytes in [&b""[..], b"P", b"PK\x03\x04", b"<!DOCTYPE html>", &[0; 100]] {
        assert!(open(bytes).is_err(), "{bytes:?}");
    }
}

#[test]
fn threads_may_share_a_file() {
    fn shared<T: Send + Sync>() {}
    shared::<TorchFile>();
    shared::<Entry>();
}
