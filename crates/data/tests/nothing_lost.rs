//! What lies in a source is used, or named with the reason, or counted; nothing is lost without a word.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod fixtures;

use std::{collections::BTreeMap, ffi::OsStr, fs, io::Cursor, os::unix::ffi::OsStrExt, path::Path};

use fixtures::{archive, open, png, write};
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use proptest::prelude::*;
use tempfile::tempdir;
use vqkit_data::{Dataset, View};

const FOLDER: &str = "type = 'folder'\ntrain = 'f'";
const TAR: &str = "type = 'tar'\ntrain = 'a.tar'";
const SKIP: &str = "on_error = 'skip'\nmax_error_rate = 0.99";

fn encoded(format: ImageFormat) -> Vec<u8> {
    let mut bytes = Vec::new();
    // GIF has no grey.
    let image = DynamicImage::from(RgbImage::from_pixel(8, 8, Rgb([7, 8, 9])));
    image.write_to(&mut Cursor::new(&mut bytes), format).unwrap();
    bytes
}

fn keys(view: &View) -> Vec<String> {
    (0..view.len()).map(|index| view.get(index).unwrap().key).collect()
}

fn classes(view: &View) -> Vec<Option<u32>> {
    (0..view.len()).map(|index| view.get(index).unwrap().class).collect()
}

/// Opens an archive of these members.
fn tar(keys: &str, members: &[(&str, &[u8])]) -> Result<Dataset, String> {
    let folder = tempdir().unwrap();
    archive(&folder.path().join("a.tar"), members.iter().copied());
    open(folder.path(), keys, TAR).map_err(|error| error.to_string())
}

/// Says what was refused: the names and the reasons.
fn refused(data: &Dataset) -> String {
    data.train.rejected().iter().map(|bad| format!("{bad}\n")).collect()
}

#[test]
fn every_ending_of_an_image_is_read_and_the_content_says_what_it_is() {
    let files = [
        ("a.JPE", ImageFormat::Jpeg),
        ("b.jfif", ImageFormat::Jpeg),
        ("c.TIF", ImageFormat::Tiff),
        ("d.tiff", ImageFormat::Tiff),
        ("e.ppm", ImageFormat::Pnm),
        ("f.pgm", ImageFormat::Pnm),
        ("g.pbm", ImageFormat::Pnm),
        ("h.pnm", ImageFormat::Png),
        ("i.gif", ImageFormat::Gif),
        ("j.bmp", ImageFormat::Bmp),
        ("k.dib", ImageFormat::Bmp),
        ("l.webp", ImageFormat::Jpeg),
    ];
    let folder = tempdir().unwrap();
    let files: Vec<(&str, Vec<u8>)> = files.iter().map(|(name, format)| (*name, encoded(*format))).collect();
    files.iter().for_each(|(name, bytes)| write(folder.path(), &format!("f/{name}"), bytes));
    archive(&folder.path().join("a.tar"), files.iter().map(|(name, bytes)| (*name, bytes.as_slice())));
    for source in [FOLDER, TAR] {
        let data = open(folder.path(), "", source).unwrap();
        assert_eq!((keys(&data.train).len(), data.train.passed_over().is_empty()), (12, true));
    }
}

#[test]
fn pictures_that_are_not_read_are_named_and_other_files_are_counted() {
    let image = png(8, 1);
    let names = ["1.png", "2.avif", "3.HEIC", "notes.xml", "more.XML", "LICENSE", "5.jpg.part"];
    let folder = tempdir().unwrap();
    names.iter().for_each(|name| write(folder.path(), &format!("f/{name}"), &image));
    write(folder.path(), "f/.hidden.png", &image);
    archive(&folder.path().join("a.tar"), names.into_iter().chain(["._1.png"]).map(|name| (name, image.as_slice())));
    for source in [FOLDER, TAR] {
        let error = open(folder.path(), "", source).unwrap_err().to_string();
        assert!(error.contains("which is not read; convert it to PNG or JPEG"), "{error}");
        let data = open(folder.path(), SKIP, source).unwrap();
        let refused = refused(&data);
        assert!(refused.contains("2.avif: is AVIF") && refused.contains("3.HEIC: is HEIC"), "{refused}");
        let shown = data.train.passed_over().to_string();
        assert_eq!((data.train.len(), data.train.rejected().len()), (1, 2));
        let part = if source == TAR { ".jpg.part" } else { ".part" };
        let counts: BTreeMap<&str, usize> = data.train.passed_over().iter().collect();
        let expected = [(".xml", 2), (part, 1), ("hidden", 1), ("without an ending", 1)];
        assert_eq!(counts, BTreeMap::from(expected), "{shown}");
    }
    write(folder.path(), "f/only/notes.csv", b"");
    let error = open(folder.path(), "", "type = 'folder'\ntrain = 'f/only'").unwrap_err().to_string();
    assert!(error.contains("holds no image that can be used; passed over: 1 .csv"), "{error}");
}

