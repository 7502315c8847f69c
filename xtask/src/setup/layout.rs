//! From unpacked wheels to `include/` and `lib/`.
//!
//! The wheel of Linux is a CUDA build. Its `libtorch_cpu.so` needs `libcudart` and `libcupti`, from wheels of their own, and
//! looks for them in its own folder; so they lie in `lib/` as files, not as links. Whatever else is CUDA's or Python's stays
//! out of `lib/`: `torch-sys` would link a `libtorch_cuda.so` that it finds there, and a binary that needs the CUDA
//! libraries does not start without them. Its `libtorch.so` needs `libtorch_cuda.so` too and holds nothing else, so
//! `libtorch_cpu.so` serves under that name as well.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::library::shared_library;

/// Parts of the names of libraries that are CUDA's or Python's.
const CUDA: &[&str] = &["cuda", "nvrtc", "nvshmem"];
const PYTHON: &[&str] = &["python", "global_deps", "libshm"];

/// Whether the unpacked wheel in `site` is a CUDA build.
pub fn is_cuda_build(site: &Path) -> bool {
    site.join("torch/lib").join(shared_library("torch_cuda")).is_file()
}

/// Lays out `home/include` and `home/lib` from unpacked wheels: PyTorch's in `site`, NVIDIA's in `nvidia`.
pub fn arrange(site: &Path, nvidia: &Path, home: &Path) -> Result<()> {
    let lib = home.join("lib");
    fs::create_dir_all(&lib)?;
    let include = site.join("torch/include");
    fs::rename(&include, home.join("include")).with_context(|| format!("the wheel has no {}", include.display()))?;
    let auditwheel = site.join("torch.libs");
    let sources = [site.join("torch/lib"), auditwheel].map(|folder| shared_libraries(&folder));
    for file in sources.into_iter().flatten() {
        if !belongs(&file, CUDA) && !belongs(&file, PYTHON) {
            link_into(&file, &lib)?;
        }
    }
    if is_cuda_build(site) {
        replace_stub(&lib)?;
        let runtime = nvidia.join("nvidia/cu13/lib");
        for stem in ["libcudart.so", "libcupti.so"] {
            let file = shared_libraries(&runtime).into_iter().find(|file| name(file).starts_with(stem));
            link_into(&file.with_context(|| format!("{} has no {stem}", runtime.display()))?, &lib)?;
        }
    }
    Ok(())
}

/// Lays out `cuda` as the wheels do, since the run paths in their libraries lead from one wheel to the other.
pub fn arrange_cuda(site: &Path, nvidia: &Path, cuda: &Path) -> Result<()> {
    let lib = cuda.join("torch/lib");
    fs::create_dir_all(&lib)?;
    for file in shared_libraries(&site.join("torch/lib")).iter().filter(|file| belongs(file, CUDA)) {
        link_into(file, &lib)?;
    }
    fs::rename(nvidia.join("nvidia"), cuda.join("nvidia")).context("the NVIDIA wheels hold no folder `nvidia`")
}

/// Asks the system's loader whether it finds all that `libtorch_cpu` in `lib` needs; passes where it cannot be asked.
pub fn check_loads(lib: &Path) -> Result<()> {
    let file = lib.join(shared_library("torch_cpu"));
    let Ok(output) = Command::new("ldd").arg(&file).stderr(Stdio::null()).output() else { return Ok(()) };
    let text = String::from_utf8_lossy(&output.stdout);
    let missing: Vec<_> = text.lines().filter(|line| line.contains("not found")).map(str::trim).collect();
    ensure!(missing.is_empty(), "the system's loader cannot load {}:\n{}", file.display(), missing.join("\n"));
    Ok(())
}

/// The packages with CUDA's libraries that the wheel in `site` asks for, as it asks for them.
pub fn cuda_requirements(site: &Path) -> Result<Vec<String>> {
    let path = site.join(format!("torch-{}.dist-info/METADATA", super::version::VERSION));
    let metadata = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let found = nvidia_requirements(&metadata);
    if found.is_empty() {
        bail!("this PyTorch is no CUDA build: {} names no NVIDIA package", path.display());
    }
    Ok(found)
}

fn nvidia_requirements(metadata: &str) -> Vec<String> {
    let required = metadata.lines().filter_map(|line| line.strip_prefix("Requires-Dist: "));
    let nvidia = required.filter(|line| line.starts_with("nvidia-") || line.starts_with("cuda-toolkit"));
    nvidia.filter_map(|line| line.split(';').next()).map(|line| line.trim().to_owned()).collect()
}

fn replace_stub(lib: &Path) -> Result<()> {
    let stub = lib.join(shared_library("torch"));
    fs::remove_file(&stub).with_context(|| format!("the wheel has no {}", stub.display()))?;
    link(&lib.join(shared_library("torch_cpu")), &stub)
}

fn link_into(file: &Path, folder: &Path) -> Result<()> {
    link(file, &folder.join(name(file)))
}

/// A hard link, or a copy on disks without them.
fn link(from: &Path, to: &Path) -> Result<()> {
    let done = fs::hard_link(from, to).or_else(|_| fs::copy(from, to).map(drop));
    done.with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}

fn shared_libraries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| path.is_file() && (name(path).contains(".so") || name(path).ends_with(".dylib"))).collect()
}

fn belongs(file: &Path, parts: &[&str]) -> bool {
    parts.iter().any(|part| name(file).contains(part))
}

fn name(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wheel_says_which_packages_cuda_takes() {
        let metadata = "Name: torch\nRequires-Dist: sympy>=1.13\n\
                        Requires-Dist: cuda-toolkit[cublas,cudart]==13.0.2; platform_system == \"Linux\"\n\
                        Requires-Dist: nvidia-nccl-cu13==2.28.9; platform_system == \"Linux\"\n";
        assert_eq!(nvidia_requirements(metadata), ["cuda-toolkit[cublas,cudart]==13.0.2", "nvidia-nccl-cu13==2.28.9"]);
    }
}
