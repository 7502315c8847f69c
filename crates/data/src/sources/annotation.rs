//! JSON objects that describe a sample.

use std::{borrow::Cow, fmt};

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{
    labels::{ALLOWED, Label},
    text::present,
};

/// Fields that a message lists.
const LISTED: usize = 20;

/// What is read of a JSON object. Blank texts are none.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Annotation {
    pub image: Option<String>,
    pub class: Option<Label>,
    pub caption: Option<String>,
    pub template: Option<String>,
    /// Names of fields that are not read.
    pub unread: Vec<String>,
}

impl Annotation {
    /// Of an object in this text, the fields of these names: of `image`, `class`, `caption` and `template`. What stands in others does
    /// not matter. `NaN`, which Python writes for a missing number, is taken for `null`.
    ///
    /// # Errors
    /// In words: where it is no object, or one of these fields holds something else than it may.
    pub(super) fn read(text: &str, fields: &[&str]) -> Result<Self, String> {
        let text = without_nan(text);
        let Object(found) = serde_json::from_str(&text).map_err(|error| said(&error))?;
        let mut read = Self::default();
        let mut known: Vec<String> = Vec::new();
        for (name, value) in found {
            if !fields.contains(&name.as_str()) {
                read.unread.push(name);
                continue;
            }
            if known.contains(&name) {
                return Err(format!("has the field `{name}` twice"));
            }
            match name.as_str() {
                "class" => read.class = value.class()?,
                "image" => read.image = value.text(&name)?,
                "caption" => read.caption = value.text(&name)?.as_deref().and_then(present),
                _ => read.template = value.text(&name)?,
            }
            known.push(name);
        }
        Ok(read)
    }

    /// The names of the fields that are not read, as far as a message has room for them.
    pub(super) fn listed(names: &[String]) -> String {
        let shown = |name: &String| format!("`{}`", name.chars().take(60).collect::<String>());
        let some: Vec<String> = names.iter().take(LISTED).map(shown).collect();
        let more = if names.len() > LISTED { format!(" and {} more", names.len() - LISTED) } else { String::new() };
        format!("{}{more}", some.join(", "))
    }
}

/// What serde_json says, with its place at the end in brackets.
fn said(error: &serde_json::Error) -> String {
    let (text, line, column) = (error.to_string(), error.line(), error.column());
    let what = text.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&text);
    match line {
        0 | 1 => format!("is no sound JSON object: {what} (column {column})"),
        _ => format!("is no sound JSON object: {what} (line {line}, column {column})"),
    }
}