#[test]
fn keys_with_dots_are_used_or_named() {
    let image = png(8, 1);
    let image = image.as_slice();
    let members =
        [("0.png", image), ("0.cls", b"1"), ("v1.0_5.png", image), ("v1.0_5.cls", b"2"), ("v1.0_6.png", image)];
    let data = tar("", &members).unwrap();
    assert_eq!(keys(&data.train), ["0", "v1.0_5", "v1.0_6"]);
    assert_eq!(classes(&data.train), [Some(1), Some(2), None]);
    let members =
        [("0.label.cls", b"3".as_slice()), ("0.image.png", image), ("1.image.png", image), ("1.label.cls", b"4")];
    let data = tar("", &members).unwrap();
    assert_eq!((keys(&data.train), classes(&data.train)), (vec!["0".into(), "1".into()], vec![Some(3), Some(4)]));
    let members = [("v1.0_5.png", image), ("v1.0_6.png", image), ("v1.0_6.cls", b"2"), ("v1.png", image)];
    let error = tar("", &members).unwrap_err();
    assert!(error.contains("v1.0_5.png: is a second image of the sample `v1`, whose image is v1.png"), "{error}");
    let data = tar(SKIP, &members).unwrap();
    assert_eq!((data.train.len(), data.train.rejected().len()), (1, 2));
    assert_eq!(data.train.passed_over().to_string(), "1 .0_6.cls");
    let error = tar("", &[("0.png", image), ("v1.0_5.cls", b"2")]).unwrap_err();
    assert!(error.contains("v1.0_5.cls: has no image beside it: of the sample `v1.0_5` there is .cls"), "{error}");
    // A field whose name is a word is no sample.
    let data = tar("", &[("0.jpg", image), ("0.seg.png", image), ("0.boxes.json", b"[")]).unwrap();
    assert_eq!(
        (keys(&data.train), data.train.passed_over().to_string()),
        (vec!["0".into()], "1 .boxes.json, 1 .seg.png".into())
    );
    // So it is behind a name with dots.
    let members = [("v1.0_5.png", image), ("v1.0_5.seg.png", image), ("v1.0_5.cls", b"2"), ("v1.0_6.1.png", image)];
    let data = tar("", &members).unwrap();
    assert_eq!(
        (keys(&data.train), classes(&data.train)),
        (vec!["v1.0_5".into(), "v1.0_6.1".into()], vec![Some(2), None])
    );
    assert_eq!(data.train.passed_over().to_string(), "1 .seg.png");
}

#[test]
fn a_second_image_is_named_with_the_first() {
    let image = png(8, 1);
    for names in [["0.jpg", "0.png"], ["0.left.png", "0.right.png"]] {
        let members = names.map(|name| (name, image.as_slice()));
        let error = tar("", &members).unwrap_err();
        let wanted = format!("{}: is a second image of the sample `0`, whose image is {}", names[1], names[0]);
        assert!(error.contains(&wanted), "{error}");
    }
}

#[test]
fn cards_of_archives_are_counted_and_lost_samples_are_named() {
    let image = png(8, 1);
    let image = image.as_slice();
    let cards = [
        ("README.txt", b"x".as_slice()),
        ("index.json", b"{"),
        ("imagenet.txt", b"x"),
        ("README.md", b"x"),
        ("d/dataset.json", b""),
    ];
    let data = tar("", &[&cards[..], &[("0001.png", image), ("0001.cls", b"1")]].concat()).unwrap();
    assert_eq!(data.train.passed_over().to_string(), "2 .json, 2 .txt, 1 .md");
    for (lost, reason) in [
        (("0002.cls", b"1".as_slice()), "0002.cls: has no image beside it: of the sample `0002` there is .cls"),
        (("d/0002.txt", b"x"), "d/0002.txt: has no image beside it"),
        (
            ("0001.json", b"{}"),
            "0001.json: stands apart from its image 0001.png; the files of a sample must follow each other",
        ),
        (("animal.cls", b"1"), "animal.cls: has no image beside it"),
    ] {
        let error = tar("", &[("0001.png", image), ("0003.png", image), lost]).unwrap_err();
        assert!(error.contains(reason), "{error}");
    }
    let error = tar("", &[("cat.png", image), ("dog.txt", b"a dog")]).unwrap_err();
    assert!(error.contains("dog.txt: has no image beside it"), "{error}");
    let error = tar("", &[("0002.npy", b"1"), ("0002.cls", b"1")]).unwrap_err();
    assert!(error.contains("0002.npy: has no image beside it: of the sample `0002` there is .npy and .cls"), "{error}");
    let error = tar("", &[("index.json", b"{}")]).unwrap_err();
    assert!(error.contains("holds no sample that can be used; passed over: 1 .json"), "{error}");
}

