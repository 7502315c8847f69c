//! Sources that somebody broke, or that change while they are read: an error that names them, and never a panic.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod fixtures;

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::Path,
    thread,
};

use fixtures::{archive, open, png, write};
use proptest::prelude::*;
use tempfile::{TempDir, tempdir};
use vqkit_data::{DataConfig, Loader, LoaderConfig, Order, PictureReader, TemplateKind};

/// Of threads that read what is nested, in bytes: so little that a reader with a frame for every level shows.
const STACK: usize = 256 << 10;

fn shard(folder: &TempDir, name: &str, members: usize) -> Vec<u8> {
    let image = png(8, 5);
    let names: Vec<String> = (0..members).map(|index| format!("{index:04}.png")).collect();
    let path = folder.path().join(name);
    archive(&path, names.iter().map(|name| (name.as_str(), image.as_slice())));
    fs::read(path).unwrap()
}

/// How many samples a shard of these bytes has, or what is wrong with it.
fn samples(folder: &TempDir, bytes: &[u8]) -> Result<usize, String> {
    write(folder.path(), "it.tar", bytes);
    let data = open(folder.path(), "", "type = 'tar'\ntrain = 'it.tar'").map_err(|error| error.to_string())?;
    (0..data.train.len()).try_for_each(|i| data.train.get(i).map(drop)).map_err(|error| error.to_string())?;
    Ok(data.train.len())
}

#[test]
fn zeros_are_no_archive() {
    let folder = tempdir().unwrap();
    for len in [512, 1024, 10_240, 3 << 20] {
        let error = samples(&folder, &vec![0; len]).unwrap_err();
        assert!(error.contains("it.tar: holds nothing but") && error.contains("fetch it again"), "{error}");
    }
}

#[test]
fn padding_is_sound_and_more_than_padding_is_not() {
    let folder = tempdir().unwrap();
    let whole = shard(&folder, "whole.tar", 3);
    for padded in [whole.len().next_multiple_of(10_240), whole.len().next_multiple_of(1 << 20)] {
        let mut bytes = whole.clone();
        bytes.resize(padded, 0);
        assert_eq!(samples(&folder, &bytes), Ok(3), "{padded}");
    }
    let mut bytes = whole.clone();
    bytes.resize((3 << 20) + 512, 0);
    let error = samples(&folder, &bytes).unwrap_err();
    assert!(error.contains("zeros from byte") && error.contains("which no tar writes"), "{error}");
}

#[test]
fn archives_that_were_joined_are_told() {
    let folder = tempdir().unwrap();
    let (one, two) = (shard(&folder, "one.tar", 2), shard(&folder, "two.tar", 3));
    let error = samples(&folder, &[one.as_slice(), &two].concat()).unwrap_err();
    assert!(
        error.contains(&format!("goes on at byte {}", one.len()))
            && error.contains("joined with `cat`")
            && error.contains("tar --concatenate")
            && error.contains("{a,b}.tar"),
        "{error}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Of a shard that was overwritten with zeros, nothing is lost without a word.
    #[test]
    fn a_shard_that_was_zeroed_in_part_is_an_error(from in 0.0..1.0f64, len in 1usize..9000) {
        let folder = tempdir().unwrap();
        let whole = shard(&folder, "whole.tar", 40);
        let end = whole.len() - 1024;
        let last = whole.iter().rposition(|byte| *byte != 0).unwrap();
        let from = (from * end as f64) as usize;
        let mut bytes = whole.clone();
        bytes[from..(from + len).min(end)].fill(0);
        prop_assume!(bytes != whole);
        match samples(&folder, &bytes) {
            // Zeros up to the end of the last member cannot be told from padding.
            Ok(count) => prop_assert!(count == 40 || from + len > last, "{count} samples"),
            Err(error) => prop_assert!(error.contains("it.tar"), "{}", error),
        }
    }

    /// A shard that is cut while it is open says so for what is gone, and gives what is there.
    #[test]
    fn a_shard_that_is_cut_while_it_is_read_is_named(share in 0.0..1.0f64) {
        let folder = tempdir().unwrap();
        let whole = shard(&folder, "it.tar", 10);
        let data = open(folder.path(), "", "type = 'tar'\ntrain = 'it.tar'").unwrap();
        let path = folder.path().join("it.tar");
        OpenOptions::new().write(true).open(&path).unwrap().set_len((share * (whole.len() - 2048) as f64) as u64).unwrap();
        let errors: Vec<String> = (0..10).filter_map(|i| Some(data.train.get(i).err()?.to_string())).collect();
        prop_assert!(!errors.is_empty());
        for error in errors {
            prop_assert!(error.contains("it.tar") && error.contains("was cut while it was read"), "{}", error);
        }
    }

    #[test]
    fn whatever_is_nested_is_answered(exponent in 1.0..5.0f64) {
        let depth = 10f64.powf(exponent) as usize;
        let work = move || {
            let folder = tempdir().unwrap();
            let nested = [("[", "]"), ("{\"a\":", "}"), ("{\"class\":", "}"), ("{\"x\":[", "]}")]
                .map(|(open, close)| format!("{}1{}", open.repeat(depth), close.repeat(depth)));
            for text in nested {
                for row in [text.clone(), format!("{{\"image\": \"a.png\", \"class\": {text}}}"), format!("{{\"x\": {text}, \"image\": 1}}")] {
                    write(folder.path(), "m.jsonl", row.as_bytes());
                    let outcome = open(folder.path(), "", "type = 'manifest'\ntrain = 'm.jsonl'");
                    assert!(outcome.is_err_and(|error| error.to_string().contains("m.jsonl")));
                }
                let image = png(8, 1);
                archive(&folder.path().join("j.tar"), [("a.png", image.as_slice()), ("a.json", text.as_bytes())]);
                let _ = open(folder.path(), "", "type = 'tar'\ntrain = 'j.tar'");
            }
            let braces = ["{a}", "{", "}", "{a,b}", "{0..9}"].map(|part| part.repeat(depth));
            for pattern in braces {
                let error = open(folder.path(), "", &format!("type = 'tar'\ntrain = '{pattern}'")).unwrap_err().to_string();
                assert!(error.len() < 400, "{error}");
            }
        };
        thread::Builder::new().stack_size(STACK).spawn(work).unwrap().join().unwrap();
    }
}

#[test]
fn a_member_name_without_end_is_refused() {
    let folder = tempdir().unwrap();
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::GNULongName);
    header.set_size(3 << 20);
    tar.append_data(&mut header, "././@LongLink", vec![b'x'; 3 << 20].as_slice()).unwrap();
    let error = samples(&folder, &tar.into_inner().unwrap()).unwrap_err();
    assert!(error.contains("bytes of headers"), "{error}");
}

