//! Compares the recipe of an existing run with the requested one.

use anyhow::{Context, Result, bail};
use toml::{Table, Value};

use super::members::VARIED;

/// Key and value of `KEY=VALUE`; a value that is not TOML is a string, as for `--set`.
pub fn split(pair: &str) -> Result<(&str, Value)> {
    let (key, text) = pair.split_once('=').with_context(|| format!("--set {pair}: expected KEY=VALUE"))?;
    let parsed = format!("value = {}", text.trim()).parse::<Table>().ok();
    let value = parsed.and_then(|mut table| table.remove("value"));
    Ok((key.trim(), value.unwrap_or_else(|| Value::String(text.trim().into()))))
}

/// Refuses a recipe in which one of the overrides does not hold; the data may have been moved.
pub fn check(recipe: &Table, overrides: &[String]) -> Result<()> {
    for pair in overrides {
        let (key, wanted) = split(pair)?;
        match find(recipe, key) {
            _ if key == "data.root" => {}
            Some(found) if agree(&wanted, found) => {}
            Some(found) => bail!("its recipe has {key} = {found}, and now it is to be {wanted}"),
            None => bail!("its recipe has no {key}, and now it is to be {wanted}"),
        }
    }
    Ok(())
}

/// The recipe without what differs from one quantizer to the next and without the place of the data: the same for all that
/// can be compared.
pub fn shared(recipe: &Table) -> String {
    let mut recipe = recipe.clone();
    if let Some(tokenizer) = recipe.get_mut("tokenizer").and_then(Value::as_table_mut) {
        tokenizer.retain(|key, _| !VARIED.contains(&key));
    }
    if let Some(data) = recipe.get_mut("data").and_then(Value::as_table_mut) {
        data.remove("root");
    }
    recipe.to_string()
}

/// The value at a dotted key; parts that are numbers lead into arrays.
pub fn find<'t>(recipe: &'t Table, key: &str) -> Option<&'t Value> {
    let mut parts = key.split('.');
    let first = recipe.get(parts.next()?)?;
    parts.try_fold(first, |value, part| match value {
        Value::Array(items) => items.get(part.parse::<usize>().ok()?),
        value => value.get(part),
    })
}

/// Whether `found` holds all that is wanted: a resolved recipe has every default beside it.
fn agree(wanted: &Value, found: &Value) -> bool {
    match (wanted, found) {
        (Value::Table(wanted), Value::Table(found)) => {
            wanted.iter().all(|(key, wanted)| found.get(key).is_some_and(|found| agree(wanted, found)))
        }
        (Value::Array(wanted), Value::Array(found)) => {
            wanted.len() == found.len() && wanted.iter().zip(found).all(|(wanted, found)| agree(wanted, found))
        }
        (Value::Integer(wanted), Value::Float(found)) => *wanted as f64 == *found,
        _ => wanted == found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECIPE: &str = r#"
        seed = 0
        data.root = "images"
        prior = [{ train.steps = 9 }]
        [tokenizer]
        embed_dim = 16
        quantizer = { type = "fsq", levels = [8, 5], weight = 1.0, more = { a = 1, b = 2 } }
        train = { steps = 1500 }
    "#;

    fn expecting(pair: &str) -> Result<()> {
        check(&RECIPE.parse().unwrap(), &[pair.to_owned()])
    }

    #[test]
    fn what_is_asked_for_holds_beside_defaults() {
        for pair in [
            "tokenizer.train.steps=1500",
            "tokenizer.quantizer={ levels = [8, 5], weight = 1, more = { b = 2 } }",
            "tokenizer.quantizer.type=fsq",
            "prior.0.train.steps = 9",
            "data.root=elsewhere",
        ] {
            assert!(expecting(pair).is_ok(), "{pair}: {:?}", expecting(pair));
        }
    }

    #[test]
    fn what_does_not_hold_is_named_with_both_values() {
        for pair in [
            "tokenizer.train.steps=30",
            "tokenizer.quantizer={ levels = [8] }",
            "tokenizer.quantizer={ weight = 2 }",
            "tokenizer.quantizer={ more = { c = 1 } }",
            "prior.1.train.steps=9",
            "seed.more=1",
        ] {
            assert!(expecting(pair).is_err(), "{pair}");
        }
        let error = expecting("tokenizer.train.steps=30").unwrap_err().to_string();
        assert!(error.contains("tokenizer.train.steps = 1500") && error.contains("30"), "{error}");
        assert!(split("seed").unwrap_err().to_string().contains("KEY=VALUE"));
    }

    #[test]
    fn only_what_a_member_sets_and_the_place_of_the_data_are_not_shared() {
        let shared_with = |from: &str, to: &str| shared(&RECIPE.replace(from, to).parse().unwrap());
        let same = shared_with("", "");
        assert_eq!(shared_with("fsq", "lfq"), same);
        assert_eq!(shared_with("embed_dim = 16", "embed_dim = 8"), same);
        assert_eq!(shared_with("images", "pictures"), same);
        assert_ne!(shared_with("steps = 1500", "steps = 30"), same);
        assert_ne!(shared_with("seed = 0", "seed = 1"), same);
    }
}
