//! Git's hash of a file.

use std::{
    fmt::Write,
    io::{self, Read},
};

use sha1::{Digest, Sha1};

/// Git's hash of a file of `bytes` bytes, as the Hub states it for small files: SHA-1 of a header and the content.
pub fn git(mut reader: impl Read, bytes: u64) -> io::Result<String> {
    let mut hash = Sha1::new();
    hash.update(format!("blob {bytes}\0"));
    let mut chunk = vec![0; 1 << 16];
    loop {
        match reader.read(&mut chunk)? {
            0 => break,
            read => hash.update(&chunk[..read]),
        }
    }
    Ok(hash.finalize().iter().fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    }))
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_is_gits() {
        // `printf 'some weights' | git hash-object --stdin`
        assert_eq!(super::git(&b"some weights"[..], 12).unwrap(), "c1face7675fd0f4dce848ed0dd89570c7a650335");
    }
}