#[test]
fn deep_folders_and_links_in_circles_are_refused() {
    use std::os::unix::fs::symlink;
    let folder = tempdir().unwrap();
    let root = folder.path();
    for (from, to) in [("loop/one", "."), ("loop/two", "."), ("loop/a/up", "..")] {
        fs::create_dir_all(root.join(from).parent().unwrap()).unwrap();
        symlink(to, root.join(from)).unwrap();
    }
    let deep = root.join("deep").join(vec!["d"; 800].join("/"));
    fs::create_dir_all(&deep).unwrap();
    let work = {
        let root = root.to_owned();
        move || {
            ["loop", "deep"]
                .map(|name| open(&root, "", &format!("type = 'folder'\ntrain = '{name}'")).unwrap_err().to_string())
        }
    };
    let [circle, deep] = thread::Builder::new().stack_size(STACK).spawn(work).unwrap().join().unwrap();
    assert!(circle.contains("is a link that leads in a circle, back to") && !circle.contains("deep"), "{circle}");
    assert!(deep.contains("more than 32 folders deep"), "{deep}");
}

#[test]
fn what_is_no_picture_file_is_named() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt, os::unix::fs::symlink, os::unix::net::UnixListener};
    let folder = tempdir().unwrap();
    let root = folder.path();
    fs::create_dir_all(root.join("socket")).unwrap();
    let _listener = UnixListener::bind(root.join("socket/a.png")).unwrap();
    for (name, to) in [("zero/a.png", "/dev/zero"), ("gone/a.png", "nowhere.png")] {
        fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
        symlink(to, root.join(name)).unwrap();
    }
    write(root, "name/a.png", &png(8, 1));
    fs::write(root.join("name").join(OsStr::from_bytes(b"\xff.png")), png(8, 1)).unwrap();
    for (name, part) in [
        ("socket", "a.png: is not a file"),
        ("zero", "a.png: is not a file"),
        ("gone", "a.png: No such file"),
        ("name", "is not UTF-8"),
    ] {
        let error = open(root, "", &format!("type = 'folder'\ntrain = '{name}'")).unwrap_err().to_string();
        assert!(error.contains(part), "{name}: {error}");
    }
    for source in ["type = 'tar'\ntrain = '/dev/zero'", "type = 'manifest'\ntrain = '/dev/zero'"] {
        let error = open(root, "", source).unwrap_err().to_string();
        assert_eq!(error, "/dev/zero: is a device, not a plain file");
    }
}

