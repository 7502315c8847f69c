//! What this machine is, and what it has: which wheel fits it, an NVIDIA driver, a compiler, room on the disk.

use std::env::consts::{ARCH, OS};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use super::version::VERSION;
use crate::terminal::say;

/// A platform that PyPI has a wheel for.
#[derive(Debug, Clone, Copy)]
pub struct Platform {
    /// Our name for it, part of the folder's name in the cache.
    pub name: &'static str,
    /// The newest wheel tag it takes, as uv names it.
    pub uv_tag: &'static str,
    /// Wheel tags it takes, as pip names them: all of them, since pip infers none from another.
    pub pip_tags: &'static [&'static str],
}

const PLATFORMS: &[(&str, &str, Platform)] = &[
    (
        "linux",
        "x86_64",
        Platform {
            name: "linux-x86_64",
            uv_tag: "x86_64-manylinux_2_28",
            pip_tags: &[
                "manylinux_2_28_x86_64",
                "manylinux_2_27_x86_64",
                "manylinux_2_25_x86_64",
                "manylinux_2_18_x86_64",
                "manylinux_2_17_x86_64",
                "manylinux2014_x86_64",
            ],
        },
    ),
    (
        "linux",
        "aarch64",
        Platform {
            name: "linux-aarch64",
            uv_tag: "aarch64-manylinux_2_28",
            pip_tags: &[
                "manylinux_2_28_aarch64",
                "manylinux_2_27_aarch64",
                "manylinux_2_25_aarch64",
                "manylinux_2_18_aarch64",
                "manylinux_2_17_aarch64",
                "manylinux2014_aarch64",
            ],
        },
    ),
    (
        "macos",
        "aarch64",
        Platform {
            name: "macos-aarch64",
            uv_tag: "aarch64-apple-darwin",
            pip_tags: &["macosx_14_0_arm64", "macosx_11_0_arm64"],
        },
    ),
];

impl Platform {
    /// The platform of this machine.
    pub fn here() -> Result<Self> {
        let found = PLATFORMS.iter().find(|(os, arch, _)| (*os, *arch) == (OS, ARCH) && !cfg!(target_env = "musl"));
        let Some((_, _, platform)) = found else {
            bail!(
                "PyPI has no PyTorch {VERSION} for {OS} on {ARCH}: unpack or build libtorch {VERSION} and name its folder \
                 with `cargo xtask setup --libtorch DIR`"
            );
        };
        Ok(*platform)
    }
}

/// Whether an NVIDIA driver is loaded.
pub fn nvidia_driver() -> bool {
    ["/proc/driver/nvidia/version", "/usr/lib/wsl/lib/libcuda.so.1"].iter().any(|path| Path::new(path).exists())
}

/// The bytes free on the disk of `folder`, where `df` can tell.
pub fn free_bytes(folder: &Path) -> Option<u64> {
    let output = Command::new("df").arg("-Pk").arg(folder).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let kilobytes = text.lines().nth(1)?.split_whitespace().nth(3)?;
    Some(kilobytes.parse::<u64>().ok()? * 1024)
}

/// Says so where there is no C++ compiler, which building `tch` takes.
pub fn warn_without_compiler() {
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    let found = Command::new(&compiler).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        say!("note: there is no C++ compiler `{}`, and building takes one: install g++ or clang", compiler.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_of_the_checkout_has_a_size() {
        assert!(free_bytes(Path::new(".")).is_none_or(|bytes| bytes > 0));
        assert_eq!(free_bytes(Path::new("/no/such/folder")), None);
    }
}
