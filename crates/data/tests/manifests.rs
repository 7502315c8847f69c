//! Tables and lists of samples as spreadsheets, pandas and `json.dumps` write them.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod fixtures;

use fixtures::{open, png, write};
use proptest::prelude::*;
use tempfile::{TempDir, tempdir};
use vqkit_data::Dataset;

const SKIP: &str = "on_error = 'skip'\nmax_error_rate = 0.9";

/// A folder of three images.
fn images() -> TempDir {
    let folder = tempdir().unwrap();
    (1..=3).for_each(|index| write(folder.path(), &format!("{index}.png"), &png(8, index)));
    folder
}

fn read(folder: &TempDir, keys: &str, name: &str, text: &[u8]) -> Result<Dataset, String> {
    write(folder.path(), name, text);
    open(folder.path(), keys, &format!("type = 'manifest'\ntrain = '{name}'")).map_err(|error| error.to_string())
}

/// Keys, names of classes or else numbers, and captions.
fn samples(data: &Dataset) -> Vec<(String, Option<String>, Option<String>)> {
    let names = data.train.class_names();
    let class = |class: u32| names.get(class as usize).cloned().unwrap_or_else(|| class.to_string());
    (0..data.train.len())
        .map(|index| data.train.get(index).unwrap())
        .map(|sample| (sample.key, sample.class.map(class), sample.caption))
        .collect()
}

#[test]
fn a_table_is_the_same_however_it_is_written() {
    let folder = images();
    let plain = read(&folder, "", "m.csv", b"image,class,caption\n1.png,3,a cat\n2.png,,\n").unwrap();
    let expected = samples(&plain);
    assert_eq!(expected[0], ("1.png".into(), Some("3".into()), Some("a cat".into())));
    assert_eq!(expected[1], ("2.png".into(), None, None));
    for (name, text) in [
        ("m.csv", "image, class, caption\n1.png, 3, a cat\n2.png, , \n"),
        ("m.csv", " image ,class ,caption\r\n1.png,3.0,a cat\r\n2.png,,\r\n"),
        ("m.csv", "\u{feff}image,class,caption\n1.png,3,a cat\n2.png,,\n"),
        ("m.csv", "\u{feff}\"image\",\"class\",\"caption\"\n\"1.png\",\"3\",\"a cat\"\n\"2.png\",\"\",\"\"\n"),
        ("m.csv", "image;class;caption\n1.png;3;a cat\n2.png;;\n"),
        ("m.CSV", "class\timage\tcaption\n3\t1.png\ta cat\n\t2.png\t\n"),
        ("m.tsv", "\u{feff}image\tclass\tcaption\n1.png\t3\ta cat\n2.png\t\t\n"),
        ("m.jsonl", "\u{feff}{\"image\": \"1.png\", \"class\": 3, \"caption\": \"a cat\"}\r\n{\"image\": \"2.png\"}"),
        (
            "m.jsonl",
            "{\"image\": \"1.png\", \"class\": 3.0, \"caption\": \"a cat \"}\n{\"image\": \"2.png\", \"class\": NaN}\n",
        ),
    ] {
        assert_eq!(samples(&read(&folder, "", name, text.as_bytes()).unwrap()), expected, "{text}");
    }
}

#[test]
fn every_cell_is_text() {
    let folder = images();
    for classes in
        [["true", "false", "true"], ["1e5", "ab", "nan"], ["3000000000000", "20230101", "x"], ["True", "no", "3.5"]]
    {
        let [a, b, c] = classes;
        let text = format!("image,class\n1.png,{a}\n2.png,{b}\n3.png,{c}\n");
        let found: Vec<_> = samples(&read(&folder, "", "m.csv", text.as_bytes()).unwrap())
            .into_iter()
            .map(|(_, class, _)| class)
            .collect();
        assert_eq!(found, classes.map(|class| Some(class.to_owned())));
    }
    let data = read(&folder, "", "m.csv", b"image,class\n1.png,0.0\n2.png,\n3.png,2.0\n").unwrap();
    assert_eq!((data.train.num_classes(), data.train.class_counts().len()), (3, 2));
}

#[test]
fn what_is_no_class_is_told_with_its_line() {
    let folder = images();
    for (name, text, parts) in [
        (
            "m.csv",
            "image,class\n1.png,2\n2.png,-1\n",
            ["m.csv: line 3: its class is -1", "a whole number from 0 on, or a name"],
        ),
        ("m.csv", "image,class\n1.png,-1.0\n", ["line 2: its class is -1.0", "leave it out where there is none"]),
        (
            "m.jsonl",
            "{\"image\": \"1.png\", \"class\": true}",
            ["m.jsonl: line 1: its field `class` is true", "or a name"],
        ),
        ("m.jsonl", "\n{\"image\": \"1.png\", \"class\": -1}", ["line 2: its field `class` is -1", "or a name"]),
        ("m.jsonl", "{\"image\": \"1.png\", \"class\": [1]}", ["is a list", "or a name"]),
        ("m.jsonl", "{\"image\": \"1.png\", \"class\": 2.5}", ["is 2.5", "or a name"]),
    ] {
        let error = read(&folder, "", name, text.as_bytes()).unwrap_err();
        assert!(parts.iter().all(|part| error.contains(part)) && !error.contains("untagged"), "{error}");
    }
    let data = read(&folder, SKIP, "m.csv", b"image,class\n1.png,0\n2.png,-1\n3.png,1\n").unwrap();
    assert_eq!((data.train.len(), data.train.rejected().len()), (2, 1));
}