#[test]
fn what_goes_away_between_listing_and_reading_is_named() {
    let folder = tempdir().unwrap();
    for name in ["a/1.png", "a/2.png", "p/i/1.png", "p/t/1.png"] {
        write(folder.path(), name, &png(8, 1));
    }
    let pairs = "type = 'pairs'\ntrain = 'p'\nimages = 'i'\ntemplates = 't'\ntemplate = { type = 'labels', count = 3 }";
    let (data, pairs) =
        (open(folder.path(), "", "type = 'folder'\ntrain = 'a'").unwrap(), open(folder.path(), "", pairs).unwrap());
    fs::remove_file(folder.path().join("a/1.png")).unwrap();
    fs::create_dir(folder.path().join("a/1.png")).unwrap();
    fs::remove_file(folder.path().join("a/2.png")).unwrap();
    fs::remove_file(folder.path().join("p/t/1.png")).unwrap();
    for (view, index, parts) in [
        (&data.train, 0, ["1.png", "is a folder, not a plain file"]),
        (&data.train, 1, ["2.png", "No such file"]),
        (&pairs.train, 0, ["t/1.png", "No such file"]),
    ] {
        let error = view.get(index).unwrap_err().to_string();
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    }
    fs::remove_dir_all(folder.path().join("a")).unwrap();
    let error = open(folder.path(), "", "type = 'folder'\ntrain = 'a'").unwrap_err().to_string();
    assert!(error.contains("cannot read"), "{error}");
}

#[test]
fn a_manifest_without_line_ends_is_refused() {
    let folder = tempdir().unwrap();
    for name in ["m.csv", "m.tsv", "m.jsonl"] {
        write(folder.path(), name, "x".repeat(3 << 20).as_bytes());
        let error = open(folder.path(), "", &format!("type = 'manifest'\ntrain = '{name}'")).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("a line has more than"), "{error:.300}");
    }
}

/// A PNG of one grey, `side` pixels wide and high.
fn square(side: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let image = image::GrayImage::new(side, side);
    image.write_to(&mut std::io::Cursor::new(&mut bytes), image::ImageFormat::Png).unwrap();
    bytes
}

#[test]
fn one_bound_holds_for_pictures_from_anywhere() {
    let folder = tempdir().unwrap();
    let large = square(1000);
    for name in ["f/a.png", "p/i/a.png", "p/t/a.png"] {
        write(folder.path(), name, &large);
    }
    archive(&folder.path().join("t.tar"), [("a.png", large.as_slice())]);
    write(folder.path(), "m.csv", b"image\nf/a.png\n");
    let pairs = "type = 'pairs'\ntrain = 'p'\nimages = 'i'\ntemplates = 't'\ntemplate = { type = 'labels', count = 3 }";
    for (source, enough) in [
        ("type = 'folder'\ntrain = 'f'", 6),
        ("type = 'tar'\ntrain = 't.tar'", 6),
        ("type = 'manifest'\ntrain = 'm.csv'", 6),
        (pairs, 12),
    ] {
        for (megabytes, passes) in [(1, false), (enough - 2, false), (enough, true)] {
            let data = open(folder.path(), &format!("max_decoded_mb = {megabytes}"), source).unwrap();
            match data.train.get(0) {
                Ok(sample) => assert!(passes && sample.image.width() == 1000, "{source} {megabytes}"),
                Err(error) => {
                    let error = error.to_string();
                    assert!(
                        !passes && error.contains("a.png") && error.contains("raise data.max_decoded_mb"),
                        "{error}"
                    );
                }
            }
        }
    }
    let config: DataConfig =
        toml::from_str("image_size = 8\nmax_decoded_mb = 2\nsource = { type = 'folder', train = 'f' }").unwrap();
    let (reader, path) = (config.reader(), folder.path().join("f/a.png"));
    let kind: TemplateKind = toml::from_str("type = 'labels'\ncount = 2").unwrap();
    for outcome in [reader.read(&path), reader.read_template(&path, &kind)] {
        assert!(outcome.unwrap_err().to_string().contains("raise data.max_decoded_mb"));
    }
    assert_eq!(PictureReader::default().read(&path).unwrap().width(), 1000);
}

#[test]
fn a_file_that_is_too_large_is_refused_by_its_size() {
    let folder = tempdir().unwrap();
    write(folder.path(), "f/a.png", &png(8, 1));
    OpenOptions::new().append(true).open(folder.path().join("f/a.png")).unwrap().set_len((2 << 20) + 1).unwrap();
    let error = open(folder.path(), "max_file_mb = 2", "type = 'folder'\ntrain = 'f'").unwrap_err().to_string();
    assert!(error.contains("a.png: has 2097153 bytes") && error.contains("raise data.max_file_mb"), "{error}");
    assert!(open(folder.path(), "max_file_mb = 3", "type = 'folder'\ntrain = 'f'").unwrap().train.get(0).is_ok());
    for (key, part) in [
        ("max_file_mb = 0", "`max_file_mb`: must be 1 to"),
        ("max_decoded_mb = 9999999", "`max_decoded_mb`: must be 1 to"),
    ] {
        assert!(open(folder.path(), key, "type = 'folder'\ntrain = 'f'").unwrap_err().to_string().contains(part));
    }
}

