//! Every kind of source: what it finds, and what it says of what it cannot use.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod fixtures;

use std::path::Path;

use fixtures::{archive, open, png, write};
use tempfile::tempdir;
use vqkit_data::{DataConfig, Dataset, Pixels, View};

fn keys(view: &View) -> Vec<String> {
    (0..view.len()).map(|i| view.get(i).unwrap().key).collect()
}

fn classes(view: &View) -> Vec<Option<u32>> {
    (0..view.len()).map(|i| view.get(i).unwrap().class).collect()
}

fn refusal(root: &Path, keys: &str, source: &str) -> String {
    open(root, keys, source).unwrap_err().to_string()
}

#[test]
fn sub_folders_are_classes_and_validation_has_the_same() {
    let folder = tempdir().unwrap();
    for (name, level) in [("a/dog/1.png", 1), ("a/cat/2.PNG", 2), ("a/cat/deep/3.png", 3), ("b/dog/4.png", 4)] {
        write(folder.path(), name, &png(8, level));
    }
    write(folder.path(), "a/dog/notes.md", b"not an image");
    write(folder.path(), "a/dog/.hidden.png", b"not an image");
    let data = open(folder.path(), "", "type = 'folder'\ntrain = 'a'\nvalidation = 'b'").unwrap();
    assert_eq!(keys(&data.train), ["cat/2.PNG", "cat/deep/3.png", "dog/1.png"]);
    assert_eq!(classes(&data.train), [Some(0), Some(0), Some(1)]);
    assert_eq!(data.train.class_names(), ["cat", "dog"]);
    assert_eq!((classes(&data.validation), data.validation.num_classes()), (vec![Some(1)], 2));
    assert_eq!((data.class_index("dog").unwrap(), data.class_index("0").unwrap()), (1, 0));
    let error = data.class_index("cow").unwrap_err().to_string();
    assert_eq!(error, "no class `cow`; the classes are cat, dog, or their numbers 0 to 1");
}

#[test]
fn a_flat_folder_has_no_classes_and_a_mixed_one_is_refused() {
    let folder = tempdir().unwrap();
    write(folder.path(), "a/1.png", &png(8, 1));
    write(folder.path(), "a/2.png", &png(8, 2));
    let data = open(folder.path(), "", "type = 'folder'\ntrain = 'a'").unwrap();
    assert_eq!((data.train.num_classes(), data.validation.len()), (0, 0));
    write(folder.path(), "a/dog/3.png", &png(8, 3));
    let error = refusal(folder.path(), "", "type = 'folder'\ntrain = 'a'");
    assert!(error.contains("holds 2 images and 1 in sub-folders"), "{error}");
}

#[test]
fn a_class_that_training_does_not_have_is_refused() {
    let folder = tempdir().unwrap();
    write(folder.path(), "a/dog/1.png", &png(8, 1));
    write(folder.path(), "b/cow/1.png", &png(8, 1));
    let error = refusal(folder.path(), "", "type = 'folder'\ntrain = 'a'\nvalidation = 'b'");
    assert!(error.contains("cow") && error.contains("is not one of [\"dog\"]"), "{error}");
    let error = refusal(folder.path(), "class_names = ['cat']", "type = 'folder'\ntrain = 'a'");
    assert!(error.contains("class `dog` is not one of [\"cat\"]"), "{error}");
}

#[test]
fn what_is_not_there_is_named() {
    let folder = tempdir().unwrap();
    write(folder.path(), "empty/readme.txt", b"no image");
    write(folder.path(), "zero/1.png", b"");
    for (source, part) in [
        ("type = 'folder'\ntrain = 'nowhere'", "nowhere"),
        ("type = 'tar'\ntrain = 'nowhere-{0..1}.tar'", "nowhere-0.tar"),
        ("type = 'manifest'\ntrain = 'nowhere.csv'", "nowhere.csv"),
        ("type = 'manifest'\ntrain = 'empty/readme.txt'", "must end in .csv, .tsv or .jsonl"),
        ("type = 'folder'\ntrain = 'empty'", "holds no image"),
        ("type = 'folder'\ntrain = 'zero'", "1.png: is empty"),
    ] {
        let error = refusal(folder.path(), "", source);
        assert!(error.contains(part), "{source}: {error}");
    }
}

