//! Any verb, whatever becomes of the streams that it writes to: no panic, no signal, and work that was asked for is done.

use std::{
    fs::{File, OpenOptions},
    path::Path,
    process::{Command, ExitStatus, Stdio},
};

use crate::vqkit::{SMALL, recipe, shared_run, text, vqkit};

/// A stream of the kind that fails.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Broken {
    /// A pipe whose reader is gone.
    Closed,
    /// A disk that is full.
    Full,
}

impl Broken {
    fn stream(self) -> Stdio {
        match self {
            Self::Full => OpenOptions::new().write(true).open("/dev/full").expect("Linux has it").into(),
            Self::Closed => {
                let (reader, writer) = std::io::pipe().expect("a pipe");
                drop(reader);
                writer.into()
            }
        }
    }
}

/// Calls of every verb that end well, each with the folder that it writes.
fn calls(folder: &Path) -> Vec<(Vec<String>, Option<String>)> {
    let run = text(shared_run()).to_owned();
    let images = format!("{run}/samples");
    let at = |name: &str| text(&folder.join(name)).to_owned();
    let call = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let picture = format!("{images}/000000.png");
    vec![
        (call(&["--help"]), None),
        (call(&["--version"]), None),
        (call(&["sample", "--help"]), None),
        (call(&["train", &recipe(folder, SMALL), "--run", &run, "--resume"]), None),
        (call(&["sample", &run, "-n", "1", "-o", &at("sample")]), Some(at("sample/000000.png"))),
        (
            call(&["complete", &run, &picture, "--keep", "top=0.5", "-n", "1", "-o", &at("complete")]),
            Some(at("complete/000000.png")),
        ),
        (call(&["tokenize", &run, &images, "-o", &at("tokens")]), Some(at("tokens/train-00000.safetensors"))),
        (call(&["reconstruct", &run, &images, "-o", &at("pairs")]), Some(at("pairs/000000.png.png"))),
        (call(&["inspect", &run]), None),
        (call(&["inspect", &run, "--json"]), None),
        (call(&["inspect", &images]), None),
        (call(&["evaluate", "--real", &images, "--fake", &images, "--features", "vgg-cifar10"]), None),
    ]
}

fn status(mut command: Command, streams: [Option<Broken>; 2], log: &Path) -> ExitStatus {
    let stream =
        |broken: Option<Broken>| broken.map_or_else(|| File::create(log).expect("writable").into(), Broken::stream);
    let [out, err] = streams.map(stream);
    command.stdin(Stdio::null()).stdout(out).stderr(err).status().expect("the binary starts")
}

#[test]
fn any_verb_survives_any_failing_stream() {
    for streams in [
        [Some(Broken::Closed), None],
        [Some(Broken::Full), None],
        [None, Some(Broken::Closed)],
        [None, Some(Broken::Full)],
        [Some(Broken::Closed), Some(Broken::Closed)],
    ] {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        for (call, output) in calls(folder.path()) {
            let words: Vec<&str> = call.iter().map(String::as_str).collect();
            let code = status(vqkit(&words), streams, &log).code();
            // Only what cannot be printed, to a reader that is there, is an error.
            let wanted = if streams[0] == Some(Broken::Full) { 1 } else { 0 };
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            assert_eq!(code, Some(wanted), "{call:?} with {streams:?}: {said}");
            assert!(!said.contains("panicked"), "{call:?}: {said}");
            if let Some(output) = output {
                assert!(Path::new(&output).is_file(), "{call:?} with {streams:?} made no {output}");
            }
        }
    }
}

#[test]
fn a_wrong_call_is_code_2_even_if_nobody_hears_why() {
    for broken in [Broken::Closed, Broken::Full] {
        let folder = tempfile::tempdir().unwrap();
        for words in [&["sample"][..], &["sample", "nowhere"], &["train", "nowhere.toml"], &["nonsense"]] {
            let code = status(vqkit(words), [None, Some(broken)], &folder.path().join("log")).code();
            let wanted = if words == ["sample", "nowhere"] { 1 } else { 2 };
            assert_eq!(code, Some(wanted), "{words:?}");
        }
    }
}

#[test]
fn a_training_whose_reader_goes_away_is_finished() {
    let folder = tempfile::tempdir().unwrap();
    let (recipe, run) = (recipe(folder.path(), SMALL), folder.path().join("run"));
    let streams = [Some(Broken::Closed), Some(Broken::Closed)];
    let status = status(vqkit(&["train", &recipe, "--run", text(&run)]), streams, &folder.path().join("log"));
    assert_eq!(status.code(), Some(0));
    crate::vqkit::assert_same(shared_run(), &run);
}
