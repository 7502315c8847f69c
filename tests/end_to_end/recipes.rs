//! The recipes that ship.

use std::{fs, path::Path};

use vqkit_pipeline::{Context, Interrupt, Recipe, stages};

#[test]
fn every_recipe_can_be_built_and_reads_back_as_it_was_resolved() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
    let context = Context::new("cpu", None, Interrupt::default()).unwrap();
    let mut recipes = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let recipe = Recipe::read(&path, &[]).unwrap_or_else(|error| panic!("{error}"));
        stages::check(&recipe, None, &context).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let resolved = Recipe::parse("resolved", &recipe.to_toml().unwrap(), &[]).unwrap();
        assert_eq!(recipe, resolved, "{}", path.display());
        recipes += 1;
    }
    assert!(recipes >= 3);
}
