//! What is the user's stays the user's: folders that stand where something is to be written, links, names taken by two at once.

use std::{
    fs,
    os::unix::{ffi::OsStringExt, fs::symlink},
    path::{Path, PathBuf},
    process::Stdio,
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::{
    processes::{interrupt, kill, send, start, wait_for},
    vqkit::{SMALL, fail, recipe, shared_run, stderr, succeed, text, vqkit},
};

/// A folder with something precious in it.
fn precious(path: &Path) {
    fs::create_dir_all(path).unwrap();
    fs::write(path.join("mine"), "precious").unwrap();
}

fn is_untouched(path: &Path) -> bool {
    fs::read_to_string(path.join("mine")).is_ok_and(|text| text == "precious")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Every verb with a place for what it writes.
fn writers(out: &str) -> Vec<Vec<String>> {
    let run = text(shared_run());
    let images = format!("{run}/samples");
    let picture = format!("{images}/000000.png");
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    vec![
        owned(&["sample", run, "-n", "1", "-o", out]),
        owned(&["complete", run, &picture, "--keep", "top=0.5", "-n", "1", "-o", out]),
        owned(&["tokenize", run, &images, "-o", out]),
        owned(&["reconstruct", run, &images, "-o", out]),
        owned(&["compare", run, "--data", &images, "-o", out]),
        owned(&["inspect", run, "-o", out]),
        owned(&["evaluate", run, "-o", out]),
        owned(&[
            "evaluate",
            "--real",
            &images,
            "--fake",
            &images,
            "--features",
            "vgg-cifar10",
            "--save-statistics",
            out,
        ]),
    ]
}

#[test]
fn no_verb_writes_over_anything_or_through_a_link_or_into_a_parent() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    precious(&at("there"));
    fs::write(at("file"), "precious").unwrap();
    symlink(at("nowhere"), at("dangling")).unwrap();
    symlink(at("there"), at("link")).unwrap();
    let before = names(folder.path());
    for place in ["there", "file", "dangling", "link", "new/..", "there/..", ".."] {
        for call in writers(text(&at(place))) {
            let words: Vec<&str> = call.iter().map(String::as_str).collect();
            fail(&words, &[2]);
            assert_eq!(names(folder.path()), before, "{call:?}");
            assert!(is_untouched(&at("there")) && at("dangling").is_symlink(), "{call:?}");
        }
    }
    let recipe_folder = tempfile::tempdir().unwrap();
    let recipe = recipe(recipe_folder.path(), SMALL);
    for place in ["there", "file", "dangling", "link", "new/.."] {
        fail(&["train", &recipe, "--run", text(&at(place))], &[2]);
        assert_eq!(names(folder.path()), before, "--run {place}");
        assert!(is_untouched(&at("there")));
    }
}

#[test]
fn a_folder_of_the_users_that_sounds_like_ours_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    precious(&folder.path().join(".writing-out"));
    succeed(&["sample", text(shared_run()), "-n", "1", "-o", text(&folder.path().join("out"))]);
    assert!(is_untouched(&folder.path().join(".writing-out")));
    assert_eq!(names(folder.path()), [".writing-out", "out"]);
}

#[test]
fn a_folder_made_meanwhile_stays_and_so_do_the_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let mut command = vqkit(&["sample", text(shared_run()), "-n", "400", "--batch-size", "1", "-o", text(&out)]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for(&folder.path().join(".writing-out"), &mut child);
    send("STOP", &child);
    precious(&out);
    send("CONT", &child);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("out-2"), "{}", stderr(&output));
    assert_eq!(names(folder.path()), ["out", "out-2"]);
    assert!(is_untouched(&out) && folder.path().join("out-2/000399.png").is_file());
}

/// A copy of a run that a test may change.
fn copied(run: &Path, to: &Path) -> PathBuf {
    let status = std::process::Command::new("cp").arg("-a").args([run, to]).status().unwrap();
    assert!(status.success());
    to.to_owned()
}

