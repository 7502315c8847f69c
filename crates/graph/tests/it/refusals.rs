//! What is refused, and in which words.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::collections::BTreeMap;
use std::path::Path;

use tch::{Kind, Tensor};
use vqkit_graph::TokenizerGraph;
use vqkit_quantizer::QuantizerConfig;

use crate::cases::{Case, every_case};

fn refused(case: &Case, weights: &BTreeMap<String, Tensor>) -> String {
    TokenizerGraph::new(&case.config, &case.quantizer, case.channels, weights).unwrap_err().to_string()
}

#[test]
fn weights_that_do_not_fit_are_named() {
    let case = &every_case()[0];
    let (_, mut weights) = case.build();
    weights.remove("encoder.down.0.bias");
    weights.insert("decoder.up.0.bias".into(), Tensor::zeros([1], (Kind::Float, tch::Device::Cpu)));
    weights.insert("other".into(), Tensor::zeros([1], (Kind::Float, tch::Device::Cpu)));
    let message = refused(case, &weights);
    for part in ["`encoder.down.0.bias` is missing", "`decoder.up.0.bias` has shape [1]", "`other` is not wanted"] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn values_out_of_range_are_named() {
    let mut cases = every_case();
    let case = &mut cases[0];
    let (_, weights) = case.build();
    let QuantizerConfig::Ema(quantizer) = &mut case.quantizer else { panic!("{:?}", case.quantizer) };
    quantizer.codebook_size = 1;
    assert!(refused(case, &weights).contains("`codebook_size`"));
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let case = &every_case()[0];
    let (_, weights) = case.build();
    let graph = case.graph(&weights);
    let folder = Path::new("no-such-folder");
    let script = graph.save_torchscript(&folder.join("tokenizer.pt"), &BTreeMap::new()).unwrap_err().to_string();
    let onnx = graph.save_onnx(folder, &BTreeMap::new()).unwrap_err().to_string();
    assert!(script.contains("no-such-folder/tokenizer.pt"), "{script}");
    assert!(onnx.contains("no-such-folder/encode.onnx"), "{onnx}");
}
