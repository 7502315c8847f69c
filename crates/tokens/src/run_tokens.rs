//! The token files of a run.

use vqkit_recipe::{Modality, stage_names};
use vqkit_run::{Run, RunError};

use crate::{error::Result, error::TokensError, split, split::Split, token_file::TokenHeader, token_set::TokenSet};

/// The run's token files of a split, which must have been written by the run's trained tokenizer.
///
/// # Errors
/// When the stage `tokens` is not done, or the files were written by another tokenizer.
pub fn read_tokens(run: &Run, split: Split) -> Result<TokenSet> {
    let folder = run.path().join(&run.require(stage_names::TOKENS)?.path);
    let paths = split::files_of(&folder, split);
    if paths.is_empty() {
        return Err(TokensError::NoValidation);
    }
    let tokens = TokenSet::open(&paths)?;
    let is_own = |modality: Modality, found: Option<&str>| {
        found.is_none_or(|found| run.output(modality.stage()).is_some_and(|output| output.fingerprint == found))
    };
    let TokenHeader { tokenizer, template, .. } = &tokens.header;
    if !is_own(Modality::Image, Some(tokenizer)) || !is_own(Modality::Template, template.as_deref()) {
        let reason = "written by a tokenizer other than the run's; remove the folder and run the stage `tokens` again";
        return Err(RunError::artifact(&folder, reason).into());
    }
    Ok(tokens)
}

/// The header of the run's first token file: classes, sizes, the number of ids of captions.
///
/// # Errors
/// As [`read_tokens`].
pub fn header(run: &Run) -> Result<TokenHeader> {
    let folder = run.path().join(&run.require(stage_names::TOKENS)?.path);
    match split::files_of(&folder, Split::Train).first() {
        Some(first) => TokenHeader::read(first),
        None => {
            Err(RunError::artifact(&folder, "holds no token file; remove it and run the stage `tokens` again").into())
        }
    }
}
