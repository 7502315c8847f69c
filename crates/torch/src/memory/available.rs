//! How much memory this process may still take.

use std::fs;
use std::path::{Path, PathBuf};

use crate::TorchError;

/// The bytes of the machine's memory that this process may still take: what the system has to give, less where the limits of its
/// control groups (a container's) or of its address space (`ulimit -v`) are nearer. `None` where the system does not say.
pub fn available() -> Option<u64> {
    [free(), left_of_groups(), left_of_addresses()].into_iter().flatten().min()
}

/// Compares what something would take with what there is, before it is asked for. `what` is part of a sentence: "the tokens of 64
/// pictures".
///
/// ```
/// use vqkit_torch::memory;
///
/// assert!(memory::check("a pebble", 1).is_ok());
/// # if memory::available().is_some() {
/// let message = memory::check("a mountain", 1 << 60).unwrap_err().to_string();
/// assert!(message.starts_with("a mountain would take 1.2 EB of memory, and "), "{message}");
/// # }
/// ```
///
/// # Errors
/// [`TorchError::Memory`] when there is less.
pub fn check(what: &str, bytes: u64) -> Result<(), TorchError> {
    match available() {
        Some(available) if bytes > available => {
            Err(TorchError::Memory { what: what.to_owned(), needed: bytes, available })
        }
        _ => Ok(()),
    }
}

/// Of the whole machine.
fn free() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    Some(kilobytes(&text, "MemAvailable:")? + kilobytes(&text, "SwapFree:").unwrap_or(0))
}

/// Of the process's address space.
fn left_of_addresses() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    // "unlimited" is no number.
    let limit: u64 = line(&limits, "Max address space")?.split_whitespace().next()?.parse().ok()?;
    let taken = kilobytes(&fs::read_to_string("/proc/self/status").ok()?, "VmSize:")?;
    Some(limit.saturating_sub(taken))
}

/// Of the control groups that the process is in.
fn left_of_groups() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/cgroup").ok()?;
    let groups = text.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        match controllers {
            "" => Some((Path::new("/sys/fs/cgroup"), &VERSION_2, path)),
            _ if controllers.split(',').any(|name| name == "memory") => {
                Some((Path::new("/sys/fs/cgroup/memory"), &VERSION_1, path))
            }
            _ => None,
        }
    });
    groups.filter_map(|(root, files, path)| left_below(root, files, path)).min()
}

/// What the files of a control group are called.
struct GroupFiles {
    limit: &'static str,
    usage: &'static str,
    /// In `memory.stat`: pages of files, which the system drops when it needs them.
    pages: [&'static str; 2],
}

const VERSION_1: GroupFiles = GroupFiles {
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    pages: ["total_inactive_file ", "total_active_file "],
};
const VERSION_2: GroupFiles =
    GroupFiles { limit: "memory.max", usage: "memory.current", pages: ["inactive_file ", "active_file "] };

/// The least that a group and those around it leave. In a container, the path may be one that only the host knows; then its own
/// group is the root.
fn left_below(root: &Path, files: &GroupFiles, path: &str) -> Option<u64> {
    let own: PathBuf = root.join(path.trim_start_matches('/'));
    let around = own.ancestors().take_while(|folder| folder.starts_with(root));
    around.filter_map(|folder| left_in(folder, files)).min()
}

fn left_in(folder: &Path, files: &GroupFiles) -> Option<u64> {
    let number = |name: &str| fs::read_to_string(folder.join(name)).ok()?.trim().parse::<u64>().ok();
    // "max" is no number.
    let (limit, usage) = (number(files.limit)?, number(files.usage)?);
    let stat = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
    let pages = files.pages.iter().filter_map(|name| line(&stat, name)?.trim().parse::<u64>().ok());
    Some(limit.saturating_sub(usage.saturating_sub(pages.sum())))
}

/// What follows a name at the beginning of a line.
fn line<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.strip_prefix(name))
}

/// Of a line such as `VmSize:  1024 kB`, in bytes.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    line(text, name)?.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_limit_of_a_group_and_those_around_it_counts() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("outer/inner");
        fs::create_dir_all(&inner).unwrap();
        let write = |path: &Path, limit: &str, usage: u64, pages: u64| {
            fs::write(path.join("memory.max"), format!("{limit}\n")).unwrap();
            fs::write(path.join("memory.current"), format!("{usage}\n")).unwrap();
            let stat = format!("anon 7\ninactive_file {pages}\nactive_file 0\n");
            fs::write(path.join("memory.stat"), stat).unwrap();
        };
        let left = || left_below(folder.path(), &VERSION_2, "/outer/inner");
        assert_eq!(left(), None);
        write(&inner, "max", 10, 0);
        assert_eq!(left(), None);
        write(&folder.path().join("outer"), "1000", 900, 300);
        assert_eq!(left(), Some(400));
        write(&inner, "500", 200, 0);
        assert_eq!(left(), Some(300));
        write(&inner, "500", 600, 0);
        assert_eq!(left(), Some(0));
        assert_eq!(left_below(folder.path(), &VERSION_2, "/of/the/host"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn there_is_some_memory_and_not_more_than_the_machine_has() {
        let text = fs::read_to_string("/proc/meminfo").unwrap();
        let whole = kilobytes(&text, "MemTotal:").unwrap() + kilobytes(&text, "SwapTotal:").unwrap_or(0);
        let available = available().unwrap();
        assert!((1..=whole).contains(&available), "{available} of {whole}");
    }
}
