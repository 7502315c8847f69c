//! Where the Hub is, what it knows the user by, and where its files are kept: from the environment, as Python's
//! `huggingface_hub` reads it.

use std::{env, fmt, fs, path::PathBuf};

use crate::{download, error::Result};

/// The public Hub.
const ENDPOINT: &str = "https://huggingface.co";

/// The variable that forbids the network to every program that uses the Hub.
const HUB_OFFLINE: &str = "HF_HUB_OFFLINE";

/// A Hugging Face Hub, and the cache of its files.
#[derive(Clone)]
pub struct Hub {
    /// The address of the server, without a slash at the end.
    pub endpoint: String,
    /// The cache folder; created with the first download.
    pub folder: PathBuf,
    /// The user's token, which is sent to `endpoint` alone.
    pub token: Option<String>,
    /// The environment variable that forbids the network, if one does.
    pub offline: Option<&'static str>,
}

impl Hub {
    /// The user's Hub, according to the environment.
    ///
    /// | variable | meaning |
    /// |---|---|
    /// | `HF_ENDPOINT` | the server; `https://huggingface.co` unless set |
    /// | `HF_HUB_CACHE`, else `HF_HOME` | the cache folder, or the folder around it; `~/.cache/huggingface` unless set |
    /// | `HF_TOKEN`, else `HF_TOKEN_PATH` | the token, or its file; the file `token` in `HF_HOME` unless set |
    /// | `VQKIT_OFFLINE`, `HF_HUB_OFFLINE` | forbid the network, if neither empty nor 0 |
    ///
    /// # Errors
    /// [`vqkit_recipe::InvalidRequest`] when no variable names a folder for the cache.
    pub fn of_user() -> Result<Self> {
        let home = match path("HF_HOME") {
            Some(home) => home,
            None => download::caches()?.join("huggingface"),
        };
        let endpoint = text("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_owned());
        Ok(Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            folder: path("HF_HUB_CACHE").unwrap_or_else(|| home.join("hub")),
            token: text("HF_TOKEN").or_else(|| {
                let file = path("HF_TOKEN_PATH").unwrap_or_else(|| home.join("token"));
                fs::read_to_string(file).ok().map(|token| token.trim().to_owned()).filter(|token| !token.is_empty())
            }),
            offline: [download::OFFLINE, HUB_OFFLINE].into_iter().find(|name| download::is_set(name)),
        })
    }
}

/// Everything but the token.
impl fmt::Debug for Hub {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let Self { endpoint, folder, token, offline } = self;
        let token = token.as_ref().map(|_| "…");
        let mut out = out.debug_struct("Hub");
        out.field("endpoint", endpoint).field("folder", folder).field("token", &token).field("offline", offline);
        out.finish()
    }
}

fn path(name: &str) -> Option<PathBuf> {
    env::var_os(name).map(PathBuf::from).filter(|path| !path.as_os_str().is_empty())
}

fn text(name: &str) -> Option<String> {
    env::var(name).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_not_shown() {
        let hub =
            Hub { endpoint: ENDPOINT.into(), folder: "hub".into(), token: Some("hf_secret".into()), offline: None };
        assert!(!format!("{hub:?}").contains("secret"));
    }
}
