//! The verb `setup`: one libtorch of the right version, and Cargo told where it lies.
//!
//! Looks at what the user names (`--libtorch`, `LIBTORCH`), then for a matching installed PyTorch, then into the user's
//! cache, and only then downloads the PyPI wheel into that cache, which all checkouts of this machine share.
//! Cargo learns the place from `.libtorch/cargo.toml` ([`settings`]), so that plain `cargo build` works afterwards.

mod ahead;
mod cache;
mod installer;
mod layout;
mod library;
mod platform;
mod provision;
mod settings;
mod version;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::cargo::root;
use crate::terminal::say;
use ahead::Ahead;
use library::Library;
use version::VERSION;

/// Provide libtorch 2.11.0, and nothing else; a no-op where it is in place.
///
/// The first of these that there is: `--libtorch` or LIBTORCH, an installed PyTorch 2.11.0, the wheel from PyPI in the
/// user's cache folder (about 0.5 GB there, shared by all checkouts).
#[derive(Debug, Default, clap::Args)]
#[command(after_help = "Examples:\n  cargo xtask setup\n  cargo xtask setup --libtorch /usr/local/libtorch")]
pub struct Options {
    /// Use the libtorch in this folder (with `include` and `lib`)
    #[arg(long, value_name = "DIR", conflicts_with_all = ["cuda", "cpu"])]
    libtorch: Option<PathBuf>,
    /// Add the CUDA libraries to the wheel's [default: where an NVIDIA driver is found]
    #[arg(long, conflicts_with = "cpu")]
    cuda: bool,
    /// Leave the CUDA libraries out
    #[arg(long)]
    cpu: bool,
    /// Compile nothing meanwhile; by default, what needs no libtorch is compiled while it is fetched
    #[arg(long)]
    fetch_only: bool,
}

/// Provides libtorch as the options say, and says what it did.
pub fn setup(options: &Options) -> Result<()> {
    let cuda = options.cuda || (!options.cpu && platform::nvidia_driver());
    let configured = settings::libtorch(&root());
    let current = configured.as_deref().and_then(|home| Library::open(home).ok());
    let was_ready = current.is_some();
    let library = match (&options.libtorch, current) {
        (Some(home), _) => named(home, "--libtorch")?,
        (None, Some(library)) if !(cuda && provision::lacks_cuda(&library)) => library,
        (None, Some(_)) => provision::provide(true, |_| None)?,
        (None, None) => choose(configured.as_deref(), cuda, !options.fetch_only)?,
    };
    let changed = settings::write(&root(), &library)?;
    let verb = if was_ready && !changed { "is in place" } else { "is ready" };
    say!("libtorch {VERSION} {verb}: {}", library.home.display());
    platform::warn_without_compiler();
    Ok(())
}

impl Options {
    /// libtorch for the CPU alone, whatever driver there is, and no build in release beside it.
    pub fn for_tests() -> Self {
        Self { cpu: true, fetch_only: true, ..Self::default() }
    }
}

/// Sets up with the defaults where there is no usable libtorch; quick where there is.
pub fn ensure() -> Result<()> {
    ensure_with(&Options::default())
}

/// As [`ensure`], with these options where there is something to do.
pub fn ensure_with(options: &Options) -> Result<()> {
    let ready = settings::libtorch(&root()).is_some_and(|home| Library::open(&home).is_ok());
    if ready { Ok(()) } else { setup(options) }
}

/// `stale` is what the settings of a former set-up say: Cargo hands it to this program as LIBTORCH.
fn choose(stale: Option<&Path>, cuda: bool, ahead: bool) -> Result<Library> {
    let named_by_user = std::env::var_os("LIBTORCH").map(PathBuf::from).filter(|home| Some(home.as_path()) != stale);
    if let Some(home) = named_by_user {
        return named(&home, "LIBTORCH");
    }
    let provide = || {
        let provided = provision::provide(cuda, |home| if ahead { compile_for(home) } else { None });
        // What was written for the build beside the download would hide the user's own LIBTORCH from the next set-up.
        provided.inspect_err(|_| settings::forget(&root()))
    };
    match library::installed_pytorch() {
        Some(Ok(library)) => Ok(library),
        Some(Err(unfit)) => {
            say!("passing over the installed PyTorch: {unfit:#}");
            provide()
        }
        None => provide(),
    }
}

/// Compiles what needs no libtorch, with the flags of the libtorch that `home` will be.
fn compile_for(home: &Path) -> Option<Ahead> {
    settings::write(&root(), &Library { home: home.to_owned() }).ok()?;
    Ahead::start()
}

fn named(home: &Path, by: &str) -> Result<Library> {
    Library::open(home).with_context(|| {
        format!("{by} is {}, which vqkit cannot use; name another, or none for a download", home.display())
    })
}
