//! Any bytes as a file of PyTorch's: opened, looked at, and every tensor read.

#![no_main]

mod bounded;
mod scratch;

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use vqkit_torch_file::{TorchFile, Value};

/// Values may be endless.
const MAX_VALUES: usize = 10_000;

fuzz_target!(|bytes: &[u8]| {
    let path = scratch::file(bytes);
    if let Some(file) = bounded::within(bytes.len(), || read(&path, bytes.len() as u64)) {
        look(&file);
    }
});

fn read(path: &Path, length: u64) -> Option<TorchFile> {
    let file = TorchFile::open(path).ok()?;
    for entry in file.tensors() {
        let tensor = &entry.tensor;
        assert!(tensor.bytes() <= length && tensor.storage_bytes() <= length);
        if let Ok(read) = file.read(tensor) {
            assert_eq!(read.len() as u64, tensor.bytes());
        }
        if let Ok(storage) = file.read_storage(tensor) {
            assert_eq!(storage.len() as u64, tensor.storage_bytes());
        }
    }
    Some(file)
}

/// Goes through what the file describes.
fn look(file: &TorchFile) {
    let mut open = vec![file.root()];
    for _ in 0..MAX_VALUES {
        let Some(value) = open.pop() else { return };
        match value {
            Value::Dict(dict) => dict.iter().for_each(|(key, value)| open.extend([key, value])),
            Value::Sequence(sequence) => open.extend(sequence.iter()),
            Value::Object(object) => {
                open.extend(object.state());
                open.extend(object.arguments().iter());
                open.extend(object.items().iter().map(|(_, value)| value));
                open.extend(object.get("lr"));
            }
            Value::Tensor(tensor) => drop(file.read(tensor)),
            _ => {}
        }
    }
}
