//! The token files of a run.

use std::path::Path;

use vqkit_models::ConditionVocabulary;
use vqkit_recipe::{Modality, Recipe, stage_names};
use vqkit_run::{Run, RunError, files};

use crate::{error::Result, error::TokensError, split, split::Split, token_file::TokenHeader, token_set::TokenSet};

/// The header of token files that stay behind where a run is passed on.
const HEADER: &str = "header.json";

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

/// What the priors of a run know of classes and captions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vocabulary {
    /// Names of the classes; empty where there are none.
    pub classes: Vec<String>,
    /// Those of the classes that have no training sample.
    pub empty_classes: Vec<String>,
    /// Numbers of classes and of ids in captions.
    pub facts: ConditionVocabulary,
}

/// The classes and captions of a run: those of its first token file; of an imported run, which has none, those of its recipe.
///
/// # Errors
/// When the stage `tokens` is not done in a run with data, or its files are gone.
pub fn vocabulary(run: &Run) -> Result<Vocabulary> {
    if run.recipe().data.source.is_none() {
        return Ok(of_recipe(run.recipe()));
    }
    let header = header(run)?;
    let facts = header.facts();
    Ok(Vocabulary { classes: header.classes, empty_classes: header.empty_classes, facts })
}

/// The header of a run's token files: of the first, or what stands in their place in a run that was passed on without tokens.
///
/// # Errors
/// When the stage `tokens` is not done, or its files are gone.
pub fn header(run: &Run) -> Result<TokenHeader> {
    let folder = run.path().join(&run.require(stage_names::TOKENS)?.path);
    let alone = folder.join(HEADER);
    if alone.is_file() {
        return Ok(files::read_json(&alone)?);
    }
    let files = split::files_of(&folder, Split::Train);
    let missing = || RunError::artifact(&folder, "holds no token file; remove it and run the stage `tokens` again");
    TokenHeader::read(files.first().ok_or_else(missing)?)
}

/// Writes a header in place of token files into the folder of the stage `tokens`.
///
/// # Errors
/// When it cannot be written.
pub fn write_header(folder: &Path, header: &TokenHeader) -> Result<()> {
    Ok(files::write_json(&folder.join(HEADER), header)?)
}

/// The classes of a recipe; where they have no names, their numbers.
fn of_recipe(recipe: &Recipe) -> Vocabulary {
    let (facts, _) = ConditionVocabulary::of_recipe(recipe);
    let numbers = || (0..recipe.condition.num_classes.unwrap_or(0)).map(|class| class.to_string()).collect();
    let classes = recipe.data.class_names.clone().unwrap_or_else(numbers);
    Vocabulary { classes, empty_classes: Vec::new(), facts }
}
