//! Statistics of real pictures, computed once.

use std::{fs, path::PathBuf};
use vqkit_models::download;
use vqkit_run::{Context, RunError, files};

use crate::{error::Result, extractor::Extractor, image_set::PictureSet, protocol::Protocol, statistics::Statistics};

/// The statistics of a set: those in the user's cache folder where they are of the same network, protocol and bytes; else `gather`ed,
/// and put there. Also whether they were there.
///
/// Names and sizes of the files find the entry; the contents of all files are then compared by their fingerprint, so that a
/// picture that was changed since is noticed.
///
/// # Errors
/// Those of `gather`; when a picture cannot be read. A cache that cannot be used or written is done without, with a warning.
pub fn statistics(
    set: &PictureSet,
    extractor: &Extractor,
    protocol: Protocol,
    context: &Context,
    gather: impl Fn() -> Result<Statistics>,
) -> Result<(Statistics, bool)> {
    let path = path(set, extractor, protocol)?;
    if path.is_file() {
        match Statistics::read(&path) {
            Ok(mut found) => {
                let origin = set.origin()?;
                if let Some(header) =
                    found.header.as_mut().filter(|header| header.origin.fingerprint == origin.fingerprint)
                {
                    // The same pictures may lie elsewhere by now.
                    header.origin = origin;
                    return Ok((found, true));
                }
                context.warn("the pictures changed since their statistics were cached: computing them anew");
            }
            Err(error) => context.warn(format_args!("cached statistics are not used: {error}")),
        }
    }
    let statistics = gather()?;
    let folder = path.parent().map_or(Ok(()), |folder| fs::create_dir_all(folder).map(|()| drop(files::sweep(folder))));
    let written =
        folder.map_err(|source| RunError::io("write", &path, source).into()).and_then(|()| statistics.write(&path));
    if let Err(error) = written {
        context.warn(format_args!("statistics are not cached: {error}"));
    }
    Ok((statistics, false))
}

/// Where the statistics of such a set lie.
fn path(set: &PictureSet, extractor: &Extractor, protocol: Protocol) -> Result<PathBuf> {
    let meaning = format!("{} {} {} {protocol}", set.listing(), extractor.kind(), extractor.weights());
    let name = format!("{}.safetensors", blake3::hash(meaning.as_bytes()).to_hex());
    Ok(download::user_folder()?.join("statistics").join(name))
}