/// The text with numbers that are none, `NaN` and `Infinity`, in a form that JSON has: `null`, and a number that is too large for
/// any field that is read. Texts in quotes stay as they are.
fn without_nan(text: &str) -> Cow<'_, str> {
    if !text.contains("NaN") && !text.contains("Infinity") {
        return Cow::Borrowed(text);
    }
    let (mut out, mut rest, mut quoted) = (String::with_capacity(text.len()), text, false);
    while let Some(at) = rest.find(['"', '\\', 'N', 'I']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let (new, len) = match rest.as_bytes() {
            // Behind a backslash, a quote ends no text.
            [b'\\', b'"' | b'\\', ..] if quoted => (&rest[..2], 2),
            _ if !quoted && rest.starts_with("NaN") => ("null", 3),
            _ if !quoted && rest.starts_with("Infinity") => ("1e999", 8),
            _ => (&rest[..1], 1),
        };
        quoted ^= new == "\"";
        out.push_str(new);
        rest = &rest[len..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The fields of an object, in their order.
struct Object(Vec<(String, Value)>);

/// What a field holds, as far as it matters.
enum Value {
    Nothing,
    Truth(bool),
    Whole(u64),
    Negative(i64),
    Fraction(f64),
    Text(String),
    List,
    Object,
}

impl Value {
    fn class(self) -> Result<Option<Label>, String> {
        match self {
            Self::Nothing => Ok(None),
            Self::Whole(number) => Ok(Some(Label::number(number))),
            Self::Fraction(number) if number >= 0.0 && number.fract() == 0.0 && number < 1e15 => {
                Ok(Some(Label::number(number as u64)))
            }
            Self::Text(text) => Label::parse(&text),
            other => Err(format!("its field `class` is {other}; {ALLOWED}")),
        }
    }

    fn text(self, name: &str) -> Result<Option<String>, String> {
        match self {
            Self::Nothing => Ok(None),
            Self::Text(text) => Ok(Some(text).filter(|text| !text.trim().is_empty())),
            other => Err(format!("its field `{name}` is {other}; it must be a text")),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => out.write_str("null"),
            Self::Truth(value) => write!(out, "{value}"),
            Self::Whole(value) => write!(out, "{value}"),
            Self::Negative(value) => write!(out, "{value}"),
            Self::Fraction(value) => write!(out, "{value}"),
            Self::Text(_) => out.write_str("a text"),
            Self::List => out.write_str("a list"),
            Self::Object => out.write_str("an object"),
        }
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Object;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object in braces")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
        let mut fields = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            // A number that is too large is an error only where it may be read.
            let value = match name.as_str() {
                "image" | "class" | "caption" | "template" => map.next_value()?,
                _ => map.next_value::<IgnoredAny>().map(|_| Value::Nothing)?,
            };
            fields.push((name, value));
        }
        Ok(Object(fields))
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Nothing)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Truth(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Whole(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(u64::try_from(value).map_or(Value::Negative(value), Value::Whole))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Fraction(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::List)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Object)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FIELDS: [&str; 4] = ["image", "class", "caption", "template"];

    fn class(value: &str) -> Result<Option<Label>, String> {
        Annotation::read(&format!("{{\"class\": {value}}}"), &FIELDS).map(|read| read.class)
    }

    #[test]
    fn classes_are_whole_numbers_or_names() {
        for value in ["3", "3.0", "\"3\"", "3e0", "\" 3.0 \""] {
            assert_eq!(class(value), Ok(Some(Label::Number(3))), "{value}");
        }
        for value in ["null", "NaN", "\"\"", "\"  \""] {
            assert_eq!(class(value), Ok(None), "{value}");
        }
        for (value, name) in [("\"dog\"", "dog"), ("\"true\"", "true"), ("3000000000000", "3000000000000")] {
            assert_eq!(class(value), Ok(Some(Label::Name(name.into()))), "{value}");
        }
        for (value, shown) in [
            ("true", "true"),
            ("-1", "-1"),
            ("-1.0", "-1"),
            ("3.5", "3.5"),
            ("[3]", "a list"),
            ("{\"a\": 3}", "an object"),
        ] {
            let error = class(value).unwrap_err();
            assert!(error.contains(&format!("`class` is {shown}; a class is")), "{error}");
        }
        assert!(class("\"-1\"").unwrap_err().contains("a class is"));
        assert!(class("Infinity").unwrap_err().contains("number out of range"));
    }

    #[test]
    fn what_nobody_reads_may_hold_anything() {
        let text = r#"{"score": NaN, "box": [Infinity, -Infinity, 1e999], "image": {"id": 3}, "caption": " \"NaN\\", "x": "\ud800"}"#;
        let read = Annotation::read(text, &["class", "caption"]).unwrap();
        assert_eq!(read.caption.as_deref(), Some("\"NaN\\"));
        assert_eq!(read.unread, ["score", "box", "image", "x"]);
    }

    #[test]
    fn what_is_no_object_is_told() {
        for (text, part) in [
            ("[3, \"dog\"]", "expected an object in braces"),
            ("{\"class\": 3, \"class\": 4}", "`class` twice"),
            ("{\"caption\": [\"a\"]}", "its field `caption` is a list; it must be a text"),
            ("{\"class\": nan}", "is no sound JSON object: expected"),
            ("{", "(column 1)"),
        ] {
            let error = Annotation::read(text, &FIELDS).unwrap_err();
            assert!(error.contains(part) && !error.contains("untagged"), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn texts_in_quotes_stay_as_they_are(text in "(NaN|Infinity|\"|\\\\|[a-z{}, é-]){0,12}") {
            let object = serde_json::json!({ "caption": format!("x{text}x"), "other": text });
            let written = object.to_string();
            prop_assert_eq!(without_nan(&written), written.as_str());
            let caption = Annotation::read(&written, &FIELDS).unwrap().caption;
            prop_assert_eq!(caption, Some(format!("x{text}x")));
        }

        #[test]
        fn whatever_is_written_is_answered(text in "[\\[\\]{}\",:0-9aNIfinty\\\\ -]{0,40}") {
            let _ = Annotation::read(&text, &FIELDS);
        }
    }
}
