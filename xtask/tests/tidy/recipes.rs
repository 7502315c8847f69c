//! Recipes: each opens with what it trains, from where, what it needs and what to expect.

use crate::expect_none;
use crate::files::{read, short, sources};

/// The comment at the head must have at least this many lines.
const HEADER: usize = 2;

fn has_header(recipe: &str) -> bool {
    recipe.lines().take_while(|line| line.starts_with('#')).count() >= HEADER
}

#[test]
fn every_recipe_says_what_to_expect() {
    let recipes = sources(&[".toml"]).into_iter().filter(|path| short(path).starts_with("configs"));
    let bare = recipes.filter(|path| !has_header(&read(path)));
    expect_none(&bare.map(|path| format!("{}: opens without a header of comments", short(&path))).collect::<Vec<_>>());
}

#[test]
fn a_recipe_without_a_header_is_found() {
    assert!(!has_header("name = \"demo\"\n# a comment too late\n"));
    assert!(has_header("# The demo.\n#\nname = \"demo\"\n"));
}