/// Writes an archive of headers of these kinds, each with this name and content.
fn odd_archive(path: &Path, members: &[(u8, &[u8], &[u8])]) {
    let mut tar = tar::Builder::new(fs::File::create(path).unwrap());
    for (kind, name, bytes) in members {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_entry_type(tar::EntryType::new(*kind));
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        tar.append(&header, *bytes).unwrap();
    }
    tar.finish().unwrap();
}

#[test]
fn headers_of_the_archive_itself_are_no_members() {
    let folder = tempdir().unwrap();
    let image = png(8, 1);
    let comment = b"52 comment=0123456789abcdef0123456789abcdef01234567\n";
    odd_archive(
        &folder.path().join("a.tar"),
        &[
            (b'g', b"pax_global_header", comment),
            (b'V', b"a label", b""),
            (b'0', b"1.png", &image),
            (b'2', b"latest", b""),
            (b'0', b"1.cls", b"3"),
        ],
    );
    let data = open(folder.path(), "", TAR).unwrap();
    assert_eq!(classes(&data.train), [Some(3)]);
    assert_eq!(data.train.passed_over().to_string(), "1 links or special files");
}

#[test]
fn names_that_are_not_utf8_are_named() {
    let folder = tempdir().unwrap();
    let image = png(8, 1);
    let members: [(u8, &[u8], &[u8]); 4] = [
        (b'0', b"1.png", &image),
        (b'0', b"caf\xe9.png", &image),
        (b'0', b"caf\xe8.png", &image),
        (b'0', b"caf\xe9.xml", b"x"),
    ];
    odd_archive(&folder.path().join("a.tar"), &members);
    for path in [b"caf\xe9.png".as_slice(), b"caf\xe9/1.png", b"caf\xe9.xml", b"1.png"] {
        let path = folder.path().join("f").join(OsStr::from_bytes(path));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, &image).unwrap();
    }
    for source in [FOLDER, TAR] {
        let data = open(folder.path(), SKIP, source).unwrap();
        assert_eq!((data.train.len(), data.train.rejected().len()), (1, 2));
        assert!(refused(&data).matches("has a name that is not UTF-8; rename it").count() == 2);
        assert_eq!(data.train.passed_over().to_string(), "1 .xml");
    }
}

#[test]
fn templates_that_are_lost_are_told() {
    let folder = tempdir().unwrap();
    let names = [
        "i/1.png",
        "t/1.png",
        "i/2.png",
        "t/2.png",
        "t/2.gif",
        "i/3.png",
        "t/3.avif",
        "t/4.png",
        "t/notes.md",
        "i/5.png",
    ];
    names.iter().for_each(|name| write(folder.path(), &format!("p/{name}"), &png(8, 1)));
    let source =
        "type = 'pairs'\ntrain = 'p'\nimages = 'i'\ntemplates = 't'\ntemplate = { type = 'labels', count = 3 }";
    let data = open(folder.path(), SKIP, source).unwrap();
    assert_eq!(keys(&data.train), ["1"]);
    let refused = refused(&data);
    for part in [
        "2.png: has several templates in",
        "2.gif, 2.png",
        "3.png: has a template that cannot be used",
        "AVIF",
        "5.png: has no template",
    ] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    assert_eq!(data.train.passed_over().to_string(), "1 .md, 1 templates without an image");
}

#[test]
fn captions_are_needed_where_the_recipe_says_so() {
    let folder = tempdir().unwrap();
    let image = png(8, 1);
    let members = [
        ("1.png", image.as_slice()),
        ("1.txt", b"\xef\xbb\xbf a cat"),
        ("2.png", &image),
        ("3.png", &image),
        ("3.txt", b" \n"),
        ("4.png", &image),
        ("4.txt", b""),
        ("4.json", b"{\"caption\": \"a dog\", \"score\": NaN}"),
        ("5.png", &image),
        ("5.json", b"{\"caption\": \" \"}"),
        ("6.png", &image),
        ("6.json", b"{\"caption\": NaN}"),
    ];
    archive(&folder.path().join("a.tar"), members);
    (1..=4).for_each(|index| write(folder.path(), &format!("{index}.png"), &image));
    write(folder.path(), "m.csv", b"image,caption\n1.png,a cat\n2.png,\n3.png,\"  \"\n4.png,a dog\n");
    let lines = b"{\"image\": \"1.png\", \"caption\": \"a cat\"}\n{\"image\": \"2.png\"}\n\
                  {\"image\": \"3.png\", \"caption\": \"\"}\n{\"image\": \"4.png\", \"caption\": \"a dog\"}\n";
    write(folder.path(), "m.jsonl", lines);
    for (source, lost) in
        [(TAR, 4), ("type = 'manifest'\ntrain = 'm.csv'", 2), ("type = 'manifest'\ntrain = 'm.jsonl'", 2)]
    {
        let data = open(folder.path(), "", source).unwrap();
        let captions: Vec<_> = (0..data.train.len()).map(|index| data.train.get(index).unwrap().caption).collect();
        assert_eq!(captions.iter().flatten().collect::<Vec<_>>(), ["a cat", "a dog"]);
        let error = open(folder.path(), "require_caption = true", source).unwrap_err().to_string();
        assert!(error.contains("2.png: has no caption, and this recipe conditions on text"), "{error}");
        let data = open(folder.path(), &format!("{SKIP}\nrequire_caption = true"), source).unwrap();
        assert_eq!((data.train.len(), data.train.rejected().len()), (2, lost));
        assert!((0..2).all(|index| data.train.get(index).unwrap().caption.is_some()));
    }
}

