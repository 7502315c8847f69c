//! What `tch` lacks, safe and documented; and the [`TokenGrid`], the one word that all crates of vqkit share.

mod tokens;

pub use tokens::{TokenError, TokenGrid, Tokens};