#[test]
fn pairs_belong_together_by_name() {
    let folder = tempdir().unwrap();
    for (name, width, level) in [("i/a.png", 8, 9), ("i/b.png", 8, 9), ("s/a.png", 8, 1), ("s/b.png", 6, 2)] {
        write(folder.path(), &format!("set/{name}"), &png(width, level));
    }
    let source =
        "type = 'pairs'\ntrain = 'set'\nimages = 'i'\ntemplates = 's'\ntemplate = { type = 'labels', count = 3 }";
    let data = open(folder.path(), "", source).unwrap();
    let sample = data.train.get(0).unwrap();
    assert_eq!((sample.key.as_str(), sample.template.unwrap().pixels()), ("a", &Pixels::Gray8(vec![1; 64])));
    assert!(data.train.has_templates());
    let error = data.train.get(1).unwrap_err().to_string();
    assert!(error.contains("is (8, 8) pixels, but its template") && error.contains("is (6, 8)"), "{error}");
    write(folder.path(), "set/i/c.png", &png(8, 9));
    let error = refusal(folder.path(), "", source);
    assert!(error.contains("c.png: has no template of the same name"), "{error}");
}

#[test]
fn manifests_say_the_same_in_every_notation() {
    let folder = tempdir().unwrap();
    write(folder.path(), "in/1.png", &png(8, 1));
    write(folder.path(), "in/2.png", &png(8, 2));
    write(folder.path(), "m.csv", b"image,class,caption,extra\nin/1.png,dog,\"a dog, grey\",x\nin/2.png,cat,,y\n");
    write(folder.path(), "m.tsv", b"image\tclass\tcaption\nin/1.png\tdog\ta dog, grey\nin/2.png\tcat\t\n");
    let lines = b"{\"image\": \"in/1.png\", \"class\": \"dog\", \"caption\": \"a dog, grey\"}\n\n{\"image\": \"in/2.png\", \"class\": \"cat\"}\n";
    write(folder.path(), "m.jsonl", lines);
    let read = |name: &str| open(folder.path(), "", &format!("type = 'manifest'\ntrain = '{name}'")).unwrap();
    for data in ["m.csv", "m.tsv", "m.jsonl"].map(read) {
        assert_eq!((classes(&data.train), data.train.has_captions()), (vec![Some(1), Some(0)], true));
        assert_eq!(data.train.get(0).unwrap().caption.as_deref(), Some("a dog, grey"));
        assert_eq!(data.train.get(1).unwrap().caption, None);
        assert_eq!(data.train.fingerprint(), read("m.csv").train.fingerprint());
    }
    write(folder.path(), "numbers.csv", b"image,class\nin/1.png,7\nin/2.png,\n");
    let data = read("numbers.csv");
    assert_eq!((classes(&data.train), data.train.num_classes()), (vec![Some(7), None], 8));
}

#[test]
fn a_text_beside_an_image_is_its_caption() {
    let folder = tempdir().unwrap();
    for name in ["a/1.png", "a/2.png", "b/1.png"] {
        write(folder.path(), name, &png(8, 5));
    }
    write(folder.path(), "a/1.txt", b"\xef\xbb\xbf  a cat \n");
    write(folder.path(), "b/1.txt", b" \n");
    write(folder.path(), "b/notes.txt", b"of no image");
    let data = open(folder.path(), "", "type = 'folder'\ntrain = '.'").unwrap();
    let captions: Vec<_> = (0..3).map(|index| data.train.get(index).unwrap().caption).collect();
    assert_eq!(captions, [Some("a cat".to_owned()), None, None]);
    assert!(data.train.has_captions());
    assert_eq!(data.train.passed_over().to_string(), "1 .txt");
    let error = refusal(folder.path(), "require_caption = true", "type = 'folder'\ntrain = '.'");
    assert!(error.contains("has no caption"), "{error}");
    write(folder.path(), "a/2.txt", b"caf\xe9");
    let error = refusal(folder.path(), "", "type = 'folder'\ntrain = '.'");
    assert!(error.contains("2.txt") && error.contains("is not UTF-8 text"), "{error}");
}

