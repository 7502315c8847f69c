//! libtorch from the wheel, kept in the user's cache.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::ahead::Ahead;
use super::cache::{Cache, Partial, size};
use super::installer::{Dependencies, Installer};
use super::layout;
use super::library::Library;
use super::platform::{Platform, free_bytes};
use super::version::VERSION;
use crate::terminal::say;

/// What `libtorch_cpu.so` of the CUDA build needs, in the versions that PyTorch 2.11.0 pins.
const CUDA_RUNTIME: &[&str] = &["nvidia-cuda-runtime==13.0.96", "nvidia-cuda-cupti==13.0.85"];

/// The bytes that set-up takes for a while, without CUDA and with it.
const ROOM: u64 = 2_500_000_000;
const ROOM_CUDA: u64 = 9_000_000_000;

/// The file that tells a libtorch laid out here from others.
const MARK: &str = "vqkit.txt";

/// Whether `library` is the cache's and has no CUDA libraries beside it yet.
pub fn lacks_cuda(library: &Library) -> bool {
    cuda_folder(library).is_some_and(|cuda| !cuda.exists())
}

/// The folder of the CUDA libraries, for a libtorch that this module laid out.
fn cuda_folder(library: &Library) -> Option<PathBuf> {
    library.home.join(MARK).is_file().then(|| library.home.join("cuda"))
}

/// The cache's libtorch, fetched if it is not there; with `cuda`, the CUDA libraries too. `beside` starts what goes on
/// meanwhile, for the folder that libtorch will lie in.
pub fn provide(cuda: bool, beside: impl FnOnce(&Path) -> Option<Ahead>) -> Result<Library> {
    let platform = Platform::here()?;
    let cache = Cache::lock()?;
    provide_in(&cache, &platform, cuda, Installer::find, beside)
}

fn provide_in(
    cache: &Cache,
    platform: &Platform,
    cuda: bool,
    installer: impl FnOnce() -> Result<Installer>,
    beside: impl FnOnce(&Path) -> Option<Ahead>,
) -> Result<Library> {
    let name = format!("{VERSION}-{}", platform.name);
    let home = cache.folder.join(&name);
    let complete = Library::open(&home).ok();
    match complete {
        Some(library) if !(cuda && lacks_cuda(&library)) => return Ok(library),
        Some(_) => {}
        None if home.exists() => {
            fs::remove_dir_all(&home).with_context(|| format!("cannot remove {}", home.display()))?
        }
        None => {}
    }
    let installer = installer()?;
    announce(&cache.folder, cuda)?;
    let ahead = beside(&fs::canonicalize(&cache.folder)?.join(&name));
    let build = Build { installer, platform, partial: cache.partial()? };
    build.unpack(cuda)?;
    build.finish(&home, cuda)?;
    drop((build, ahead));
    say!("{} takes {} MB", home.display(), size(&home)? / 1_000_000);
    Library::open(&home)
}

