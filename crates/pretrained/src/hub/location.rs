//! What users write in place of a path to weights.

use std::{fmt, path::Path};

use vqkit_recipe::InvalidRequest;

use crate::error::{HubError, HubProblem, PretrainedError, Result};

/// What a location on the Hub begins with.
const SCHEME: &str = "hf://";

/// The branch where none is named.
const MAIN: &str = "main";

/// Where weights are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location<'p> {
    /// A file or folder on this machine.
    Path(&'p Path),
    /// A file or folder on the Hugging Face Hub.
    Hub(HubPath),
}

impl<'p> Location<'p> {
    /// Reads a location: what begins with `hf://` is on the Hub, all else is a path.
    ///
    /// ```
    /// use std::path::Path;
    ///
    /// use vqkit_pretrained::hub::Location;
    ///
    /// let Location::Hub(found) = Location::parse(Path::new("hf://amused/amused-256@main/vqvae"))? else { panic!() };
    /// assert_eq!((found.repository.as_str(), found.inside.as_deref()), ("amused/amused-256", Some("vqvae")));
    /// assert!(matches!(Location::parse(Path::new("runs/demo"))?, Location::Path(_)));
    /// # Ok::<(), vqkit_pretrained::PretrainedError>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidRequest`] where it begins with `hf://` but is not `hf://owner/name[@revision][/path]`.
    pub fn parse(path: &'p Path) -> Result<Self> {
        match path.to_str().and_then(|text| text.strip_prefix(SCHEME)) {
            None => Ok(Self::Path(path)),
            Some(rest) => HubPath::read(rest).map(Self::Hub),
        }
    }
}

/// A model repository on the Hugging Face Hub, or a file or folder in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubPath {
    /// `owner/name`.
    pub repository: String,
    /// A branch, a tag, or a commit in 40 hexadecimal digits; `main` unless named.
    pub revision: String,
    /// The path inside the repository, with `/` between names; `None` for all of it.
    pub inside: Option<String>,
}

impl HubPath {
    /// Reads `hf://owner/name[@revision][/path]`.
    ///
    /// # Errors
    /// [`InvalidRequest`] where it is not of that form.
    pub fn parse(text: &str) -> Result<Self> {
        text.strip_prefix(SCHEME).map_or_else(|| Err(wrong(text)), Self::read)
    }

    /// Reads what follows `hf://`.
    fn read(rest: &str) -> Result<Self> {
        let mut names = rest.split('/');
        let (Some(owner), Some(name)) = (names.next(), names.next()) else { return Err(wrong(rest)) };
        let (name, revision) = name.split_once('@').unwrap_or((name, MAIN));
        // A slash in a revision is written as %2F, as in addresses of the Hub's pages.
        let revision = revision.replace("%2F", "/").replace("%2f", "/");
        let inside: Vec<&str> = names.collect();
        let inside = match inside.as_slice() {
            [] | [""] => None,
            [names @ .., ""] | names => Some(names.join("/")),
        };
        let sound = [owner, name].into_iter().all(is_repository_name)
            && is_inside(&revision)
            && inside.as_deref().is_none_or(is_inside);
        match sound {
            true => Ok(Self { repository: format!("{owner}/{name}"), revision, inside }),
            false => Err(wrong(rest)),
        }
    }

    /// The error about this location.
    pub(crate) fn error(&self, problem: HubProblem) -> PretrainedError {
        PretrainedError::Hub(Box::new(HubError { location: self.to_string(), problem }))
    }
}

impl fmt::Display for HubPath {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        write!(out, "{SCHEME}{}", self.repository)?;
        if self.revision != MAIN {
            write!(out, "@{}", self.revision.replace('/', "%2F"))?;
        }
        self.inside.as_ref().map_or(Ok(()), |inside| write!(out, "/{inside}"))
    }
}

/// Whether the Hub may have an owner or a repository of this name, which also is a safe name of a folder.
fn is_repository_name(name: &str) -> bool {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    !name.is_empty() && name.chars().all(allowed) && !name.contains("--") && !name.contains("..")
}

/// Whether a path stays inside the folder that it begins in.
pub(crate) fn is_inside(path: &str) -> bool {
    path.split('/').all(|name| !["", ".", ".."].contains(&name) && !name.contains(['\\', '\0']))
}

fn wrong(text: &str) -> PretrainedError {
    let text = text.strip_prefix(SCHEME).unwrap_or(text);
    let message =
        format!("`{SCHEME}{text}` is no location on the Hub; write hf://OWNER/NAME, with @REVISION and /PATH");
    InvalidRequest::option("path", message).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_read_and_written() {
        let cases = [
            ("hf://a/b", ("a/b", "main", None)),
            ("hf://a/b/", ("a/b", "main", None)),
            ("hf://a/b@v1.0", ("a/b", "v1.0", None)),
            ("hf://a/b@refs%2Fpr%2F1/x.bin", ("a/b", "refs/pr/1", Some("x.bin"))),
            ("hf://Foundation_V/x-1.5/sub/dir/f.pt", ("Foundation_V/x-1.5", "main", Some("sub/dir/f.pt"))),
            ("hf://a/b/c@d", ("a/b", "main", Some("c@d"))),
        ];
        for (text, (repository, revision, inside)) in cases {
            let Location::Hub(found) = Location::parse(Path::new(text)).unwrap() else { panic!("{text}") };
            assert_eq!((&*found.repository, &*found.revision, found.inside.as_deref()), (repository, revision, inside));
            assert_eq!(HubPath::parse(&found.to_string()).unwrap(), found, "{text}");
        }
    }

    #[test]
    fn what_leaves_the_repository_is_refused() {
        for text in [
            "hf://",
            "hf://a",
            "hf://a/",
            "hf:///b",
            "hf://a/b/../c",
            "hf://a/b//c",
            "hf://../b",
            "hf://a/b@",
            "hf://a/b@../x",
        ] {
            let message = Location::parse(Path::new(text)).unwrap_err().to_string();
            assert!(message.contains("hf://OWNER/NAME"), "{text}: {message}");
        }
        for text in ["runs/demo", "/hf://a/b", "hf:/a/b", "s3://a/b"] {
            assert_eq!(Location::parse(Path::new(text)).unwrap(), Location::Path(Path::new(text)));
        }
    }
}
