//! What is known of an archive without reading its images: which samples there are, and where their bytes lie.

use serde::{Deserialize, Serialize};

use crate::{BadFile, PassedOver, sources::labels::Label};

/// A range of bytes of the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Span {
    pub offset: u64,
    pub len: u64,
}

/// A sample of the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Member {
    pub key: String,
    pub image_name: String,
    pub image: Span,
    pub label: Option<Label>,
    pub caption: Option<Span>,
    pub json: Option<Span>,
    pub json_caption: bool,
}

/// The samples of an archive, and the members that are none.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Index {
    pub members: Vec<Member>,
    pub rejected: Vec<BadFile>,
    /// Members that belong to no sample, and those that a sample has no use for.
    pub passed: PassedOver,
    /// Where the mark of the end begins.
    pub end: u64,
}