/// Says what is to come, and refuses where the disk has no room for it.
fn announce(folder: &Path, cuda: bool) -> Result<()> {
    let (download, room) =
        if cuda { ("about 3 GB with the CUDA libraries", ROOM_CUDA) } else { ("about 0.55 GB", ROOM) };
    say!("fetching the wheel of PyTorch {VERSION} ({download}) for libtorch, into {}", folder.display());
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

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;
    use crate::setup::library::tests::fake;
    use crate::setup::platform::Platform;

    const PLATFORM: Platform = Platform { name: "here", uv_tag: "tag", pip_tags: &["tag"] };

    /// A cache, and a stand-in for pip that unpacks what looks like the wheels of a CUDA build.
    struct Stage {
        folder: tempfile::TempDir,
        cache: Cache,
    }

    impl Stage {
        fn new(version: [&str; 3]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let [torch, info, cuda] = ["torch", "torch-2.11.0.dist-info", "cuda/nvidia/cu13/lib"]
                .map(|name| folder.path().join("wheels").join(name));
            fake(&torch, version);
            for name in ["libtorch_cuda.so", "libtorch_python.so", "libgomp.so.1"] {
                fs::write(torch.join("lib").join(name), name).unwrap();
            }
            fs::create_dir_all(&info).unwrap();
            fs::write(info.join("METADATA"), "Requires-Dist: nvidia-nccl-cu13==2.28.9; x\n").unwrap();
            fs::create_dir_all(&cuda).unwrap();
            for name in ["libcudart.so.13", "libcupti.so.13", "libcublas.so.13"] {
                fs::write(cuda.join(name), name).unwrap();
            }
            let cache = Cache::lock_at(folder.path().join("cache")).unwrap();
            Self { folder, cache }
        }

        /// Unpacks by copying; `before` runs first.
        fn installer(&self, before: &str) -> Installer {
            let wheels = self.folder.path().join("wheels");
            let script = format!(
                "{before}\nwhile [ \"$1\" != --target ]; do shift; done\nmkdir -p \"$2\"\ncd {}\n\
                 case \"$3\" in torch==*) cp -r torch torch-*.dist-info \"$2\";; *) cp -r cuda/nvidia \"$2\";; esac\n",
                wheels.display()
            );
            let path = self.folder.path().join("pip.sh");
            fs::write(&path, script).unwrap();
            Installer::stand_in(&["sh", path.to_str().unwrap()])
        }

        fn provide(&self, cuda: bool) -> Result<Library> {
            provide_in(&self.cache, &PLATFORM, cuda, || Ok(self.installer("")), |_| None)
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.cache.folder).unwrap();
            let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            names.filter(|name| name != "lock").collect()
        }
    }

    #[test]
    fn the_wheel_becomes_a_libtorch_for_the_cpu() {
        let stage = Stage::new(["2", "11", "0"]);
        let lib = stage.provide(false).unwrap().lib();
        assert_eq!(fs::read_to_string(lib.join("libtorch.so")).unwrap(), "torch_cpu");
        for name in ["libcudart.so.13", "libcupti.so.13", "libgomp.so.1"] {
            assert!(lib.join(name).is_file(), "{name}");
        }
        for name in ["libtorch_cuda.so", "libtorch_python.so", "libcublas.so.13"] {
            assert!(!lib.join(name).exists(), "{name}");
        }
        assert_eq!(stage.names(), ["2.11.0-here"]);
    }

    #[test]
    fn a_second_checkout_downloads_nothing() {
        let stage = Stage::new(["2", "11", "0"]);
        let first = stage.provide(false).unwrap();
        let second =
            provide_in(&stage.cache, &PLATFORM, false, || anyhow::bail!("asked for a download"), |_| None).unwrap();
        assert_eq!(first, second);
    }

    #[test]
    fn cuda_comes_beside_and_only_once() {
        let stage = Stage::new(["2", "11", "0"]);
        let library = stage.provide(false).unwrap();
        assert!(lacks_cuda(&library));
        let library = stage.provide(true).unwrap();
        assert!(!lacks_cuda(&library));
        assert!(library.home.join("cuda/torch/lib/libtorch_cuda.so").is_file());
        assert!(library.home.join("cuda/nvidia/cu13/lib/libcublas.so.13").is_file());
        assert!(!library.lib().join("libtorch_cuda.so").exists());
        provide_in(&stage.cache, &PLATFORM, true, || anyhow::bail!("asked for a download"), |_| None).unwrap();
    }

    #[test]
    fn a_failure_leaves_nothing_behind() {
        let stage = Stage::new(["2", "11", "0"]);
        let error = provide_in(&stage.cache, &PLATFORM, false, || Ok(stage.installer("exit 1")), |_| None).unwrap_err();
        assert!(error.to_string().contains("failed"), "{error}");
        assert!(stage.names().is_empty());
        stage.provide(false).unwrap();
    }

    #[test]
    fn a_wheel_of_another_version_is_not_put_in_place() {
        let stage = Stage::new(["2", "12", "0"]);
        let error = format!("{:#}", stage.provide(false).unwrap_err());
        assert!(error.contains("2.12.0"), "{error}");
        assert!(stage.names().is_empty());
    }

    #[test]
    fn what_is_damaged_is_fetched_again() {
        let stage = Stage::new(["2", "11", "0"]);
        let lib = stage.provide(false).unwrap().lib();
        fs::remove_file(lib.join("libc10.so")).unwrap();
        assert!(stage.provide(false).unwrap().lib().join("libc10.so").is_file());
    }
}