#[test]
fn many_calls_at_once_lose_no_picture() {
    let folder = tempfile::tempdir().unwrap();
    let run = copied(shared_run(), &folder.path().join("run"));
    let seeds = 1..=4;
    let start = |seed: u64| {
        let mut command = vqkit(&["sample", text(&run), "-n", "12", "--seed", &seed.to_string()]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let children: Vec<_> = seeds.clone().map(start).collect();
    assert!(children.into_iter().all(|mut child| child.wait().unwrap().success()));
    let mut found = Vec::new();
    for number in seeds.clone() {
        let samples = run.join(format!("samples-{number}"));
        let record: Value = serde_json::from_slice(&fs::read(samples.join("samples.json")).unwrap()).unwrap();
        assert_eq!(record["samples"].as_array().unwrap().len(), 12);
        assert_eq!(names(&samples).iter().filter(|name| name.starts_with('0')).count(), 12);
        found.push(record["sampling"]["seed"].as_u64().unwrap());
    }
    found.sort_unstable();
    assert!(found.into_iter().eq(seeds));
}

#[test]
fn what_the_dead_left_is_swept_and_what_the_living_write_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let run = copied(shared_run(), &folder.path().join("run"));
    let start = || {
        let mut command = vqkit(&["sample", text(&run), "-n", "100000", "--batch-size", "1"]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let mut dead = start();
    wait_for(&run.join(".writing-samples/000000.png"), &mut dead);
    kill(dead);
    // Until it is swept away, this stands there.
    let of_dead = run.join(".writing-samples/of-the-dead");
    fs::write(&of_dead, "").unwrap();
    let mut living = start();
    while of_dead.exists() {
        assert!(living.try_wait().unwrap().is_none());
        thread::sleep(Duration::from_millis(2));
    }
    wait_for(&run.join(".writing-samples/000000.png"), &mut living);
    succeed(&["sample", text(&run), "-n", "1"]);
    assert!(run.join(".writing-samples/000000.png").is_file(), "the living one goes on");
    interrupt(&living);
    assert_eq!(living.wait().unwrap().code(), Some(130));
    assert!(names(&run).iter().all(|name| !name.starts_with(".writing")), "{:?}", names(&run));
}

#[test]
fn nothing_is_written_through_a_link_inside_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let (recipe, half) = (recipe(folder.path(), SMALL), folder.path().join("half"));
    let mut child = start(&recipe, &half, &[]);
    wait_for(&half.join("tokenizer/checkpoint-0000010"), &mut child);
    kill(child);
    let events = "events.out.tfevents.0.vqkit";
    for name in [".lock", "log.jsonl", events, "tokenizer", "tokens", "prior", "samples", "report"] {
        let home = folder.path().join(format!("home-{name}"));
        precious(&home);
        let run = copied(&half, &home.join("run"));
        let planted = run.join(name);
        let is_file = planted.is_file() || name == ".lock";
        let _ = if planted.is_dir() { fs::remove_dir_all(&planted) } else { fs::remove_file(&planted) };
        let target = if is_file { home.join("mine") } else { home.join("theirs") };
        if !is_file {
            precious(&target);
        }
        symlink(&target, &planted).unwrap();
        let output = vqkit(&["train", &recipe, "--run", text(&run), "--resume"]).output().unwrap();
        assert!(is_untouched(&home), "{name}");
        assert!(is_file || names(&target) == ["mine"], "{name}: {:?}", names(&target));
        // A folder that is made whole and moved into place takes the place of the link.
        let replaces = ["tokens", "samples", "report"].contains(&name);
        assert_eq!(output.status.code(), Some(if replaces { 0 } else { 1 }), "{name}: {}", stderr(&output));
        assert!(replaces || stderr(&output).contains("symbolic link"), "{name}: {}", stderr(&output));
    }
}

#[test]
fn a_run_that_is_moved_or_removed_while_it_trains_stops_and_is_not_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe(folder.path(), SMALL);
    let long = ["--set", "tokenizer.train.steps=100000", "--set", "tokenizer.train.checkpoint_every=100000"];
    for removes in [false, true] {
        let run = folder.path().join(format!("run-{removes}"));
        let mut child = start(&recipe, &run, &long);
        wait_for(&run.join("tokenizer/checkpoint-0000020"), &mut child);
        let elsewhere = folder.path().join("elsewhere");
        fs::rename(&run, &elsewhere).unwrap();
        if removes {
            let _ = fs::remove_dir_all(&elsewhere);
        }
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        assert!(stderr(&output).contains("moved or removed"), "{}", stderr(&output));
        assert!(!run.exists());
        let _ = fs::remove_dir_all(&elsewhere);
    }
}

#[test]
fn a_last_checkpoint_that_is_missing_is_no_fresh_start() {
    let folder = tempfile::tempdir().unwrap();
    let (recipe, run) = (recipe(folder.path(), SMALL), folder.path().join("run"));
    let mut child = start(&recipe, &run, &[]);
    wait_for(&run.join("tokenizer/checkpoint-0000015"), &mut child);
    kill(child);
    let stage = run.join("tokenizer");
    let last = fs::read_link(stage.join("last")).unwrap();
    fs::rename(stage.join(&last), folder.path().join("aside")).unwrap();
    let message = fail(&["train", &recipe, "--run", text(&run), "--resume"], &[1]);
    assert!(message.contains(text(&last)) && message.contains("ln -sfn"), "{message}");
    fs::rename(folder.path().join("aside"), stage.join(&last)).unwrap();
    succeed(&["train", &recipe, "--run", text(&run), "--resume"]);
    crate::vqkit::assert_same(shared_run(), &run);
}

#[test]
fn other_data_is_noticed_on_resume() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    fs::create_dir(&images).unwrap();
    let sample = |number: usize| shared_run().join(format!("samples/{:06}.png", number % 9));
    for number in 0..20 {
        fs::copy(sample(number), images.join(format!("{number}.png"))).unwrap();
    }
    let source = format!("type = \"folder\"\ntrain = \"{}\"", text(&images));
    let of_folder = SMALL
        .replace("type = \"shapes\"\ncount = 96\nvalidation_count = 32\nmax_objects = 1", &source)
        .replace("image_size = 24", "image_size = 24\nvalidation = 0.2")
        .replace("class = true", "class = false");
    let (recipe, run) = (recipe(folder.path(), &of_folder), folder.path().join("run"));
    let call = ["train", &recipe, "--run", text(&run), "--stage", "tokenizer", "--resume"];
    succeed(&call);
    succeed(&call);
    let record: Value = serde_json::from_slice(&fs::read(run.join("run.json")).unwrap()).unwrap();
    assert_eq!(
        (&record["data"]["train"]["samples"], &record["data"]["validation"]["samples"]),
        (&16.into(), &4.into())
    );
    fs::rename(images.join("3.png"), folder.path().join("3.png")).unwrap();
    assert!(fail(&call, &[1]).contains("16 training samples then, 15 now"));
    fs::copy(sample(5), images.join("other.png")).unwrap();
    assert!(fail(&call, &[1]).contains("names, sizes or labels"));
    fs::remove_file(images.join("other.png")).unwrap();
    fs::rename(folder.path().join("3.png"), images.join("3.png")).unwrap();
    succeed(&call);
}

