//! libtorch from the wheel, kept in the user's cache.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::VERSION;
use super::cache::{Cache, Partial, size};
use super::installer::{Dependencies, Installer};
use super::layout;
use super::library::Library;
use super::platform::{Platform, free_bytes};

/// What `libtorch_cpu.so` of the CUDA build needs, in the versions that PyTorch 2.11.0 pins.
const CUDA_RUNTIME: &[&str] = &["nvidia-cuda-runtime==13.0.96", "nvidia-cuda-cupti==13.0.85"];

/// The bytes that set-up takes for a while, without CUDA and with it.
const ROOM: u64 = 2_500_000_000;
const ROOM_CUDA: u64 = 9_000_000_000;

/// Whether `library` is the cache's and has no CUDA libraries beside it yet.
pub fn lacks_cuda(library: &Library) -> bool {
    cuda_folder(library).is_some_and(|cuda| !cuda.exists())
}

/// The folder of the CUDA libraries, for a libtorch that this module laid out.
fn cuda_folder(library: &Library) -> Option<std::path::PathBuf> {
    library.home.join(MARK).is_file().then(|| library.home.join("cuda"))
}

/// The file that tells a libtorch laid out here from others.
const MARK: &str = "vqkit.txt";

/// The cache's libtorch, fetched if it is not there; with `cuda`, the CUDA libraries too.
pub fn provide(cuda: bool) -> Result<Library> {
    let platform = Platform::here()?;
    let cache = Cache::lock()?;
    provide_in(&cache, &platform, cuda, Installer::find)
}

fn provide_in(
    cache: &Cache,
    platform: &Platform,
    cuda: bool,
    installer: impl FnOnce() -> Result<Installer>,
) -> Result<Library> {
    let home = cache.folder.join(format!("{VERSION}-{}", platform.name));
    let complete = Library::open(&home).ok();
    match complete {
        Some(library) if !(cuda && lacks_cuda(&library)) => return Ok(library),
        Some(_) => {}
        None if home.exists() => {
            fs::remove_dir_all(&home).with_context(|| format!("cannot remove {}", home.display()))?
        }
        None => {}
    }
    announce(&cache.folder, cuda)?;
    let partial = cache.partial()?;
    let build = Build { installer: installer()?, platform, partial };
    build.unpack(cuda)?;
    build.finish(&home, cuda)?;
    drop(build);
    println!("{} takes {} MB", home.display(), size(&home)? / 1_000_000);
    Library::open(&home)
}

/// Says what is to come, and refuses where the disk has no room for it.
fn announce(folder: &Path, cuda: bool) -> Result<()> {
    let (download, room) =
        if cuda { ("about 3 GB with the CUDA libraries", ROOM_CUDA) } else { ("about 0.55 GB", ROOM) };
    println!("fetching the wheel of PyTorch {VERSION} ({download}) for libtorch, into {}", folder.display());
    let free = free_bytes(folder).unwrap_or(u64::MAX);
    ensure!(
        free >= room,
        "set-up takes {:.1} GB for a while in {}, where {:.1} GB are free; XDG_CACHE_HOME moves it",
        room as f64 / 1e9,
        folder.display(),
        free as f64 / 1e9
    );
    Ok(())
}

/// One set-up at work in its partial folder.
struct Build<'a> {
    installer: Installer,
    platform: &'a Platform,
    partial: Partial,
}

impl Build<'_> {
    /// Fetches the wheels and unpacks them into `site` and `nvidia`: two folders, since a second call of pip would pass
    /// over the folder `nvidia` that a first one made.
    fn unpack(&self, cuda: bool) -> Result<()> {
        let site = self.partial.path.join("site");
        let torch = [format!("torch=={VERSION}")];
        self.installer.fetch(&torch, Dependencies::Without, self.platform, &site)?;
        let (packages, dependencies) = if cuda {
            (layout::cuda_requirements(&site)?, Dependencies::With)
        } else if layout::is_cuda_build(&site) {
            (CUDA_RUNTIME.iter().map(ToString::to_string).collect(), Dependencies::Without)
        } else {
            return Ok(());
        };
        self.installer.fetch(&packages, dependencies, self.platform, &self.partial.path.join("nvidia"))
    }

    /// Lays out what was unpacked and moves it into place, each part by one rename.
    fn finish(&self, home: &Path, cuda: bool) -> Result<()> {
        let [site, nvidia, new, new_cuda] =
            ["site", "nvidia", "libtorch", "cuda"].map(|folder| self.partial.path.join(folder));
        if !home.exists() {
            layout::arrange(&site, &nvidia, &new)?;
            fs::write(new.join(MARK), format!("libtorch {VERSION} of the PyPI wheel, laid out by vqkit's set-up\n"))?;
            Library::open(&new).context("the wheel is not what was asked for")?;
            layout::check_loads(&new.join("lib"))?;
        }
        if cuda {
            layout::arrange_cuda(&site, &nvidia, &new_cuda)?;
        }
        for (from, to) in [(new, home.to_owned()), (new_cuda, home.join("cuda"))] {
            if from.exists() {
                fs::rename(&from, &to).with_context(|| format!("cannot move {} into place", to.display()))?;
            }
        }
        Ok(())
    }
}
