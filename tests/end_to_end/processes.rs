//! Processes that are killed or interrupted at a moment of their run.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::vqkit::{text, vqkit};

/// Begins or continues a run, with further arguments.
pub fn start(recipe: &str, run: &Path, arguments: &[&str]) -> Child {
    let mut command = vqkit(&[&["train", recipe, "--run", text(run), "--resume"], arguments].concat());
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary starts")
}

/// Waits until `path` exists or the process has ended.
pub fn wait_for(path: &Path, child: &mut Child) {
    let patience = Instant::now() + Duration::from_secs(120);
    while !path.exists() && child.try_wait().expect("a child").is_none() {
        assert!(Instant::now() < patience, "{} never came", path.display());
        thread::sleep(Duration::from_millis(2));
    }
}

/// Kills it and waits for its end.
pub fn kill(mut child: Child) {
    child.kill().expect("a child");
    child.wait().expect("a child");
}

/// Sends what Ctrl-C sends.
pub fn interrupt(child: &Child) {
    send("INT", child);
}

/// Sends a signal by its name; a process that ended meanwhile cannot be reached, and need not be.
pub fn send(signal: &str, child: &Child) {
    let mut kill = Command::new("kill");
    kill.args([&format!("-{signal}"), &child.id().to_string()]).stderr(Stdio::null());
    kill.status().expect("kill runs");
}