#[test]
fn pictures_of_keys_that_sound_alike_all_stay() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    for (number, name) in ["a/b_c.png", "a_b/c.png", "A/b_c.png", "a/b.png", "a/b.jpg"].into_iter().enumerate() {
        let path = images.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(shared_run().join(format!("samples/{number:06}.png")), path).unwrap();
    }
    let out = folder.path().join("out");
    let said = succeed(&["reconstruct", text(shared_run()), text(&images), "-o", text(&out)]);
    assert!(said.starts_with("5 images"), "{said}");
    assert_eq!(names(&out).len(), 5, "{:?}", names(&out));
}

#[test]
fn names_that_are_no_utf8_are_names_like_others() {
    let folder = tempfile::tempdir().unwrap();
    let name = std::ffi::OsString::from_vec(b"r\xff".to_vec());
    let (recipe, run) = (recipe(folder.path(), SMALL), folder.path().join(name));
    let few = ["--stage", "tokenizer", "--set", "tokenizer.train.steps=1"];
    let output = vqkit(&[&["train", &recipe], &few[..]].concat()).arg("--run").arg(&run).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(run.join("tokenizer/last/model.safetensors").is_file());
    let output = vqkit(&["inspect"]).arg(&run).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let images = run.join("images");
    fs::create_dir(&images).unwrap();
    fs::copy(shared_run().join("samples/000000.png"), images.join("0.png")).unwrap();
    let output =
        vqkit(&["tokenize", text(shared_run())]).arg(&images).args(["-o", text(&folder.path().join("out"))]).output();
    assert!(output.as_ref().unwrap().status.success(), "{}", stderr(&output.unwrap()));
}

#[test]
fn the_systems_reason_is_said_once() {
    let folder = tempfile::tempdir().unwrap();
    let inside_a_file = format!("{}/recipe.toml", recipe(folder.path(), SMALL));
    let message = fail(&["train", &inside_a_file], &[1]);
    assert_eq!(message.matches("os error").count(), 1, "{message}");
}
