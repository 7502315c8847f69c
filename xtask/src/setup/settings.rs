//! `.libtorch/cargo.toml`: what tells Cargo where libtorch lies, in a checkout that has been set up.
//!
//! Names absolute paths: Cargo resolves no others in `[env]`, and doc-tests are linked elsewhere than binaries, so that a
//! run path relative to the binary would fail them. The flags stand under the host's own target, which Cargo joins with
//! a user's own flags for it, where it would pass over `[build]` for those.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::library::Library;

const FILE: &str = ".libtorch/cargo.toml";

/// The libtorch that the checkout `root` builds against, if it has been set up; it may be gone by now.
pub fn libtorch(root: &Path) -> Option<PathBuf> {
    let text = fs::read_to_string(root.join(FILE)).ok()?;
    let line = text.lines().find(|line| line.starts_with("LIBTORCH"))?;
    line.split('"').nth(1).map(|path| path.replace("\\\\", "\\").into())
}

/// Points the checkout `root` at `library`; false where it did so already.
pub fn write(root: &Path, library: &Library) -> Result<bool> {
    if libtorch(root).is_some_and(|home| home == library.home) {
        return Ok(false);
    }
    let path = root.join(FILE);
    let text = text(library, &host()?)?;
    replace(&path, &text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(true)
}

/// Points the checkout `root` at no libtorch.
pub fn forget(root: &Path) {
    // It fails where there are no settings.
    let _ = fs::remove_file(root.join(FILE));
}

/// The target that this machine builds for.
fn host() -> Result<String> {
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(compiler).arg("-vV").output().context("cannot start rustc")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("`rustc -vV` names no host")
}

fn text(library: &Library, host: &str) -> Result<String> {
    let [home, lib] = [library.home.clone(), library.lib()].map(|path| {
        let path = path.to_str().map(|path| path.replace('\\', "\\\\"));
        path.filter(|path| !path.contains(['"', ',']))
    });
    let home = home.with_context(|| unfit(library))?;
    let lib = lib.with_context(|| unfit(library))?;
    let flags = format!(r#"["-C", "link-arg=-Wl,-rpath,{lib}"]"#);
    Ok(format!(
        "# Written by `cargo xtask setup`, and read through `.cargo/config.toml`.\n\n\
         [env]\nLIBTORCH = {{ value = \"{home}\", force = true }}\n\n\
         [target.{host}]\nrustflags = {flags}\nrustdocflags = {flags}\n"
    ))
}

fn unfit(library: &Library) -> String {
    format!("Cargo and the linker cannot be told the path {:?}: choose one without quotes and commas", library.home)
}

/// Writes beside and renames, so that a killed set-up leaves the former settings.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let beside = path.with_extension("toml.new");
    fs::write(&beside, text)?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let root = tempfile::tempdir().unwrap();
        let library = Library { home: "/a folder/libtorch".into() };
        assert_eq!(libtorch(root.path()), None);
        assert!(write(root.path(), &library).unwrap());
        assert_eq!(libtorch(root.path()), Some(library.home.clone()));
        assert!(!write(root.path(), &library).unwrap(), "the second time changes nothing");
        forget(root.path());
        assert_eq!(libtorch(root.path()), None);
    }

    #[test]
    fn cargo_reads_the_settings_as_they_are_meant() {
        let text = text(&Library { home: "/a folder/libtorch".into() }, "here").unwrap();
        let settings: toml::Table = text.parse().unwrap();
        assert_eq!(settings["env"]["LIBTORCH"]["value"].as_str(), Some("/a folder/libtorch"));
        assert_eq!(settings["env"]["LIBTORCH"]["force"].as_bool(), Some(true));
        for flags in ["rustflags", "rustdocflags"] {
            let flags = settings["target"]["here"][flags].as_array().unwrap();
            assert_eq!(flags[1].as_str(), Some("link-arg=-Wl,-rpath,/a folder/libtorch/lib"));
        }
    }

    #[test]
    fn a_path_that_the_linker_would_split_is_refused() {
        let error = text(&Library { home: "/a,b".into() }, "here").unwrap_err().to_string();
        assert!(error.contains("/a,b"), "{error}");
    }
}
