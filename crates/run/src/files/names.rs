//! Names of files, and the message about links.

/// A name, shortened so that there is room for a prefix and a suffix: file systems allow 255 bytes.
pub fn short_name(name: &str) -> &str {
    const LONGEST: usize = 200;
    let ends = name.char_indices().map(|(at, letter)| at + letter.len_utf8());
    &name[..ends.take_while(|end| *end <= LONGEST).last().unwrap_or(0)]
}

/// What is wrong with a link inside a run.
pub const LINK: &str =
    "is a symbolic link, and nothing in a run is written through one; put a file or folder of the run's own there";

/// Prefix of the name of a folder that is set aside until another has replaced it.
pub const ASIDE: &str = ".replaced-";