#[test]
fn a_broken_manifest_is_named_with_its_line() {
    let folder = tempdir().unwrap();
    write(folder.path(), "a.csv", b"picture\n1.png\n");
    write(folder.path(), "b.jsonl", b"{\"image\": \"1.png\"}\n{\"image\": 3}\n");
    write(folder.path(), "c.csv", b"image\nmissing.png\n");
    for (name, part) in [
        ("a.csv", "has no column `image`; its first line names the columns `picture`"),
        ("b.jsonl", "line 2"),
        ("c.csv", "missing.png: No such file"),
    ] {
        let error = refusal(folder.path(), "", &format!("type = 'manifest'\ntrain = '{name}'"));
        assert!(error.contains(name) || error.contains("missing.png"), "{error}");
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn shards_are_one_source_with_labels_captions_and_notes() {
    let folder = tempdir().unwrap();
    let image = png(8, 5);
    archive(
        &folder.path().join("s-08.tar"),
        [
            ("x/a.png", image.as_slice()),
            ("x/a.cls", b"2\n"),
            ("x/a.txt", b"  a thing \n"),
            ("b.json", b"{\"class\": 4, \"caption\": \"noted\", \"more\": []}"),
            ("b.png", &image),
        ],
    );
    archive(&folder.path().join("s-09.tar"), [("c.readme", b"passed over".as_slice()), ("c.PNG", &image)]);
    let data = open(folder.path(), "", "type = 'tar'\ntrain = 's-{08..09}.tar'").unwrap();
    assert_eq!(keys(&data.train), ["x/a", "b", "c"]);
    assert_eq!((classes(&data.train), data.train.num_classes()), (vec![Some(2), Some(4), None], 5));
    let captions: Vec<_> = (0..3).map(|i| data.train.get(i).unwrap().caption).collect();
    assert_eq!(captions, [Some("a thing".to_owned()), Some("noted".to_owned()), None]);
    let error = refusal(folder.path(), "require_class = true", "type = 'tar'\ntrain = 's-{08..09}.tar'");
    assert!(error.contains("s-09.tar: c.PNG: has no class label"), "{error}");
}

#[test]
fn odd_archives_are_refused_with_the_reason() {
    let folder = tempdir().unwrap();
    let image = png(8, 5);
    let at = |name: &str| folder.path().join(name);
    archive(&at("apart.tar"), [("a.png", image.as_slice()), ("b.png", &image), ("a.cls", b"1")]);
    archive(&at("twice.tar"), [("a.png", image.as_slice()), ("a.jpg", &image)]);
    archive(&at("label.tar"), [("a.png", image.as_slice()), ("a.cls", b"d\xf4g")]);
    archive(&at("json.tar"), [("a.png", image.as_slice()), ("a.json", b"{")]);
    archive(&at("mixed.tar"), [("a.png", image.as_slice()), ("a.cls", b"1"), ("b.png", &image), ("b.cls", b"dog")]);
    archive(&at("whole.tar"), [("a.png", image.as_slice())]);
    let whole = std::fs::read(at("whole.tar")).unwrap();
    write(folder.path(), "unended.tar", &whole[..1024]);
    write(folder.path(), "text.tar", &[b'x'; 2048]);
    write(folder.path(), "zipped.tar", &[0x1f, 0x8b, 8, 0, 0, 0]);
    write(folder.path(), "zero.tar", b"");
    std::fs::create_dir(at("folder.tar")).unwrap();
    for (name, part) in [
        ("apart", "must follow each other"),
        ("twice", "second image"),
        ("label", "not UTF-8"),
        ("json", "its .json"),
        ("mixed", "give `class_names`"),
        ("unended", "without the mark of its end"),
        ("text", "no sound tar archive"),
        ("zipped", "is compressed"),
        ("zero", "without the mark of its end"),
        ("folder", "is a folder"),
    ] {
        let error = refusal(folder.path(), "", &format!("type = 'tar'\ntrain = '{name}.tar'"));
        assert!(error.contains(part) && error.contains(name), "{error}");
    }
}

#[test]
fn links_in_an_archive_are_left_out() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("links.tar");
    let mut tar = tar::Builder::new(std::fs::File::create(&path).unwrap());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    tar.append_link(&mut header, "evil.png", "/etc/passwd").unwrap();
    let image = png(8, 1);
    let mut header = tar::Header::new_gnu();
    header.set_size(image.len() as u64);
    tar.append_data(&mut header, "good.png", image.as_slice()).unwrap();
    tar.finish().unwrap();
    let source = "type = 'tar'\ntrain = 'links.tar'";
    let data = open(folder.path(), "on_error = 'skip'\nmax_error_rate = 0.5", source).unwrap();
    assert_eq!((keys(&data.train), data.train.rejected().len()), (vec!["good".to_owned()], 1));
    assert!(refusal(folder.path(), "", source).contains("is a link"));
    let error = refusal(folder.path(), "on_error = 'skip'", source);
    assert!(error.starts_with("1 of 2 items are bad, above `max_error_rate` = 0.01; the first:"), "{error}");
}

fn shapes(keys: &str) -> Dataset {
    let recipe = format!("image_size = 32\n{keys}\nsource = {{ type = 'shapes', count = 200 }}");
    toml::from_str::<DataConfig>(&recipe).unwrap().open().unwrap()
}

#[test]
fn a_share_is_validation_data_once_and_for_all() {
    let data = shapes("validation = 0.05");
    assert_eq!((data.train.len(), data.validation.len()), (190, 10));
    let mut all = [keys(&data.train), keys(&data.validation)].concat();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 200);
    let again = shapes("validation = 0.05");
    assert_eq!(keys(&again.validation), keys(&data.validation));
    assert_eq!(again.train.fingerprint(), data.train.fingerprint());
    assert_ne!(data.validation.fingerprint(), data.train.fingerprint());
    assert_ne!(shapes("").train.fingerprint(), data.train.fingerprint());
}

