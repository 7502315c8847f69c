//! The page of recipe keys: tables made of the JSON Schema that `vqkit schema` prints.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

const HEAD: &str = "\
# Recipe keys

<!-- Written by `cargo xtask reference`. -->

A recipe is one TOML file. An unknown key is an error; every error names file, line and key, what was found and what is allowed.
Every run keeps its resolved recipe, with every key and its default, in `recipe.toml`.

`--set KEY=VALUE` overrides a key for one call, for example `--set tokenizer.train.steps=1000` or `--set prior.0.n_layer=6`.

**In an editor.** [recipe.schema.json](recipe.schema.json) is the same as a JSON Schema; `vqkit schema` prints it. Editors with
TOML support (Taplo, the extension Even Better TOML) complete and check keys by it, if the recipe names it in its first line:

```toml
#:schema ./recipe.schema.json
```

## In front of the sections
";

/// The page.
pub fn page(schema: &Value) -> String {
    let mut page = Page { schema, text: HEAD.to_owned(), described: BTreeMap::new() };
    let (keys, tables) = page.split(&[schema]);
    page.keys(&keys);
    for (name, table) in tables {
        page.section(name, table);
    }
    page.text
}

struct Page<'s> {
    schema: &'s Value,
    text: String,
    /// Definitions that were described, and the section that did.
    described: BTreeMap<&'s str, String>,
}

/// A key, its schema, and whether it must be given.
type Key<'s> = (&'s str, &'s Value, bool);

impl<'s> Page<'s> {
    /// A table of the recipe, and those inside it.
    fn section(&mut self, path: &str, node: &'s Value) {
        let definition = target(node).or_else(|| target(node.get("items")?));
        let table = self.resolve(node);
        self.text += &format!("\n## {}\n\n", title(path, node));
        self.text += &match description(node).or_else(|| description(table)) {
            Some(text) => format!("{text}\n"),
            None => String::new(),
        };
        if let Some(first) = definition.and_then(|definition| self.described.get(definition)) {
            let anchor = first.replace('.', "");
            self.text += &format!("\nThe keys are those of [`[{first}]`](#{anchor}).\n");
            return;
        }
        if let Some(definition) = definition {
            self.described.insert(definition, path.to_owned());
        }
        if let Some(from) = node.pointer("/anyOf/1/properties/from") {
            self.text +=
                &format!("\nEither `from` alone, or the keys below.\n\n{}", rows(&[("from", from, false)], self));
        }
        let members = members(table);
        let (keys, tables) = self.split(&members);
        if members.len() > 1 {
            self.choices(&members, &keys);
        } else {
            self.keys(&keys);
        }
        for (name, table) in tables {
            self.section(&format!("{path}.{name}"), table);
        }
    }

    /// The keys that are the same in all members, then each member's own. A key of the same name may take another value in
    /// another member, or mean something else.
    fn choices(&mut self, members: &[&'s Value], keys: &[Key<'s>]) {
        let of_members: Vec<Vec<Key>> = members.iter().map(|member| self.split(&[member]).0).collect();
        let is_shared = |key: &Key<'s>| of_members.iter().all(|of_member| of_member.contains(key));
        let shared: Vec<Key> = keys.iter().copied().filter(is_shared).collect();
        let types: Vec<String> = members.iter().filter_map(|member| Some(format!("`{}`", kind(member)?))).collect();
        self.text += &format!("\n`type` is one of {}.\n", types.join(", "));
        self.keys(&shared);
        for (member, of_member) in members.iter().zip(&of_members) {
            let is_own = |key: &Key<'s>| key.0 != "type" && !is_shared(key);
            let own: Vec<Key> = of_member.iter().copied().filter(is_own).collect();
            let kind = kind(member).map(ToString::to_string).unwrap_or_default();
            self.text += &format!("\n**`type = {kind}`** {}\n", description(member).unwrap_or_default());
            self.keys(&own);
        }
    }

