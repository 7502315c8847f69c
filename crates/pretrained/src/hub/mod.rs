//! The Hugging Face Hub: `hf://owner/name` where a path to weights is taken, and uploads.
//!
//! Files are kept in the cache of Python's `huggingface_hub`, in the same layout, so each finds what the other has
//! fetched. The variables HF_ENDPOINT, HF_HOME, HF_HUB_CACHE, HF_TOKEN and HF_TOKEN_PATH have their usual meaning;
//! VQKIT_OFFLINE and HF_HUB_OFFLINE forbid the network.

#[cfg(feature = "hub")]
mod cache;
#[cfg(feature = "hub")]
mod client;
#[cfg(feature = "hub")]
mod environment;
#[cfg(feature = "hub")]
mod fetch;
#[cfg(feature = "hub")]
mod hashes;
#[cfg(feature = "hub")]
mod lfs;
mod location;
#[cfg(feature = "hub")]
mod push;
mod pushed;

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
    sync::Arc,
};

use vqkit_run::Observer;

use crate::error::Result;

#[cfg(feature = "hub")]
pub use self::environment::Hub;
#[cfg(feature = "hub")]
pub(crate) use self::fetch::sha256;
pub use self::location::{HubPath, Location};
pub use self::pushed::{Push, Pushed};

/// The path on this machine of weights that a user names: a path as it is; what is on the Hub, downloaded if it is not
/// in the cache.
///
/// A branch that is in the cache stays at the commit that is there; [`refresh`] asks the Hub for a newer one.
///
/// ```no_run
/// use std::{path::Path, sync::Arc};
///
/// use vqkit_pretrained::hub;
/// use vqkit_run::{Observer, Silent};
///
/// let observer: Arc<dyn Observer> = Arc::new(Silent);
/// let path = hub::local_path(Path::new("hf://FoundationVision/LlamaGen/vq_ds16_c2i.pt"), &observer)?;
/// println!("{}", path.display());
/// # Ok::<(), vqkit_pretrained::PretrainedError>(())
/// ```
///
/// # Errors
/// [`vqkit_recipe::InvalidRequest`] where it begins with `hf://` and is no such location; [`crate::HubError`] where it
/// cannot be had.
pub fn local_path<'p>(path: &'p Path, observer: &Arc<dyn Observer>) -> Result<Cow<'p, Path>> {
    match Location::parse(path)? {
        Location::Path(path) => Ok(Cow::Borrowed(path)),
        Location::Hub(location) => location.fetch(false, observer).map(Cow::Owned),
    }
}

/// As [`local_path`], but asks the Hub whether a branch has moved, and downloads what is new.
///
/// # Errors
/// As [`local_path`].
pub fn refresh(location: &HubPath, observer: &Arc<dyn Observer>) -> Result<PathBuf> {
    location.fetch(true, observer)
}

/// As [`local_path`], without the network: `None` where it is not on this machine.
///
/// # Errors
/// As [`local_path`], for a location that is none.
pub fn path_at_hand(path: &Path) -> Result<Option<PathBuf>> {
    match Location::parse(path)? {
        Location::Path(path) => Ok(path.exists().then(|| path.to_owned())),
        Location::Hub(location) => location.at_hand(),
    }
}

/// Uploads a folder to the user's Hub; see `Hub::push`, which this build may lack.
///
/// ```no_run
/// use std::{path::Path, sync::Arc};
///
/// use vqkit_pretrained::hub::{self, HubPath, Push};
/// use vqkit_run::{Observer, Silent};
///
/// let observer: Arc<dyn Observer> = Arc::new(Silent);
/// let to = HubPath::parse("hf://me/my-tokenizer")?;
/// let push = Push { folder: Path::new("exported"), to: &to, message: "first version", private: true };
/// println!("{}", hub::push(&push, &observer)?.url);
/// # Ok::<(), vqkit_pretrained::PretrainedError>(())
/// ```
///
/// # Errors
/// [`vqkit_recipe::InvalidRequest`] where the folder has no files; [`crate::HubError`] without a token, without
/// permission, or when the Hub cannot be reached.
pub fn push(push: &Push, observer: &Arc<dyn Observer>) -> Result<Pushed> {
    push.to.receive(push, observer)
}

#[cfg(feature = "hub")]
impl HubPath {
    fn fetch(&self, renew: bool, observer: &Arc<dyn Observer>) -> Result<PathBuf> {
        Hub::of_user()?.fetch(self, renew, observer)
    }

    fn at_hand(&self) -> Result<Option<PathBuf>> {
        Ok(Hub::of_user()?.at_hand(self))
    }

    fn receive(&self, push: &Push, observer: &Arc<dyn Observer>) -> Result<Pushed> {
        Hub::of_user()?.push(push, observer)
    }
}

#[cfg(not(feature = "hub"))]
impl HubPath {
    fn fetch(&self, _: bool, _: &Arc<dyn Observer>) -> Result<PathBuf> {
        Err(self.error(crate::error::HubProblem::NoFeature))
    }

    fn at_hand(&self) -> Result<Option<PathBuf>> {
        Err(self.error(crate::error::HubProblem::NoFeature))
    }

    fn receive(&self, _: &Push, _: &Arc<dyn Observer>) -> Result<Pushed> {
        Err(self.error(crate::error::HubProblem::NoFeature))
    }
}