/// Many threads and room for one picture at a time: all get their turn, and batches are the same.
#[test]
fn threads_that_wait_for_memory_all_get_their_turn() {
    let folder = tempdir().unwrap();
    for index in 0..12 {
        for name in ["i", "t"] {
            write(folder.path(), &format!("p/{name}/{index}.png"), &square(400 + index));
        }
    }
    let batches = |megabytes: u32, workers: usize| {
        let source =
            "type = 'pairs'\ntrain = 'p'\nimages = 'i'\ntemplates = 't'\ntemplate = { type = 'labels', count = 3 }";
        let data = open(folder.path(), &format!("max_decoded_mb = {megabytes}"), source).unwrap();
        let config =
            LoaderConfig { batch_size: 5, workers: Some(workers), order: Order::Sequential, ..LoaderConfig::default() };
        // Who holds one picture does not wait for another.
        let held = data.train.hold(0).unwrap();
        let second = data.train.hold(1).unwrap();
        assert_eq!((held.image.width(), second.image.width()), (400, 401));
        drop((held, second));
        Loader::new(&data.train, config).unwrap().collect::<Result<Vec<_>, _>>().unwrap()
    };
    assert_eq!(batches(3, 16), batches(1024, 1));
}

#[test]
fn counts_have_limits_before_anything_is_started() {
    let config: DataConfig = toml::from_str("image_size = 32\nsource = { type = 'shapes', count = 100 }").unwrap();
    let data = config.open().unwrap();
    let some = LoaderConfig::default();
    for (config, part) in [
        (LoaderConfig { workers: Some(100_000), ..some.clone() }, "`workers`: must be 1 to 64, found 100000"),
        (LoaderConfig { workers: Some(0), ..some.clone() }, "`workers`: must be 1 to 64, found 0"),
        (LoaderConfig { prefetch: Some(1 << 62), ..some.clone() }, "`prefetch`: must be 1 to 64"),
        (LoaderConfig { batch_size: usize::MAX, ..some.clone() }, "`batch_size`: must be 1 to 1048576"),
        (LoaderConfig { batch_size: 0, ..some.clone() }, "`batch_size`: must be 1 to"),
        (LoaderConfig { world: usize::MAX, ..some.clone() }, "`world`: must be 1 to"),
        (LoaderConfig { start: u64::MAX, ..some.clone() }, "`start`: must be 0 to"),
    ] {
        let error = Loader::new(&data.train, config).err().unwrap().to_string();
        assert!(error.contains(part), "{error}");
    }
    let last = LoaderConfig { start: 1 << 62, world: 1 << 16, rank: (1 << 16) - 1, ..some };
    assert_eq!(Loader::new(&data.train, last).unwrap().next().unwrap().unwrap().shape[0], 1);
    for keys in [
        "image_size = 2147483648",
        "image_size = 32\nworkers = 100000",
        "image_size = 32\nprefetch = 4611686018427387904",
    ] {
        let recipe = format!("{keys}\nsource = {{ type = 'shapes', count = 9 }}");
        let error = toml::from_str::<DataConfig>(&recipe).unwrap().open().unwrap_err().to_string();
        assert!(error.contains("must be 1 to"), "{error}");
    }
    for count in ["18446744073709551615", "9223372036854775807", "-1", "4294967296"] {
        let recipe = format!("image_size = 32\nsource = {{ type = 'shapes', count = {count} }}");
        assert!(toml::from_str::<DataConfig>(&recipe).is_err());
    }
}

/// A PNG of so many pixels a side, 8 bytes each, that are all 0.
fn black(path: &Path, side: u32) {
    let mut encoder = ::png::Encoder::new(fs::File::create(path).unwrap(), side, side);
    encoder.set_color(::png::ColorType::Rgba);
    encoder.set_depth(::png::BitDepth::Sixteen);
    encoder.set_compression(::png::Compression::Fast);
    let mut writer = encoder.write_header().unwrap();
    let mut stream = writer.stream_writer().unwrap();
    let row = vec![0; side as usize * 8];
    (0..side).for_each(|_| stream.write_all(&row).unwrap());
    stream.finish().unwrap();
}

#[test]
fn a_large_picture_of_few_bytes_is_decoded_within_its_bound() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("8192.png");
    black(&path, 8192);
    assert!(fs::metadata(&path).unwrap().len() < 16 << 20, "and 512 MiB decoded");
    let config: DataConfig =
        toml::from_str("image_size = 8\nmax_decoded_mb = 256\nsource = { type = 'folder', train = 'f' }").unwrap();
    let error = config.reader().read(&path).unwrap_err().to_string();
    assert!(error.contains("8192x8192") && error.contains("raise data.max_decoded_mb"), "{error}");
}
