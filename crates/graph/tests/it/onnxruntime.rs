//! What the ONNX models compute, in Python's onnxruntime.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use vqkit_testing::needed_in_ci;

use crate::cases::{Case, every_case};

#[test]
fn every_tokenizer_computes_the_same_at_every_size() {
    let named = std::env::var_os("VQKIT_TEST_PYTHON");
    let what = "Python with onnxruntime that VQKIT_TEST_PYTHON names; `cargo xtask test` makes one";
    let Some(python) = needed_in_ci(named, what) else { return };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("graph-cases");
    let _ = fs::remove_dir_all(&folder);
    let folders: Vec<_> = every_case().iter().map(|case| write(case, &folder)).collect();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compare.py");
    let output = Command::new(python).arg(script).args(&folders).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.lines().filter(|line| line.ends_with(": the same")).count(), folders.len(), "{said}");
}

/// Everything that `compare.py` reads of a case.
fn write(case: &Case, folder: &Path) -> PathBuf {
    let folder = folder.join(&case.name);
    fs::create_dir_all(&folder).unwrap();
    let (tokenizer, weights) = case.build();
    let graph = case.graph(&weights);
    let properties = BTreeMap::from([("image_size".into(), "16".into())]);
    graph.save_onnx(&folder, &properties).unwrap();
    graph.save_torchscript(&folder.join("tokenizer.pt"), &properties).unwrap();
    for (number, images) in case.batches().into_iter().enumerate() {
        let tokens = tokenizer.tokens(&images).unwrap();
        images.write_npy(folder.join(format!("{number}.images.npy"))).unwrap();
        tokenizer.decode(&tokens).unwrap().write_npy(folder.join(format!("{number}.decoded.npy"))).unwrap();
        for (level, grid) in tokens.iter().enumerate() {
            grid.indices.write_npy(folder.join(format!("{number}.indices.{level}.npy"))).unwrap();
        }
    }
    folder
}
