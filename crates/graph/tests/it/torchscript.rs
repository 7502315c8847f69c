//! What TorchScript computes. libtorch loads the files here; Python's `torch.jit.load` is the same code.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::collections::BTreeMap;

use tch::{CModule, IValue, Tensor};
use vqkit_vqvae::Tokenizer;

use crate::cases::{Case, every_case};

#[test]
fn every_tokenizer_computes_the_same_at_every_size() {
    let folder = tempfile::tempdir().unwrap();
    for case in every_case() {
        let (tokenizer, weights) = case.build();
        let path = folder.path().join("tokenizer.pt");
        case.graph(&weights).save_torchscript(&path, &BTreeMap::new()).unwrap();
        let module = CModule::load(&path).unwrap();
        for images in case.batches() {
            check(&case, &tokenizer, &module, &images);
        }
    }
}

fn check(case: &Case, tokenizer: &Tokenizer, module: &CModule, images: &Tensor) {
    let name = &case.name;
    let tokens = tokenizer.tokens(images).unwrap();
    let encoded = levels(module.method_is("encode", &[IValue::Tensor(images.shallow_clone())]).unwrap());
    assert_eq!(encoded.len(), tokens.len(), "{name}");
    let is_single = tokens.len() == 1 && tokens[0].codebooks() == 1;
    for (found, grid) in encoded.iter().zip(&tokens) {
        let wanted = if is_single { grid.indices.squeeze_dim(1) } else { grid.indices.shallow_clone() };
        assert_eq!(found, &wanted, "{name}, images {:?}", images.size());
    }
    let arguments: Vec<_> = encoded.into_iter().map(IValue::Tensor).collect();
    let IValue::Tensor(decoded) = module.method_is("decode", &arguments).unwrap() else { panic!("{name}") };
    let wanted = tokenizer.decode(&tokens).unwrap();
    close(&decoded, &wanted, name);
    close(&module.forward_ts(&[images]).unwrap(), &wanted, name);
}

fn levels(value: IValue) -> Vec<Tensor> {
    match value {
        IValue::Tensor(indices) => vec![indices],
        IValue::Tuple(levels) => levels.into_iter().flat_map(levels_of).collect(),
        other => panic!("{other:?}"),
    }
}

fn levels_of(value: IValue) -> Option<Tensor> {
    if let IValue::Tensor(indices) = value { Some(indices) } else { None }
}

fn close(found: &Tensor, wanted: &Tensor, name: &str) {
    assert_eq!(found.size(), wanted.size(), "{name}");
    let largest = wanted.abs().max().double_value(&[]).max(1.0);
    let difference = (found - wanted).abs().max().double_value(&[]);
    assert!(difference <= 1e-5 * largest, "{name}: images differ by {difference}");
}

/// Its normalisations magnify rounding, so that values are not compared.
#[test]
fn a_single_token_has_no_variance_and_is_decoded_to_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let case = every_case().into_iter().find(|case| case.name == "magvit2-lfq").unwrap();
    let (_, weights) = case.build();
    let path = folder.path().join("tokenizer.pt");
    case.graph(&weights).save_torchscript(&path, &BTreeMap::new()).unwrap();
    let images = CModule::load(&path).unwrap().forward_ts(&[case.images([2, 4, 4])]).unwrap();
    assert_eq!(images.size(), [2, 3, 4, 4]);
    assert!(bool::try_from(images.isfinite().all()).unwrap());
}

#[test]
fn weights_keep_the_names_of_the_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let case = every_case().into_iter().find(|case| case.name == "vqgan-ema").unwrap();
    let (_, weights) = case.build();
    let path = folder.path().join("tokenizer.pt");
    case.graph(&weights).save_torchscript(&path, &BTreeMap::new()).unwrap();
    let named = CModule::load(&path).unwrap().named_parameters().unwrap();
    assert!(named.len() > 50);
    for (name, tensor) in named {
        assert_eq!(tensor, weights[&name], "{name}");
    }
}

#[test]
fn sides_that_the_downsampling_does_not_divide_are_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let case = &every_case()[0];
    let (_, weights) = case.build();
    let path = folder.path().join("tokenizer.pt");
    case.graph(&weights).save_torchscript(&path, &BTreeMap::new()).unwrap();
    let module = CModule::load(&path).unwrap();
    for size in [[1, 18, 16], [1, 16, 18]] {
        let message = module.method_ts("encode", &[case.images(size)]).unwrap_err().to_string();
        assert!(message.contains("both must be multiples of 4"), "{message}");
    }
}
