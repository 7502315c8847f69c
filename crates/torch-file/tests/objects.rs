//! What files hold beside their weights stays what it is: described, never called.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod support;

use serde_json::Value as Json;
use support::{FLOAT, bad, golden, golden_config, legacy, one_tensor, open, refusal};
use vqkit_torch_file::{TorchFile, Value};

/// A value of numbers, strings and what holds them, as JSON has it.
fn json(value: Value) -> Json {
    match value {
        Value::None => Json::Null,
        Value::Bool(value) => value.into(),
        Value::Int(value) => (value as i64).into(),
        Value::Float(value) => value.into(),
        Value::Text(value) => value.into(),
        Value::Sequence(values) => values.iter().map(json).collect(),
        Value::Dict(items) => {
            items.iter().map(|(key, value)| (key.as_text().unwrap().to_owned(), json(value))).collect()
        }
        other => panic!("{other:?}"),
    }
}

/// The options of the command line, an `argparse.Namespace`, and a moment of the optimizer.
#[test]
fn golden_llamagen_gpt_ckpt() {
    let component = "llamagen-gpt-ckpt";
    let config = golden_config(component);
    let names = config["files"].as_object().unwrap().keys();
    let files: Vec<_> = names.map(|name| TorchFile::open(&golden(component).join(name)).unwrap()).collect();
    let file = files.iter().find(|file| file.get(&["args"]).is_some()).unwrap();
    let args = file.get(&["args"]).unwrap().as_object().unwrap();
    assert_eq!(args.class(), "argparse.Namespace");
    assert_eq!(json(args.state().unwrap()), config["args"]);
    assert_eq!(args.get("lr").unwrap().as_float(), config["args"]["lr"].as_f64());

    let recorded = std::fs::read(golden(component).join("io.safetensors")).unwrap();
    let recorded = safetensors::SafeTensors::deserialize(&recorded).unwrap();
    let moments = recorded.names().into_iter().filter_map(|name| name.strip_prefix("optimizer/"));
    let moments: Vec<_> = moments.collect();
    assert!(!moments.is_empty());
    for moment in moments {
        let keys: Vec<_> = ["optimizer", "state"].into_iter().chain(moment.split('/')).collect();
        let read = file.read(file.tensor(&keys).unwrap()).unwrap();
        assert!(read == recorded.tensor(&format!("optimizer/{moment}")).unwrap().data(), "{moment}");
    }
    let groups = file.get(&["optimizer", "param_groups"]).unwrap().as_sequence().unwrap();
    assert!(groups.get(0).unwrap().get("lr").unwrap().as_float().is_some());
}

/// Lightning's callbacks have a class for a key.
#[test]
fn golden_taming_vqgan_ckpt() {
    let component = "taming-vqgan-ckpt";
    let name = golden_config(component)["file"].as_str().unwrap().to_owned();
    let file = TorchFile::open(&golden(component).join(name)).unwrap();
    let callbacks = file.get(&["callbacks"]).unwrap().as_dict().unwrap();
    let (key, value) = callbacks.iter().next().unwrap();
    assert!(matches!(key, Value::Global(class) if class.ends_with(".ModelCheckpoint")), "{key:?}");
    assert!(value.get("best_model_score").is_some());
}

/// `{"w": tensor, "beside": …}` as a legacy file.
fn beside(pickle: &[u8]) -> TorchFile {
    let object = [&one_tensor(FLOAT, 2, 0, 2, 1)[..], b"U\x06beside", pickle, b"s"].concat();
    let file = open(&legacy(&object)).unwrap();
    assert_eq!(file.tensors().len(), 1);
    file
}

#[test]
fn what_would_be_called_is_noted() {
    let file = beside(b"cos\nsystem\nU\x02ls\x85R");
    let object = file.get(&["beside"]).unwrap().as_object().unwrap();
    assert_eq!((object.class(), object.arguments().len(), object.state().is_none()), ("os.system", 1, true));
    let error = file.tensor(&["beside"]).unwrap_err().to_string();
    assert!(error.contains("`beside` is made with `os.system`"), "{error}");

    // The way of protocols 0 and 1, and that of protocol 2.
    let state = b"}U\x02lrG\x3f\xe0\0\0\0\0\0\0sb";
    for making in [
        &b"ccopy_reg\n_reconstructor\ncargparse\nNamespace\nc__builtin__\nobject\nN\x87R"[..],
        b"cargparse\nNamespace\n)\x81",
        b"(iargparse\nNamespace\n",
        b"(cargparse\nNamespace\no",
    ] {
        let file = beside(&[making, state].concat());
        let object = file.get(&["beside"]).unwrap().as_object().unwrap();
        assert_eq!((object.class(), object.get("lr").unwrap().as_float()), ("argparse.Namespace", Some(0.5)));
    }
}

/// A class that derives from dict, as that of Lightning's hyper-parameters does, and one that has slots.
#[test]
fn items_and_slots_are_attributes() {
    let file = beside(b"clightning\nAttributeDict\n)R(U\x01aK\x01U\x01bK\x02u");
    let object = file.get(&["beside"]).unwrap().as_object().unwrap();
    assert_eq!((object.items().len(), object.get("b").unwrap().as_int()), (2, Some(2)));
    let file = beside(b"cmodule\nSlots\n)\x81N}U\x01aK\x07s\x86b");
    assert_eq!(file.get(&["beside", "a"]).unwrap().as_int(), Some(7));
}

