//! Any verb, any signal that asks to leave, at any moment: code 130, soon, with nothing half-made behind.

use std::{
    fs,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{
    processes::{PATIENCE, handles, send, wait_for},
    vqkit::{SMALL, recipe, shared_run, succeed, text, train_small, vqkit},
};

const SIGNALS: [(&str, i32); 3] = [("INT", 2), ("TERM", 15), ("HUP", 1)];

/// The end of a process that was asked to leave.
fn ended(mut child: Child, what: &str) -> ExitStatus {
    let patience = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().expect("a child") {
            return status;
        }
        if Instant::now() > patience {
            let _ = child.kill();
            panic!("{what} does not leave");
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn spawn(words: &[&str]) -> Child {
    let mut command = vqkit(words);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary starts")
}

/// The entries of a folder that hold something half-made.
fn leftovers(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with('.') && name != ".lock").collect()
}

/// Many small pictures, which take every verb a long time.
fn many_images(folder: &Path) -> String {
    let images = folder.join("images");
    fs::create_dir(&images).unwrap();
    for index in 0..4000 {
        let sample = shared_run().join(format!("samples/{:06}.png", index % 9));
        fs::hard_link(&sample, images.join(format!("{index:05}.png"))).unwrap_or_else(|_| {
            fs::copy(&sample, images.join(format!("{index:05}.png"))).unwrap();
        });
    }
    text(&images).to_owned()
}

/// Waits until a call shows that it works: by what it writes, or else for a moment.
fn wait_for_work(out: &Path, has_out: bool, child: &mut Child) {
    match has_out {
        true => wait_for(&out.with_file_name(".writing-out"), child),
        false => thread::sleep(Duration::from_millis(900)),
    }
}

#[test]
fn any_verb_leaves_at_any_signal_with_130_and_nothing_half_made() {
    let folder = tempfile::tempdir().unwrap();
    let run = train_small(folder.path());
    let (run, images) = (text(&run), many_images(folder.path()));
    let picture = format!("{images}/00000.png");
    let long = ["-n", "100000", "--batch-size", "5000", "-o", "OUT"];
    let sets = ["--real", &images, "--fake", &images, "--features", "vgg-cifar10"];
    // Those that write take far longer than a signal does; the others may be done before it comes.
    let calls: [&[&str]; 8] = [
        &[&["sample", run], &long[..]].concat(),
        &[&["complete", run, &picture, "--keep", "top=0.5"], &long[..]].concat(),
        &["reconstruct", run, &images, "-o", "OUT"],
        &["tokenize", run, &images, "-o", "OUT"],
        &["compare", run, run, "--data", &images],
        &[&["evaluate"], &sets[..]].concat(),
        &["evaluate", run],
        &["inspect", &images],
    ];
    for (index, call) in calls.iter().enumerate() {
        for (turn, (signal, number)) in SIGNALS.iter().enumerate() {
            let home = folder.path().join(format!("{index}-{signal}"));
            fs::create_dir(&home).unwrap();
            let (out, has_out) = (home.join("out"), call.contains(&"OUT"));
            let words: Vec<&str> = call.iter().map(|word| if *word == "OUT" { text(&out) } else { word }).collect();
            let mut child = spawn(&words);
            wait_for_work(&out, has_out, &mut child);
            thread::sleep(Duration::from_millis(40 * turn as u64));
            let is_ready = handles(*number, &child);
            send(signal, &child);
            let status = ended(child, call[0]);
            let is_long = index < 3;
            let wanted: &[i32] = if is_long { &[130] } else { &[130, 0] };
            // Beside much other load it may not have begun.
            let is_early = !is_ready && status.signal() == Some(*number);
            assert!(
                is_early || status.code().is_some_and(|code| wanted.contains(&code)),
                "{call:?} at {signal}: {status}"
            );
            assert_eq!(out.exists(), has_out && status.success(), "{call:?} at {signal}: {status}");
            assert_eq!(leftovers(&home), Vec::<String>::new(), "{call:?} at {signal}");
        }
    }
    assert_eq!(leftovers(Path::new(run)), Vec::<String>::new());
}

#[test]
fn a_second_signal_does_not_wait_for_the_step() {
    let folder = tempfile::tempdir().unwrap();
    let (recipe, run) = (recipe(folder.path(), SMALL), folder.path().join("run"));
    // A step of a minute: the first signal waits for its end, the second does not.
    let large = ["--set", "tokenizer.channels=256", "--set", "tokenizer.train.batch_size=1536"];
    let call = [&["train", &recipe, "--run", text(&run), "--stage", "tokenizer"], &large[..]].concat();
    let mut child = spawn(&call);
    wait_for(&run.join("log.jsonl"), &mut child);
    thread::sleep(Duration::from_millis(300));
    send("INT", &child);
    thread::sleep(Duration::from_millis(1500));
    assert!(child.try_wait().unwrap().is_none(), "a step is finished first");
    send("INT", &child);
    assert_eq!(ended(child, "train").code(), Some(130));
    assert!(!run.join("tokenizer/last").exists());
    assert_eq!(leftovers(&run.join("tokenizer")), Vec::<String>::new());
}

#[test]
fn a_training_that_is_asked_to_leave_at_any_moment_goes_on_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let (recipe, run) = (recipe(folder.path(), SMALL), folder.path().join("run"));
    for moment in 0..40u64 {
        let (signal, number) = SIGNALS[moment as usize % 3];
        let delay = moment * 37;
        let child = spawn(&["train", &recipe, "--run", text(&run), "--resume"]);
        thread::sleep(Duration::from_millis(delay));
        let is_ready = handles(number, &child);
        send(signal, &child);
        let status = ended(child, "train");
        let is_early = !is_ready && status.signal() == Some(number);
        assert!(is_early || matches!(status.code(), Some(130 | 0)), "at {moment}: {status}");
        if run.exists() {
            assert_eq!(leftovers(&run), Vec::<String>::new(), "at {moment}");
        }
        if status.success() {
            break;
        }
    }
    succeed(&["train", &recipe, "--run", text(&run), "--resume"]);
    for file in ["tokenizer/last/model.safetensors", "prior/0/last/model.safetensors", "samples/samples.json"] {
        assert!(fs::read(run.join(file)).unwrap() == fs::read(shared_run().join(file)).unwrap(), "{file}");
    }
}

#[test]
fn a_measurement_that_is_left_is_owed_and_taken_first_on_resume() {
    let folder = tempfile::tempdir().unwrap();
    let (recipe, run) = (recipe(folder.path(), SMALL), folder.path().join("run"));
    // Measuring takes far longer than training.
    let long = ["--set", "data.source.validation_count=8000", "--set", "tokenizer.train.validate_samples=8000"];
    let call = [&["train", &recipe, "--run", text(&run), "--stage", "tokenizer", "--resume"], &long[..]].concat();
    let mut child = spawn(&call);
    // The metrics of a step are logged before it is measured.
    let is_at_20 = || fs::read_to_string(run.join("log.jsonl")).is_ok_and(|log| log.contains("\"step\":20,"));
    while !is_at_20() && child.try_wait().unwrap().is_none() {
        thread::sleep(Duration::from_millis(2));
    }
    send("INT", &child);
    assert_eq!(ended(child, "train").code(), Some(130));
    let state = || fs::read_to_string(run.join("tokenizer/last/state.json")).unwrap();
    assert!(state().contains("\"owes_measurement\": true"), "{}", state());
    assert!(state().contains("\"step\": 20"), "{}", state());
    let mut child = spawn(&call);
    wait_for(&run.join("tokenizer/best"), &mut child);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!state().contains("owes_measurement"), "{}", state());
    assert!(fs::read_link(run.join("tokenizer/best")).unwrap().ends_with("checkpoint-0000020"));
}

#[test]
fn a_signal_that_is_to_be_ignored_is() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let mut command = Command::new("nohup");
    command.arg(env!("CARGO_BIN_EXE_vqkit")).args(["--device", "cpu", "--threads", "1", "sample", text(shared_run())]);
    command.args(["-n", "200", "--batch-size", "1", "-o", text(&out)]).current_dir(folder.path());
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut child = spawned.expect("nohup runs");
    wait_for(&folder.path().join(".writing-out"), &mut child);
    send("HUP", &child);
    assert!(child.wait().unwrap().success());
    assert!(out.join("000199.png").is_file());
}
