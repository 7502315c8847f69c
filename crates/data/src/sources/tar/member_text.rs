//! Labels, captions and descriptions of samples in an archive.

use std::{fs::File, io};

use super::index::Span;
use crate::{
    plain,
    sources::{annotation::Annotation, text::utf8},
};

/// The largest label, caption or JSON member, in bytes.
const MAX_TEXT: u64 = 1 << 20;

/// The text of a small member, without a mark of byte order.
pub(super) fn read_text(file: &File, span: Span) -> io::Result<String> {
    if span.len > MAX_TEXT {
        return Err(invalid(format!("its label or caption has {} bytes, more than {MAX_TEXT}", span.len)));
    }
    let bytes = plain::read_at(file, span.offset, span.len)?;
    utf8(bytes).map_err(|reason| invalid(format!("its label or caption {reason}")))
}

/// The fields that are used of a `.json` member; none of one that holds a list.
pub(super) fn read_json(file: &File, span: Span) -> io::Result<Annotation> {
    let text = read_text(file, span)?;
    match text.trim_start().starts_with('[') {
        true => Ok(Annotation::default()),
        false => {
            Annotation::read(&text, &["class", "caption"]).map_err(|reason| invalid(format!("its .json {reason}")))
        }
    }
}

fn invalid(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}