    fn keys(&mut self, keys: &[Key<'s>]) {
        if !keys.is_empty() {
            let rows = rows(keys, self);
            self.text += &format!("\n{rows}");
        }
    }

    /// The keys and the tables of all these members, each name once.
    fn split(&self, members: &[&'s Value]) -> (Vec<Key<'s>>, Vec<(&'s str, &'s Value)>) {
        let (mut keys, mut tables) = (Vec::<Key>::new(), Vec::<(&str, &Value)>::new());
        for member in members {
            let required: Vec<&str> = member
                .get("required")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            for (name, node) in member.get("properties").and_then(Value::as_object).into_iter().flatten() {
                match self.is_table(node) {
                    true if tables.iter().all(|(known, _)| known != name) => tables.push((name, node)),
                    false if keys.iter().all(|(known, ..)| known != name) => {
                        keys.push((name, node, required.contains(&name.as_str())));
                    }
                    _ => {}
                }
            }
        }
        (keys, tables)
    }

    fn is_table(&self, node: &'s Value) -> bool {
        let resolved = self.resolve(node);
        resolved.get("properties").is_some() || members(resolved).iter().all(|member| kind(member).is_some())
    }

    /// What a node stands for: references, and lists of tables, looked through.
    fn resolve(&self, node: &'s Value) -> &'s Value {
        if let Some(found) = target(node).and_then(|target| self.schema.pointer(target.trim_start_matches('#'))) {
            return self.resolve(found);
        }
        match node.get("items") {
            Some(items) if target(items).is_some() && self.is_table(items) => self.resolve(items),
            _ => node,
        }
    }

    /// A value, in words of TOML.
    fn value(&self, node: &'s Value) -> String {
        let node = self.resolve(node);
        if let Some(constant) = node.get("const") {
            return format!("`{constant}`");
        }
        if let Some(values) = node.get("enum").and_then(Value::as_array) {
            return values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", ");
        }
        if let Some(choices) = ["oneOf", "anyOf"].iter().find_map(|key| node.get(key)).and_then(Value::as_array) {
            return choices.iter().map(|choice| self.value(choice)).collect::<Vec<_>>().join(", ");
        }
        match (node.get("type").and_then(Value::as_str).unwrap_or("value"), node.get("items")) {
            ("array", Some(Value::Array(items))) => {
                format!("[{}]", items.iter().map(|item| self.value(item)).collect::<Vec<_>>().join(", "))
            }
            ("array", Some(item)) => match node.get("maxItems").and_then(Value::as_u64) {
                Some(count) => format!("[{}]", vec![self.value(item); count as usize].join(", ")),
                None => format!("list of {}", self.value(item)),
            },
            ("object", _) => {
                let fields = node.get("properties").and_then(Value::as_object).into_iter().flatten();
                let fields: Vec<String> = fields.map(|(name, node)| format!("{name} = {}", self.value(node))).collect();
                format!("{{ {} }}", fields.join(", "))
            }
            (kind, _) => kind.to_owned(),
        }
    }

    /// What the values of an enumeration mean.
    fn meanings(&self, node: &'s Value) -> String {
        let choices = self.resolve(node).get("oneOf").and_then(Value::as_array).into_iter().flatten();
        let meaning = |choice: &'s Value| Some(format!(" {}: {}", self.value(choice), in_line(description(choice)?)));
        choices.filter_map(meaning).collect()
    }
}

fn rows(keys: &[Key], page: &Page) -> String {
    let mut text = "| key | value | meaning |\n|---|---|---|\n".to_owned();
    for (name, node, required) in keys {
        let meaning = description(node).or_else(|| description(page.resolve(node))).map(in_line).unwrap_or_default();
        let must = if *required { ", required" } else { "" };
        let cells = [format!("`{name}`"), page.value(node) + must, meaning + &page.meanings(node)];
        text += &format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | "));
    }
    text
}

/// The heading of a section: `[[prior]]` where there may be several.
fn title(path: &str, node: &Value) -> String {
    match node.get("items") {
        Some(_) => format!("`[[{path}]]`"),
        None => format!("`[{path}]`"),
    }
}

/// The definition that a node refers to, the first of several.
fn target(node: &Value) -> Option<&str> {
    let places = ["/$ref", "/allOf/0/$ref", "/anyOf/0/$ref"];
    places.iter().find_map(|place| node.pointer(place)).and_then(Value::as_str)
}

/// The tables that a table may be: the members of a choice by `type`, else itself.
fn members(table: &Value) -> Vec<&Value> {
    match table.get("oneOf").and_then(Value::as_array) {
        Some(all) => all.iter().collect(),
        None => vec![table],
    }
}

/// The value of `type` that chooses a member.
fn kind(member: &Value) -> Option<&Value> {
    member.pointer("/properties/type/const")
}

fn description(node: &Value) -> Option<&str> {
    node.as_object().and_then(|node: &Map<String, Value>| node.get("description")).and_then(Value::as_str)
}

fn in_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_tables_members_and_repeated_tables_have_their_place() {
        let train = json!({ "properties": { "steps": { "type": "integer", "description": "How many." } }, "required": ["steps"] });
        let member = |kind: &str, own: &str| {
            let train = json!({ "$ref": "#/definitions/Train" });
            let properties = json!({ "type": { "const": kind }, own: { "type": "number" }, "train": train });
            json!({ "description": format!("The {kind}."), "properties": properties })
        };
        let schema = json!({
            "properties": {
                "name": { "type": "string" },
                "net": { "$ref": "#/definitions/Net" },
                "more": { "type": "array", "items": { "$ref": "#/definitions/Train" } },
            },
            "definitions": { "Train": train, "Net": { "oneOf": [member("a", "width"), member("b", "depth")] } },
        });
        let page = page(&schema);
        let rest = page.strip_prefix(HEAD).unwrap();
        let expected = "\n| key | value | meaning |\n|---|---|---|\n| `name` | string |  |\n\n## `[net]`\n\n\n`type` is one of `\"a\"`, `\"b\"`.\n\
            \n**`type = \"a\"`** The a.\n\n| key | value | meaning |\n|---|---|---|\n| `width` | number |  |\n\
            \n**`type = \"b\"`** The b.\n\n| key | value | meaning |\n|---|---|---|\n| `depth` | number |  |\n\
            \n## `[net.train]`\n\n\n| key | value | meaning |\n|---|---|---|\n| `steps` | integer, required | How many. |\n\
            \n## `[[more]]`\n\n\nThe keys are those of [`[net.train]`](#nettrain).\n";
        assert_eq!(rest, expected);
    }

    #[test]
    fn a_key_that_differs_between_members_stands_with_each() {
        let member = |kind: &str, files: Value| {
            let weight = json!({ "type": "number", "description": "How much." });
            let properties = json!({ "type": { "const": kind }, "weight": weight, "files": files });
            json!({ "description": format!("The {kind}."), "properties": properties })
        };
        let (one, several) = (json!({ "type": "string" }), json!({ "type": "array", "items": { "type": "string" } }));
        let schema = json!({ "properties": { "loss": { "oneOf": [member("a", one), member("b", several)] } } });
        let page = page(&schema);
        let rest = page.strip_prefix(HEAD).unwrap();
        let expected = "\n## `[loss]`\n\n\n`type` is one of `\"a\"`, `\"b\"`.\n\
            \n| key | value | meaning |\n|---|---|---|\n| `weight` | number | How much. |\n\
            \n**`type = \"a\"`** The a.\n\n| key | value | meaning |\n|---|---|---|\n| `files` | string |  |\n\
            \n**`type = \"b\"`** The b.\n\n| key | value | meaning |\n|---|---|---|\n| `files` | list of string |  |\n";
        assert_eq!(rest, expected);
    }
}
