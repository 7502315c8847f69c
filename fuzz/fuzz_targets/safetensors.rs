//! Any bytes as a safetensors file, of which the header is read and compared with the file's length.
//!
//! The check is compiled by itself, out of the crate that links libtorch otherwise.

#![no_main]

mod bounded;
mod scratch;

#[path = "../../crates/torch/src/weights/header.rs"]
#[allow(dead_code, reason = "the crate uses all of it")]
mod header;

use std::fs::File;
use std::path::Path;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let path = scratch::file(bytes);
    bounded::within(bytes.len(), || read(&path, bytes.len()));
});

fn read(path: &Path, length: usize) {
    let mut file = File::open(path).expect("the file was just written");
    let Ok(start) = header::start(&mut file) else { return };
    assert!(start.bytes.len() <= length && start.length == length as u64);
    let Ok(header) = start.parse() else { return };
    let data = length - start.bytes.len();
    assert_eq!(header.data_len(), data);
    let mut ends: Vec<_> = header.tensors().values().map(|tensor| tensor.data_offsets).collect();
    ends.sort();
    assert!(ends.iter().all(|(begin, end)| begin <= end && *end <= data));
    assert!(ends.windows(2).all(|pair| pair[0].1 <= pair[1].0));
}