#[test]
fn numbers_of_every_kind_are_kept() {
    let floats: [(&[u8], f64); 4] = [
        (b"G\x3f\xb9\x99\x99\x99\x99\x99\x9a", 0.1),
        (b"F0.1\n", 0.1),
        (b"F-inf\n", f64::NEG_INFINITY),
        (b"K\x02", 2.0),
    ];
    for (pickle, number) in floats {
        assert_eq!(beside(pickle).get(&["beside"]).unwrap().as_float(), Some(number));
    }
    let whole: [(&[u8], i128); 4] =
        [(b"J\xfe\xff\xff\xff", -2), (b"L-7L\n", -7), (b"\x8a\x01\xff", -1), (b"\x8a\0", 0)];
    for (pickle, number) in whole {
        assert_eq!(beside(pickle).get(&["beside"]).unwrap().as_int(), Some(number));
    }
    assert_eq!(beside(b"I01\n").get(&["beside"]).unwrap().as_bool(), Some(true));
    for pickle in [&b"Fone\n"[..], b"I1.5\n", b"L\n"] {
        let message = refusal(&legacy(&[b"}U\x01a", pickle, b"s"].concat()));
        assert!(message.contains("is no number"), "{message}");
    }
}

#[test]
fn keys_that_are_numbers_are_decimal_digits() {
    let file = beside(b"}(K\x07U\x05sevenK\x08K\x09u");
    assert_eq!(file.get(&["beside", "7"]).unwrap().as_text(), Some("seven"));
    assert!(file.get(&["beside", "07"]).is_none());
    // The last of two equal keys counts, as in Python.
    assert_eq!(beside(b"}(U\x01aK\x01U\x01aK\x02u").get(&["beside", "a"]).unwrap().as_int(), Some(2));
}

#[test]
fn tensors_that_would_have_to_be_called_for_are_named() {
    let sparse = b"ctorch._utils\n_rebuild_sparse_tensor\n)R";
    let file = beside(&[b"]", &sparse[..], b"a"].concat());
    let [unreadable] = file.unreadable() else { panic!("{:?}", file.unreadable()) };
    assert_eq!(unreadable.path, ["beside", "0"]);
    assert_eq!((unreadable.in_sequence, &*unreadable.class), (true, "torch._utils._rebuild_sparse_tensor"));
    // A function that nobody knows, and that is given a tensor.
    let tensor = one_tensor(FLOAT, 2, 0, 2, 1);
    let wrapped = [b"cmodule\nwrap\n", &tensor[4..tensor.len() - 1], b"\x85R"].concat();
    let unknown = beside(&wrapped);
    assert_eq!(
        (&*unknown.unreadable()[0].class, &unknown.unreadable()[0].path[..]),
        ("module.wrap", &["beside".to_owned()][..])
    );
    let array = beside(b"cnumpy.core.multiarray\n_reconstruct\n)R");
    assert_eq!(array.unreadable().len(), 1);
    // A number of numpy's is no array.
    assert!(beside(b"cnumpy.core.multiarray\nscalar\n)R").unreadable().is_empty());
}

#[test]
fn tensors_in_lists_and_in_objects() {
    let tensor = one_tensor(FLOAT, 2, 0, 2, 1);
    let tensor = &tensor[4..tensor.len() - 1];
    let file = open(&legacy(&[b"](", tensor, b"}U\x01a", tensor, b"se"].concat())).unwrap();
    let paths: Vec<_> = file.tensors().iter().map(|entry| (entry.path.join("."), entry.in_sequence)).collect();
    assert_eq!(paths, [("0".to_owned(), true), ("1.a".to_owned(), true)]);
    // A class that derives from dict.
    let items = [b"cmodule\nDict\n)RU\x01a", tensor, b"s"].concat();
    let derived = open(&legacy(&items)).unwrap();
    assert_eq!(derived.tensors()[0].path, ["a"]);
    let alone = open(&legacy(tensor)).unwrap();
    assert!(alone.tensors()[0].path.is_empty() && alone.root().as_tensor().is_some());
    let object = open(&legacy(&[b"cmodule\nNet\n)\x81}U\x01a", tensor, b"sb"].concat())).unwrap();
    assert!(object.tensors().is_empty());
    assert_eq!(object.read(object.tensor(&["a"]).unwrap()).unwrap().len(), 8);
}

#[test]
fn a_pickle_that_calls_is_not_run() {
    let Some(folder) = bad() else { return };
    match TorchFile::open(&folder.join("pickle-exec.pt")) {
        Ok(file) => assert_eq!(file.root().as_object().unwrap().class(), "posix.system"),
        Err(error) => assert!(error.to_string().contains("`posix.system`"), "{error}"),
    }
    assert!(!std::path::Path::new("PWNED").exists());
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() && !path.ends_with("pickle-exec.pt") {
            let error = TorchFile::open(&path).unwrap_err().to_string();
            assert!(error.contains(&path.display().to_string()), "{error}");
        }
    }
}
