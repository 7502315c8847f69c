//! Processes that are killed or interrupted at a moment of their run.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::vqkit::{text, vqkit};

/// How long anything may take before a test calls it stuck, on a machine that does much else.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// Begins or continues a run, with further arguments.
pub fn start(recipe: &str, run: &Path, arguments: &[&str]) -> Child {
    let mut command = vqkit(&[&["train", recipe, "--run", text(run), "--resume"], arguments].concat());
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary starts")
}

/// Waits until `path` exists or the process has ended.
pub fn wait_for(path: &Path, child: &mut Child) {
    let patience = Instant::now() + PATIENCE;
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

/// Whether a process has come so far that it handles this signal itself: before, while the system loads its libraries, a
/// signal ends it as it ends any program.
pub fn handles(signal: i32, child: &Child) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or("0");
    u64::from_str_radix(caught.trim(), 16).expect("a mask in hexadecimal digits") >> (signal - 1) & 1 == 1
}

/// Sends a signal by its name; a process that ended meanwhile cannot be reached, and need not be.
pub fn send(signal: &str, child: &Child) {
    let mut kill = Command::new("kill");
    kill.args([&format!("-{signal}"), &child.id().to_string()]).stderr(Stdio::null());
    kill.status().expect("kill runs");
}
