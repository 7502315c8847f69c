//! A cache of the statistics of real images.

use std::{fs, path::PathBuf};
use vqkit_pretrained::download;
use vqkit_run::{Context, RunError, files};

use crate::{
    error::Result, extractor::Extractor, image_set::Origin, image_set::PictureSet, protocol::Protocol,
    statistics::Statistics,
};

/// The statistics of a set: those in the user's cache folder if they belong to the same network, protocol and bytes;
/// else they are `gather`ed and stored there. Also whether they were there.
///
/// Names and sizes of the files find the entry; the contents of all files are then compared by their fingerprint, so
/// that a changed image is noticed.
///
/// # Errors
/// Those of `gather`; when an image cannot be read. If the cache cannot be read or written, a warning is given and the
/// work continues.
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
                let Origin { path, fingerprint, .. } = set.origin()?;
                if let Some(header) = found.header.as_mut().filter(|header| header.origin.fingerprint == fingerprint) {
                    // The same images may have moved.
                    header.origin.path = path;
                    return Ok((found, true));
                }
                context.warn("the images changed since their statistics were cached: computing them again");
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

/// The cache file for the statistics of such a set.
fn path(set: &PictureSet, extractor: &Extractor, protocol: Protocol) -> Result<PathBuf> {
    let meaning = format!("{} {} {} {protocol}", set.listing(), extractor.kind(), extractor.weights());
    let name = format!("{}.safetensors", blake3::hash(meaning.as_bytes()).to_hex());
    Ok(download::user_folder()?.join("statistics").join(name))
}
