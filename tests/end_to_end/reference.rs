//! The reference pages of the book are what the binary says of itself, and the schema of recipes says what the binary takes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use vqkit::recipe::Recipe;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/src/reference");
const CONFIGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs");

fn printed(words: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_vqkit")).args(words).env_remove("COLUMNS").output().unwrap();
    assert!(output.status.success(), "{words:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_schema_in_the_book_is_that_of_the_binary() {
    let page = fs::read_to_string(Path::new(FOLDER).join("recipe.schema.json")).unwrap();
    assert!(page == printed(&["schema"]), "recipe.schema.json is not current: run `cargo xtask reference`");
}

#[test]
fn the_page_of_the_command_line_holds_every_help_text() {
    let page = fs::read_to_string(Path::new(FOLDER).join("cli.md")).unwrap();
    let help = printed(&["--help"]);
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| line.starts_with("  "));
    let first_lines = listed.filter(|line| !line.starts_with("   "));
    let commands: Vec<&str> = first_lines.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.len() > 10 && commands.contains(&"train"), "{help}");
    let of_commands = commands.iter().filter(|command| **command != "help").map(|command| vec![*command, "--help"]);
    for words in of_commands.chain([vec!["--help"]]) {
        let help = printed(&words);
        assert!(page.contains(help.trim_end()), "{words:?} is not current in cli.md: run `cargo xtask reference`");
    }
}

fn recipes() -> Vec<PathBuf> {
    let folders = ["", "published", "finetune"].map(|folder| Path::new(CONFIGS).join(folder));
    let files = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "toml")).collect()
}

fn json(toml: &str) -> Value {
    serde_json::to_value(toml::from_str::<toml::Table>(toml).unwrap()).unwrap()
}

#[test]
fn the_schema_takes_every_recipe_that_ships_and_its_resolved_form() {
    let schema = jsonschema::validator_for(&serde_json::from_str(&printed(&["schema"])).unwrap()).unwrap();
    for path in recipes() {
        let text = fs::read_to_string(&path).unwrap();
        let resolved = Recipe::read(&path, &[]).unwrap().to_toml().unwrap();
        for recipe in [json(&text), json(&resolved)] {
            let errors: Vec<String> = schema.iter_errors(&recipe).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{}: {errors:?}", path.display());
        }
    }
}

/// The tables of a recipe, as JSON pointers.
fn tables(recipe: &Value, at: String) -> Vec<String> {
    let inside = |(key, value): (String, &Value)| tables(value, format!("{at}/{key}"));
    match recipe {
        Value::Object(table) => {
            let below = table.iter().flat_map(|(key, value)| inside((key.clone(), value)));
            below.chain([at.clone()]).collect()
        }
        Value::Array(items) => {
            items.iter().enumerate().flat_map(|(index, value)| inside((index.to_string(), value))).collect()
        }
        _ => Vec::new(),
    }
}

#[test]
fn the_schema_refuses_an_unknown_key_in_every_table() {
    let schema = jsonschema::validator_for(&serde_json::from_str(&printed(&["schema"])).unwrap()).unwrap();
    let mut tried = 0;
    for path in recipes() {
        let recipe = json(&Recipe::read(&path, &[]).unwrap().to_toml().unwrap());
        for table in tables(&recipe, String::new()) {
            let mut wrong = recipe.clone();
            wrong.pointer_mut(&table).unwrap().as_object_mut().unwrap().insert("no_such_key".into(), 1.into());
            assert!(!schema.is_valid(&wrong), "{}: {table}", path.display());
            tried += 1;
        }
    }
    assert!(tried > 200, "{tried}");
}
