//! Names of files, and what is wrong with links among them.

/// As much of a name as leaves room for more in front of it and behind: file systems allow 255 bytes.
pub fn short_name(name: &str) -> &str {
    const LONGEST: usize = 200;
    let ends = name.char_indices().map(|(at, letter)| at + letter.len_utf8());
    &name[..ends.take_while(|end| *end <= LONGEST).last().unwrap_or(0)]
}

/// What is wrong with a link inside a run.
pub const LINK: &str =
    "is a symbolic link, and nothing in a run is written through one; put a file or folder of the run's own there";

/// How the name of a folder begins that is set aside until another has taken its place.
pub const ASIDE: &str = ".replaced-";
