//! Printing: no library does, and a program does in one place, which survives readers that go away and disks that are full.

use crate::exemptions::{Broken, unexempted};
use crate::expect_none;
use crate::files::{read, short, sources};

/// What prints, or panics where printing fails.
const PRINTS: &[&str] = &["println!", "print!", "eprintln!", "eprint!", "dbg!", "stdout()", "stderr()"];

/// The places that may: one in each program, and what is for tests alone.
const PLACES: &[&str] =
    &["crates/cli/src/terminal.rs", "xtask/src/terminal.rs", "xtask/book/src/main.rs", "crates/testing/src/"];

/// The files of libraries that print still.
const PRINTING: &[&str] = &[];

/// The lines of a text that print, as far as they are neither comments nor behind the beginning of its tests.
fn prints(text: &str) -> Vec<usize> {
    let text = text.split("mod tests {").next().unwrap_or_default();
    let code = |line: &str| !line.trim_start().starts_with("//");
    let is_word = |line: &str, at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '.');
    let does = |line: &str| PRINTS.iter().any(|name| line.match_indices(name).any(|(at, _)| is_word(line, at)));
    let lines = text.lines().enumerate().filter(|(_, line)| code(line) && does(line));
    lines.map(|(index, _)| index + 1).collect()
}

#[test]
fn nothing_prints_but_the_terminal() {
    let mut broken = Broken::new();
    for path in sources(&[".rs"]) {
        let file = short(&path);
        if file.contains("src/") && !PLACES.iter().any(|place| file.starts_with(place)) {
            let lines = prints(&read(&path)).into_iter();
            broken.insert(file, lines.map(|line| format!("prints by itself, in line {line}")).collect());
        }
    }
    expect_none(&unexempted(&broken, PRINTING));
}

#[test]
fn a_print_is_seen_and_what_only_sounds_like_one_is_not() {
    assert_eq!(prints("fn f() {\n    println!(\"x\");\n    let out = io::stdout().lock();\n}"), [2, 3]);
    assert!(prints("mod tests {\n    fn f() { println!() }\n}").is_empty());
    assert!(prints("/// println!(\"x\");\nsay!(\"x\"); blueprint!(1); output.stdout();").is_empty());
}