#[test]
fn impossible_keys_are_named_with_what_is_allowed() {
    for (keys, source, part) in [
        ("image_size = 0", "type = 'shapes', count = 1", "`image_size`: must be 1 to 4096, found 0"),
        ("image_size = 16", "type = 'shapes', count = 1", "`image_size`: shapes cannot be told apart below 24"),
        ("image_size = 32", "type = 'shapes', count = 0", "`source.count`"),
        (
            "image_size = 32",
            "type = 'shapes', count = 1, max_objects = 4",
            "`source.max_objects`: must be 1 to 3, found 4",
        ),
        ("image_size = 32\nflip = true", "type = 'shapes', count = 1", "`flip`"),
        (
            "image_size = 32\nvalidation = 1.5",
            "type = 'shapes', count = 9",
            "`validation`: must be a share between 0 and 1",
        ),
        ("image_size = 32\nvalidation = nan", "type = 'shapes', count = 9", "`validation`"),
        ("image_size = 32\nvalidation = 0.9", "type = 'shapes', count = 1", "leaves none to train on"),
        ("image_size = 32\nvalidation = 0.1", "type = 'shapes', count = 9, validation_count = 3", "one of the two"),
        ("image_size = 32\nmax_error_rate = 1.0", "type = 'shapes', count = 1", "`max_error_rate`"),
        ("image_size = 32\nworkers = 0", "type = 'shapes', count = 1", "`workers`: must be 1 to 64"),
        ("image_size = 32\nclass_names = ['a', 'a']", "type = 'folder', train = 'x'", "`a` is listed twice"),
        ("image_size = 32", "type = 'tar', train = 'a-{0..'", "`source.train`: `a-{0..` leaves a brace open"),
        (
            "image_size = 32",
            "type = 'pairs', train = 'a', templates = 't', template = { type = 'labels', count = 0 }",
            "`source.template.count`: a label map has 1 to 256 labels, found 0",
        ),
    ] {
        let recipe = format!("{keys}\nsource = {{ {source} }}");
        let error = toml::from_str::<DataConfig>(&recipe).unwrap().open().unwrap_err().to_string();
        assert!(error.contains(part), "{recipe}: {error}");
    }
}

#[test]
fn unknown_keys_and_types_are_told() {
    for (recipe, part) in [
        ("image_size = 32\nimagesize = 3\nsource = { type = 'shapes', count = 1 }", "unknown field `imagesize`"),
        ("image_size = 32\nsource = { type = 'shape', count = 1 }", "unknown type `shape`"),
        ("image_size = 32\nsource = { type = 'shapes', count = 1, cont = 2 }", "unknown field `cont`"),
        ("image_size = 32", "missing field `source`"),
        ("source = { type = 'shapes', count = 1 }", "missing field `image_size`"),
    ] {
        let error = toml::from_str::<DataConfig>(recipe).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_configuration_survives_being_written() {
    let recipe = "image_size = 32\nsource = { type = 'tar', train = 'a.tar' }\ncrop = 'random'\ncolor = 'gray'";
    let config: DataConfig = toml::from_str(recipe).unwrap();
    let text = toml::to_string(&config).unwrap();
    assert_eq!(toml::from_str::<DataConfig>(&text).unwrap(), config, "{text}");
}
