//! uv or pip, used to fetch wheels and unpack them into a folder; no package is installed anywhere else.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::platform::Platform;
use crate::cargo::display;
use crate::terminal::{self, say};

/// The Python whose wheel is taken; that only decides which of several wheels with the same libtorch it is.
const PYTHON: &str = "3.11";

/// Which packages one call fetches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dependencies {
    /// Those named alone.
    Without,
    /// Those named and what they need.
    With,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Uv,
    Pip,
}

/// A program that fetches wheels.
#[derive(Debug)]
pub struct Installer {
    kind: Kind,
    words: Vec<OsString>,
}

impl Installer {
    /// The first of uv, `python3 -m pip`, pip3 and pip that answers.
    pub fn find() -> Result<Self> {
        let candidates = [
            (Kind::Uv, &["uv"][..]),
            (Kind::Pip, &["python3", "-m", "pip"]),
            (Kind::Pip, &["pip3"]),
            (Kind::Pip, &["pip"]),
        ];
        let found = candidates.into_iter().find(|(_, words)| answers(words));
        let Some((kind, words)) = found else {
            bail!(
                "neither uv nor pip was found, and one of them has to fetch libtorch: install one (`apt-get install \
                 python3-pip`, say), or unpack libtorch yourself and run `cargo xtask setup --libtorch DIR`"
            );
        };
        Ok(Self { kind, words: words.iter().map(OsString::from).collect() })
    }

    /// A stand-in for pip.
    #[cfg(test)]
    pub fn stand_in(words: &[&str]) -> Self {
        Self { kind: Kind::Pip, words: words.iter().map(OsString::from).collect() }
    }

    /// Unpacks wheels of the `packages` into the new folder `target`, whose parent also takes the temporary files.
    pub fn fetch(
        &self,
        packages: &[String],
        dependencies: Dependencies,
        platform: &Platform,
        target: &Path,
    ) -> Result<()> {
        let mut command = self.command(packages, dependencies, platform, target);
        let line = display(&command);
        say!("$ {line}");
        let mut child = command.stderr(Stdio::piped()).spawn().with_context(|| format!("cannot start `{line}`"))?;
        let complaints = child.stderr.take().map(repeat).unwrap_or_default();
        let status = child.wait()?;
        if !status.success() {
            bail!("{} failed ({status}): {}", display(&self.program()), cause(&complaints));
        }
        Ok(())
    }

    fn program(&self) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]);
        command
    }

    fn command(&self, packages: &[String], dependencies: Dependencies, platform: &Platform, target: &Path) -> Command {
        let mut command = self.program();
        match self.kind {
            Kind::Uv => {
                command.args(["pip", "install", "--python-platform", platform.uv_tag]);
            }
            Kind::Pip => {
                command.args(["install", "--no-compile", "--implementation", "cp"]);
                command.args(platform.pip_tags.iter().flat_map(|tag| ["--platform", tag]));
                // A user's own settings for installing must not hinder unpacking.
                command.envs([("PIP_USER", "0"), ("PIP_REQUIRE_VIRTUALENV", "0"), ("PIP_NO_INPUT", "1")]);
                command.envs([("PIP_DISABLE_PIP_VERSION_CHECK", "1"), ("PIP_ROOT_USER_ACTION", "ignore")]);
            }
        }
        if dependencies == Dependencies::Without {
            command.arg("--no-deps");
        }
        command.args(["--python-version", PYTHON, "--only-binary", ":all:", "--target"]).arg(target).args(packages);
        if let Some(parent) = target.parent() {
            command.env("TMPDIR", parent);
        }
        command
    }
}

fn answers(words: &[&str]) -> bool {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Passes a program's complaints on to the user, and returns them.
fn repeat(stream: impl Read) -> String {
    let mut all = Vec::new();
    let mut lines = BufReader::new(stream);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        terminal::pass_on(&line);
        all.append(&mut line);
    }
    String::from_utf8_lossy(&all).into_owned()
}

/// What went wrong and what to do, from the words of uv and pip.
fn cause(complaints: &str) -> &'static str {
    let says = |words: &[&str]| words.iter().any(|word| complaints.contains(word));
    if says(&["No space left on device", "os error 28", "Errno 28"]) {
        "the disk is full; XDG_CACHE_HOME moves the cache folder to another"
    } else if says(&["CERTIFICATE_VERIFY_FAILED", "SSLError", "invalid peer certificate"]) {
        "the package index shows a certificate that is not trusted; see its options for certificates"
    } else if says(&NETWORK) {
        "the package index cannot be reached: check the network and the proxy and run it again, or unpack libtorch \
         yourself and run `cargo xtask setup --libtorch DIR`"
    } else if says(&[
        "No matching distribution",
        "No solution found",
        "Could not find a version",
        "is not a supported wheel",
    ]) {
        "the package index has no such version for this platform; pip older than 20.3 does not know today's wheels \
         (`python3 -m pip install --upgrade pip`), and a mirror may lack it"
    } else {
        "see its message above; or unpack libtorch yourself and run `cargo xtask setup --libtorch DIR`"
    }
}

const NETWORK: [&str; 9] = [
    "Failed to establish a new connection",
    "NewConnectionError",
    "NameResolutionError",
    "Temporary failure in name resolution",
    "ConnectionResetError",
    "Max retries exceeded",
    "Read timed out",
    "error sending request",
    "dns error",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn packages() -> Vec<String> {
        vec!["torch==2.11.0".into()]
    }

    #[test]
    fn pip_is_asked_for_wheels_of_this_platform_alone() {
        let platform = Platform { name: "here", uv_tag: "tag", pip_tags: &["new", "old"] };
        let pip = Installer::stand_in(&["pip"]);
        let command = pip.command(&packages(), Dependencies::Without, &platform, Path::new("/folder/site"));
        let line = display(&command);
        for part in
            ["--platform new --platform old", "--no-deps", "--only-binary :all:", "--target /folder/site torch==2.11.0"]
        {
            assert!(line.contains(part), "`{part}` in `{line}`");
        }
        assert!(command.get_envs().any(|pair| pair == ("TMPDIR".as_ref(), Some("/folder".as_ref()))));
    }

    #[test]
    fn a_failure_names_its_cause() {
        let offline = "WARNING: Retrying … Failed to establish a new connection\nERROR: No matching distribution found";
        assert!(cause(offline).contains("network"));
        assert!(cause("ERROR: No matching distribution found for torch==2.11.0").contains("no such version"));
        assert!(cause("OSError: [Errno 28] No space left on device").contains("disk is full"));
    }

    #[cfg(unix)]
    #[test]
    fn a_failing_installer_is_an_error_with_its_status() {
        let folder = tempfile::tempdir().unwrap();
        let platform = Platform { name: "here", uv_tag: "tag", pip_tags: &[] };
        let broken = Installer::stand_in(&["sh", "-c", "echo 'dns error' >&2; exit 3", "pip"]);
        let target = folder.path().join("site");
        let error = broken.fetch(&packages(), Dependencies::Without, &platform, &target).unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && error.contains("cannot be reached"), "{error}");
    }
}
