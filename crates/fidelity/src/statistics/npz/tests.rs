//! Archives that were written are read, whatever their kind and order; what lies is refused.

use std::io::Write;

use proptest::prelude::*;
use tch::{Device, Kind};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use super::*;
use crate::statistics::Statistics;

/// One array as NumPy writes it, with any words for its header.
fn npy(header: &str, data: &[u8]) -> Vec<u8> {
    let length = (header.len() as u16).to_le_bytes();
    [MAGIC, &[1, 0], &length, header.as_bytes(), data].concat()
}

fn words(descr: &str, shape: &str) -> String {
    format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n")
}

fn archive(arrays: &[(&str, Vec<u8>)], method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(io::Cursor::new(Vec::new()));
    for (name, bytes) in arrays {
        zip.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn read(bytes: &[u8]) -> Result<Statistics> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("any.npz");
    std::fs::write(&path, bytes).unwrap();
    Statistics::read_npz(&path)
}

fn f64s(numbers: &[f64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// A mean of two numbers and a covariance, as pytorch-fid saves them.
fn sound() -> [(&'static str, Vec<u8>); 2] {
    let (mu, sigma) = (f64s(&[1.0, 2.0]), f64s(&[2.0, 0.5, 0.5, 3.0]));
    [("mu.npy", npy(&words("<f8", "(2,)"), &mu)), ("sigma.npy", npy(&words("<f8", "(2, 2)"), &sigma))]
}

fn refusal(mu: Vec<u8>, sigma: Vec<u8>) -> String {
    let bytes = archive(&[("mu.npy", mu), ("sigma.npy", sigma)], CompressionMethod::Stored);
    read(&bytes).unwrap_err().to_string()
}

#[test]
fn kinds_orders_and_compression_are_read() {
    let wanted = Tensor::from_slice(&[2.0, 0.5, 0.5, 3.0]).view([2, 2]);
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        let statistics = read(&archive(&sound(), method)).unwrap();
        assert_eq!((statistics.mean, statistics.covariance), (Tensor::from_slice(&[1.0, 2.0]), wanted.shallow_clone()));
    }
    let big: Vec<u8> = [2.0f32, 0.5, 0.5, 3.0].iter().flat_map(|number| number.to_be_bytes()).collect();
    let header = "{'descr': '>f4', 'fortran_order': True, 'shape': (2, 2), }\n";
    let arrays = [sound()[0].clone(), ("sigma.npy", npy(header, &big))];
    assert_eq!(read(&archive(&arrays, CompressionMethod::Stored)).unwrap().covariance, wanted);
}

#[test]
fn headers_that_lie_are_refused() {
    let [(_, mu), (_, sigma)] = sound();
    let data = f64s(&[1.0, 2.0]);
    for (header, want) in [
        (words("<f8", "(-1,)"), "broken header"),
        (words("<f8", "(1000000000000,)"), "one or two axes"),
        (words("<f8", "(4611686018427387904, 4611686018427387904)"), "no plain array"),
        (words("<f8", "(0,)"), "one or two axes"),
        (words("<f8", "()"), "one or two axes"),
        (words("<f8", "(3,)"), "is broken"),
        (words("<f8", "(1,)"), "more numbers than its shape"),
        (words("<i8", "(2,)"), "kind '<i8'"),
        (words("|O", "(2,)"), "kind '|O'"),
        (words("<f8", &format!("{}2,{}", "(".repeat(4000), ")".repeat(4000))), "no plain array"),
        ("nothing of Python's".into(), "broken header"),
        (" ".repeat(20_000), "20000 bytes"),
    ] {
        let error = refusal(npy(&header, &data), sigma.clone());
        assert!(error.contains(want), "{header:.80}: {error}");
    }
    // Version 2 has a length of four bytes.
    let error = refusal([MAGIC, &[2, 0], &u32::MAX.to_le_bytes()].concat(), sigma);
    assert!(error.contains("4294967295 bytes"), "{error}");
    let error = refusal(mu, npy(&words("<f8", "(1, 4)"), &f64s(&[1.0; 4])));
    assert!(error.contains("`mu` of shape [2] does not fit `sigma` of shape [1, 4]"), "{error}");
}

#[test]
fn moments_that_nothing_has_are_refused() {
    let [(_, mu), _] = sound();
    for (sigma, want) in [
        ([1.0, f64::NAN, 0.0, 1.0], "not finite"),
        ([1.0, 0.7, 0.2, 1.0], "not symmetric"),
        ([1.0, 2.0, 2.0, 1.0], "negative variances"),
        ([-1.0, 0.0, 0.0, -1.0], "negative variances"),
    ] {
        let error = refusal(mu.clone(), npy(&words("<f8", "(2, 2)"), &f64s(&sigma)));
        assert!(error.contains(want), "{error}");
    }
    let error = read(&archive(&[("mu.npy", mu)], CompressionMethod::Stored)).unwrap_err().to_string();
    assert!(error.contains("has no `sigma`"), "{error}");
}

proptest! {
    /// Whatever is changed or cut, the answer is statistics or a sentence.
    #[test]
    fn broken_archives_never_panic(
        deflated in any::<bool>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let method = if deflated { CompressionMethod::Deflated } else { CompressionMethod::Stored };
        let mut bytes = archive(&sound(), method);
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if is_cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        match read(&bytes) {
            Ok(statistics) => prop_assert_eq!(statistics.covariance.size(), [2, 2]),
            Err(error) => prop_assert!(!error.to_string().contains("frame #"), "{error}"),
        }
    }
}

#[test]
fn a_large_array_is_read_whole() {
    let numbers: Vec<f64> = (0..300).map(f64::from).collect();
    let sigma: Vec<f64> = (0..300 * 300).map(|at| f64::from(u8::from(at % 301 == 0))).collect();
    let arrays = [
        ("mu.npy", npy(&words("<f8", "(300,)"), &f64s(&numbers))),
        ("sigma.npy", npy(&words("<f8", "(300, 300)"), &f64s(&sigma))),
    ];
    let statistics = read(&archive(&arrays, CompressionMethod::Deflated)).unwrap();
    assert_eq!(statistics.mean, Tensor::from_slice(&numbers));
    assert_eq!(statistics.covariance, Tensor::eye(300, (Kind::Double, Device::Cpu)));
}