#[test]
fn templates_are_needed_where_the_recipe_says_so() {
    let folder = tempdir().unwrap();
    ["1.png", "2.png", "t.png"].iter().for_each(|name| write(folder.path(), name, &png(8, 1)));
    write(folder.path(), "m.csv", b"image,template\n1.png,t.png\n2.png,\n");
    let source = "type = 'manifest'\ntrain = 'm.csv'\ntemplate = { type = 'labels', count = 3 }";
    assert_eq!(open(folder.path(), "", source).unwrap().train.len(), 2);
    let error = open(folder.path(), "require_template = true", source).unwrap_err().to_string();
    assert!(error.contains("2.png: has no template, and this recipe conditions on templates"), "{error}");
    let data = open(folder.path(), "", "type = 'manifest'\ntrain = 'm.csv'").unwrap();
    assert_eq!(data.train.passed_over().to_string(), "2 in the column `template`");
}

#[test]
fn classes_that_have_samples_are_told() {
    let image = png(8, 1);
    let image = image.as_slice();
    let classes: [(&str, &[u8]); 4] = [("0.cls", b"0"), ("1.cls", b"7"), ("2.cls", b"999"), ("3.cls", b"7.0")];
    let images = ["0.png", "1.png", "2.png", "3.png"].map(|name| (name, image));
    let members: Vec<_> = images.into_iter().zip(classes).flat_map(|(image, class)| [image, class]).collect();
    let data = tar("", &members).unwrap();
    assert_eq!(
        (data.train.num_classes(), data.train.class_counts()),
        (1000, BTreeMap::from([(0, 1), (7, 2), (999, 1)]))
    );
    let data = tar("validation = 0.25", &members).unwrap();
    let counted = |view: &View| view.class_counts().values().sum::<usize>();
    assert_eq!((counted(&data.train), counted(&data.validation)), (3, 1));
    let error = tar("", &[("0.png", image), ("0.cls", b"-1")]).unwrap_err();
    assert!(error.contains("0.png: its class is -1; a class is a whole number from 0 on, or a name"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Every image of an archive is a sample or is named, and everything else is counted, belongs to a sample, or is named.
    #[test]
    fn no_member_is_lost(names in prop::collection::btree_set(
        "(d/)?[ab01]{1,2}(\\.[ab0]{1,2}){0,2}(\\.(png|jpg|avif|cls|txt|json|xml))?", 1..14,
    )) {
        let image = png(8, 1);
        let content = |name: &str| match name.rsplit('.').next() {
            Some("png" | "jpg" | "avif") => image.clone(),
            Some("json") => b"{}".to_vec(),
            _ => b"word".to_vec(),
        };
        let members: Vec<(&str, Vec<u8>)> = names.iter().map(|name| (name.as_str(), content(name))).collect();
        let folder = tempdir().unwrap();
        archive(&folder.path().join("a.tar"), members.iter().map(|(name, bytes)| (*name, bytes.as_slice())));
        let ends = |endings: &[&str]| names.iter().filter(|name| endings.iter().any(|end| name.ends_with(end))).count();
        match open(folder.path(), SKIP, TAR) {
            Ok(data) => {
                let (used, refused, passed) = (data.train.len(), data.train.rejected().len(), data.train.passed_over());
                let pictures = passed.iter().filter(|(kind, _)| [".png", ".jpg", ".avif"].iter().any(|end| kind.ends_with(end)));
                let pictures: usize = pictures.map(|(_, count)| count).sum();
                prop_assert!(used + refused + pictures >= ends(&[".png", ".jpg", ".avif"]), "{:?}", data.train.rejected());
                prop_assert!(used + refused + passed.total() <= names.len());
                let xml: usize = passed.iter().filter(|(kind, _)| kind.ends_with(".xml")).map(|(_, count)| count).sum();
                prop_assert!(xml <= ends(&[".xml"]));
            }
            Err(error) => prop_assert!(error.to_string().contains("a.tar") || error.to_string().contains("bad"), "{}", error),
        }
    }
}