#[test]
fn what_is_wrong_with_a_manifest_is_told() {
    let folder = images();
    let utf16: Vec<u8> = "\u{feff}image,class\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let swapped: Vec<u8> = "image,class\n".encode_utf16().flat_map(u16::to_be_bytes).collect();
    for (name, text, part) in [
        (
            "m.csv",
            b"file_name,label\n1.png,2\n".as_slice(),
            "no column `image`; its first line names the columns `file_name`, `label`",
        ),
        ("m.csv", b"Image,Class\n1.png,2\n", "names the columns `Image`, `Class`"),
        ("m.csv", b"image,class,class\n1.png,2,2\n", "has the column `class` twice"),
        ("m.csv", &utf16, "is UTF-16; save it as UTF-8"),
        ("m.jsonl", &utf16, "is UTF-16; save it as UTF-8"),
        ("m.csv", &swapped, "is UTF-16; save it as UTF-8"),
        ("m.csv", b"image,caption\n1.png,a,b\n", "m.csv: line 2: has 3 fields, and the first line names 2 columns"),
        ("m.csv", b"image,class,caption\n1.png\n", "line 2: has 1 fields, and the first line names 3 columns"),
        (
            "m.csv",
            b"image,caption\n1.png,caf\xe9\n",
            "line 2: its column `caption` is not UTF-8 text; save the manifest as UTF-8",
        ),
        ("m.csv", b"image,class\n,2\n", "line 2: its column `image` is empty"),
        ("m.csv", b"", "has no column `image`"),
        ("m.jsonl", b"{\"file\": \"1.png\"}\n", "line 1: has no `image`; its other fields are `file`"),
        ("m.jsonl", b"{\"image\": 3}\n", "line 1: its field `image` is 3; it must be a text"),
        (
            "m.jsonl",
            b"[\"1.png\", 3]\n",
            "line 1: is no sound JSON object: invalid type: sequence, expected an object in braces",
        ),
        ("m.jsonl", b"{\"image\": \"1.png\", \"caption\": \"caf\xe9\"}\n", "line 1: is not UTF-8 text"),
    ] {
        let error = read(&folder, "", name, text).unwrap_err();
        assert!(error.contains(part) && !error.contains("deserialize"), "{part}: {error}");
    }
}

#[test]
fn what_nobody_reads_makes_no_sample_bad() {
    let folder = images();
    let data = read(&folder, "", "m.csv", b"image,class,label,note\n1.png,2,x,caf\xe9\n2.png,1,y,z\n").unwrap();
    assert_eq!(data.train.passed_over().to_string(), "2 in the column `label`, 2 in the column `note`");
    let text =
        b"{\"image\": \"1.png\", \"score\": NaN, \"box\": [Infinity, -Infinity], \"label\": {\"class\": true}}\n";
    let data = read(&folder, "", "m.jsonl", text).unwrap();
    assert_eq!((data.train.len(), data.train.passed_over().total()), (1, 3));
}

#[test]
fn a_quote_that_is_not_closed_takes_no_rows() {
    let folder = images();
    for text in
        ["image,caption\n1.png,\"a cat\n2.png,a dog\n", "image,caption\n1.png,\"a cat\n2.png,\"a dog\"\n3.png,a cow\n"]
    {
        let error = read(&folder, "", "m.csv", text.as_bytes()).unwrap_err();
        assert!(error.contains("m.csv: line 2: a field begins with a quote that is not closed"), "{error}");
    }
    let text =
        b"image,caption\n1.png,\"a cat\nin two lines, \"\"quoted\"\"\"\n2.png,a 5\" disk\n3.png,\"Hello\" she said\n";
    let data = read(&folder, "", "m.csv", text).unwrap();
    let captions: Vec<_> = samples(&data).into_iter().filter_map(|(_, _, caption)| caption).collect();
    assert_eq!(captions, ["a cat\nin two lines, \"quoted\"", "a 5\" disk", "Hello she said"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Of as many rows as were written, as many are used or named, whatever the captions hold; or the whole is refused.
    #[test]
    fn every_row_is_used_or_named(captions in prop::collection::vec("[a\", \n;é\t]{0,8}", 1..12), quote in any::<bool>()) {
        let folder = images();
        let mut text = String::from("image,caption\n");
        for caption in &captions {
            let cell = if quote { format!("\"{}\"", caption.replace('"', "\"\"")) } else { caption.replace('\n', " ") };
            text.push_str(&format!("1.png,{cell}\n"));
        }
        let outcome = read(&folder, "on_error = 'skip'\nmax_error_rate = 0.999", "m.csv", text.as_bytes());
        match outcome {
            Ok(data) if quote => {
                let found: Vec<_> = samples(&data).into_iter().map(|(_, _, caption)| caption.unwrap_or_default()).collect();
                let wanted: Vec<_> = captions.iter().map(|caption| caption.trim().to_owned()).collect();
                prop_assert_eq!(found, wanted);
            }
            // A quote at the beginning of a field may take in the next line as far as the next quote: that is what quotes are for.
            Ok(_) if captions.iter().any(|caption| caption.split(',').any(|field| field.starts_with('"'))) => {}
            Ok(data) => prop_assert_eq!(data.train.len() + data.train.rejected().len(), captions.len()),
            Err(error) => prop_assert!(!quote && (error.contains("quote") || error.contains("bad")), "{}", error),
        }
    }

    #[test]
    fn whatever_a_manifest_holds_is_answered(text in "[a-c1.png,;\"\n\t {}:é\u{feff}\0-]{0,80}", name in "m\\.(csv|tsv|jsonl)") {
        let folder = images();
        for head in ["", "image,class\n", "{\"image\": \"1.png\"}\n"] {
            let _ = read(&folder, SKIP, &name, format!("{head}{text}").as_bytes());
        }
    }
}
