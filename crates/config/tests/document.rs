//! Where errors in a recipe are said to stand.

use serde::{Deserialize, Serialize};
use vqkit_config::{ConfigError, Document};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Square {
    side: i64,
}

vqkit_config::tagged! {
    /// A shape.
    enum Shape {
        /// Four sides.
        "square" => Square(Square),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Drawing {
    #[allow(dead_code, reason = "only its place in an error matters")]
    shape: Shape,
}

fn error_of(text: &str, overrides: &[&'static str]) -> String {
    let read = || -> Result<(), ConfigError> {
        let mut document = Document::parse("r.toml", text)?;
        for assignment in overrides {
            document.set(assignment)?;
        }
        document.into_section().require("drawing")?.read::<Drawing>().map(drop)
    };
    read().expect_err("must fail").to_string()
}

#[test]
fn an_error_inside_a_tagged_table_names_its_own_line() {
    let text = "[drawing]\n\n[drawing.shape]\nside = 3\ncolour = 'red'\ntype = 'square'\n";
    assert_eq!(error_of(text, &[]), "r.toml:5: drawing.shape.colour: unknown field `colour`, expected `side`");
    let text = "[drawing.shape]\ntype = 'square'\nside = 'long'\n";
    let error = error_of(text, &[]);
    assert!(error.starts_with("r.toml:3: drawing.shape.side: invalid type: string \"long\""), "{error}");
}

#[test]
fn an_unknown_or_missing_type_lists_the_members() {
    let error = error_of("[drawing.shape]\ntype = 'circle'\n", &[]);
    assert!(error.starts_with("r.toml:2: drawing.shape.type: unknown type `circle`"), "{error}");
    assert!(error.contains("square"), "{error}");
    assert!(error_of("[drawing.shape]\nside = 1\n", &[]).contains("missing key `type`"));
    assert_eq!(error_of("a = 1\n", &[]), "r.toml:1: missing section [drawing]");
}

#[test]
fn an_error_in_an_override_names_the_override() {
    let text = "[drawing.shape]\ntype = 'square'\nside = 3\n";
    let error = error_of(text, &["drawing.shape.side=wide"]);
    assert!(error.starts_with("--set drawing.shape.side=wide: drawing.shape.side: invalid type"), "{error}");
    assert!(error_of(text, &["drawing"]).contains("expected key=value"));
    assert!(error_of(text, &["drawing.shape.side.x=1"]).contains("`side` is a integer, not a table"));
}

#[test]
fn overrides_reach_into_arrays_of_tables() {
    let mut document = Document::parse("r.toml", "[[list]]\nside = 1\n[[list]]\nside = 2\n").unwrap();
    document.set("list.1.side=7").unwrap();
    assert!(document.set("list.2.side=7").is_err());
    let items = document.into_section().take_list("list").unwrap();
    let sides: Vec<i64> = items.iter().map(|item| item.read::<Square>().unwrap().side).collect();
    assert_eq!(sides, [1, 7]);
}

#[test]
fn a_syntax_error_names_its_line() {
    let error = Document::parse("r.toml", "a = 1\nb = [1,\n").expect_err("must fail").to_string();
    assert!(error.starts_with("r.toml:"), "{error}");
    let section = Document::parse("r.toml", "a = 1\n[t]\nb = 2\n").unwrap().into_section();
    assert_eq!(section.error_at("t.b", "too small").to_string(), "r.toml:3: t.b: too small");
}
