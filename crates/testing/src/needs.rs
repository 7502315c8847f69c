//! What a test needs from outside the repository: without it, the test says that it is skipped, and in CI it may fail.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The variable that continuous integration sets, `.ci/run` among them.
const CI_VARIABLE: &str = "CI";
/// The variable that names the folder of data sets.
const DATA_VARIABLE: &str = "VQKIT_DATA";
/// The folder of data sets where the variable is not set, relative to the root of the workspace.
const DEFAULT_DATA: &str = "../shared/data";

/// A program that continuous integration installs, or what was made with one. Where it is missing, the test that asks
/// is skipped, and says so; with the variable `CI` set, it fails.
///
/// # Panics
/// When it is missing in CI.
#[track_caller]
pub fn needed_in_ci<T>(found: Option<T>, what: &str) -> Option<T> {
    let must = is_ci(std::env::var_os(CI_VARIABLE).as_deref());
    assert!(found.is_some() || !must, "there is no {what}, and with {CI_VARIABLE} set no test is skipped for that");
    optional(found, what)
}

/// Something that even continuous integration need not have. Where it is missing, the test that asks is skipped, and
/// says so.
pub fn optional<T>(found: Option<T>, what: &str) -> Option<T> {
    if found.is_none() {
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        // Past the capture of the test harness, which shows nothing that a passing test prints by macro.
        let _ = writeln!(std::io::stderr(), "skipped: {test}: there is no {what}");
    }
    found
}

/// A folder below that of the data sets, for instance the corpus of broken files `bad`; [`optional`].
pub fn corpus(name: &str) -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let data = std::env::var_os(DATA_VARIABLE).unwrap_or_else(|| DEFAULT_DATA.into());
    let folder = workspace.join(data).join(name);
    let what = format!("{} ({DATA_VARIABLE} names the folder of data sets)", folder.display());
    optional(folder.is_dir().then_some(folder), &what)
}

/// Whether the value of [`CI_VARIABLE`] says that this is continuous integration.
fn is_ci(value: Option<&OsStr>) -> bool {
    value.is_some_and(|value| ["", "0", "false"].iter().all(|off| value != *off))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_handed_on() {
        assert_eq!(needed_in_ci(Some(7), "seven"), Some(7));
        assert_eq!(optional(Some(7), "seven"), Some(7));
    }

    #[test]
    fn ci_is_what_sets_the_variable_to_something() {
        assert!(["true", "1", "yes"].iter().all(|on| is_ci(Some(on.as_ref()))));
        assert!(!is_ci(None) && ["", "0", "false"].iter().all(|off| !is_ci(Some(off.as_ref()))));
    }
}
