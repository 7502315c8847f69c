//! The recipe as a JSON Schema: editors complete and check keys with it, and the reference page is made from it.

use schemars::{
    Schema,
    generate::SchemaSettings,
    transform::{RecursiveTransform, RemoveRefSiblings, ReplacePrefixItems, Transform},
};
use serde_json::{Map, Value, json};

use crate::recipe::Recipe;

/// The JSON Schema of a recipe (draft 7, which TOML editors support): every key with its type, default and meaning.
///
/// ```
/// let schema = vqkit_recipe::schema();
/// let seed = schema.pointer("/properties/seed/description").and_then(|text| text.as_str());
/// assert_eq!(seed, Some("Seed of everything random. Default 0."));
/// ```
pub fn schema() -> Schema {
    let settings = SchemaSettings::default().with(|settings| {
        settings.meta_schema = Some("http://json-schema.org/draft-07/schema#".into());
        settings.definitions_path = "/definitions".into();
    });
    let mut schema = settings.into_generator().into_root_schema_for::<Recipe>();
    RecursiveTransform(drop_null).transform(&mut schema);
    RecursiveTransform(merge_shared_keys).transform(&mut schema);
    RecursiveTransform(close).transform(&mut schema);
    RecursiveTransform(describe_plainly).transform(&mut schema);
    ReplacePrefixItems::default().transform(&mut schema);
    RemoveRefSiblings::default().transform(&mut schema);
    schema
}

/// TOML has no null: a key that is not given is left out.
fn drop_null(schema: &mut Schema) {
    let is_null = |value: &Value| value == "null" || *value == json!({ "type": "null" });
    let only = |values: &mut Vec<Value>| {
        values.retain(|value| !is_null(value));
        (values.len() == 1).then(|| values.remove(0))
    };
    if schema.get("default").is_some_and(Value::is_null) {
        schema.remove("default");
    }
    if let Some(Value::Object(default)) = schema.get_mut("default") {
        leave_out_null(default);
    }
    if let Some(Value::Array(types)) = schema.get_mut("type")
        && let Some(only) = only(types)
    {
        schema.insert("type".into(), only);
    }
    if let Some(Value::Array(all)) = schema.get_mut("anyOf")
        && let Some(Value::Object(only)) = only(all)
    {
        schema.remove("anyOf");
        only.into_iter().for_each(|(key, value)| _ = schema.insert(key, value));
    }
}

fn leave_out_null(table: &mut Map<String, Value>) {
    table.retain(|_, value| !value.is_null());
    table.values_mut().filter_map(Value::as_object_mut).for_each(leave_out_null);
}

/// For a table whose `type` chooses among members and which also has keys of its own: these become keys of every
/// member, since draft 7 cannot forbid unknown keys otherwise.
fn merge_shared_keys(schema: &mut Schema) {
    if !(schema.get("oneOf").is_some() && schema.get("properties").is_some()) {
        return;
    }
    let shared = schema.remove("properties");
    let required = schema.remove("required");
    schema.remove("type");
    schema.remove("unevaluatedProperties");
    for member in schema.get_mut("oneOf").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(member) = member.as_object_mut() else { continue };
        extend(member, "properties", shared.as_ref());
        extend(member, "required", required.as_ref());
        member.insert("additionalProperties".into(), false.into());
    }
}

fn extend(member: &mut Map<String, Value>, key: &str, more: Option<&Value>) {
    match (member.get_mut(key), more) {
        (Some(Value::Object(own)), Some(Value::Object(more))) => own.extend(more.clone()),
        (Some(Value::Array(own)), Some(Value::Array(more))) => own.extend(more.clone()),
        (None, Some(more)) => _ = member.insert(key.into(), more.clone()),
        _ => {}
    }
}

/// Draft 7 has no `unevaluatedProperties`; once shared keys are merged, nothing needs more than `additionalProperties`.
fn close(schema: &mut Schema) {
    if let Some(closed) = schema.remove("unevaluatedProperties") {
        schema.insert("additionalProperties".into(), closed);
    }
}

/// Descriptions are doc comments; this removes their examples, links and line breaks.
fn describe_plainly(schema: &mut Schema) {
    if let Some(Value::String(description)) = schema.get_mut("description") {
        let prose = description.split("```").next().unwrap_or_default();
        let paragraphs: Vec<_> = prose.split("\n\n").map(|lines| without_links(&lines.replace('\n', " "))).collect();
        *description = paragraphs.join("\n\n").trim().to_owned();
    }
}

/// ``[`name`](place)`` and ``[`name`]`` as `` `name` ``.
fn without_links(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("[`") {
        let Some((name, after)) = after.split_once("`]") else { break };
        plain.extend([before, "`", name, "`"]);
        rest = match after.strip_prefix('(').and_then(|place| place.split_once(')')) {
            Some((_, after)) => after,
            None => after,
        };
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_become_the_names_that_they_show() {
        let text = "see [`sample`](crate::sample) and [`Prior`]; `[B, C]` stays, [`so` does this";
        assert_eq!(without_links(text), "see `sample` and `Prior`; `[B, C]` stays, [`so` does this");
    }
}
