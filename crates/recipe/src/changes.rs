//! What may change between the recipe that a run was begun with and the one that it is resumed with.

use std::collections::BTreeMap;

use toml::Value;

use crate::{error::InvalidRequest, error::Result, recipe::Recipe, stage_names};

/// Keys that change nothing that is computed; in front of `.`, everything below a section.
const FREE: [&str; 7] = [
    "data.root",
    "data.workers",
    "data.prefetch",
    "data.max_file_mb",
    "data.source.train",
    "data.source.validation",
    "sample.",
];

/// Keys of a section of training that change nothing that is computed; nor does the guard, before a fault.
const FREE_OF_TRAIN: [&str; 3] = ["keep", "checkpoint_every", "log_every"];

/// A key whose value differs.
#[derive(Debug, Clone, PartialEq)]
struct Change {
    /// The key from the top of the recipe, such as `prior.0.train.steps`.
    key: String,
    was: Option<Value>,
    is: Option<Value>,
}

impl Recipe {
    /// Whether a run that was begun with this recipe can go on with `now`; `is_done`: whether a stage of the run is done.
    ///
    /// May change: where the data lies (that it is the same data, its fingerprint says), threads and bounds of memory, how often a
    /// stage logs and writes checkpoints, `[sample]`, which holds for what is sampled from then on; and of a stage that is not done, `steps`
    /// upwards, `learning_rate` downwards, and `select`.
    ///
    /// # Errors
    /// [`InvalidRequest`] that names the first key that may not change, with both values; when a recipe has no TOML form.
    pub fn check_resumable(&self, now: &Self, is_done: impl Fn(&str) -> bool) -> Result<()> {
        for change in changes(self, now)? {
            self.check_change(&change, &is_done)?;
        }
        Ok(())
    }

    fn check_change(&self, change: &Change, is_done: impl Fn(&str) -> bool) -> Result<()> {
        let key = change.key.as_str();
        let is_free = FREE.iter().any(|free| key == *free || (free.ends_with('.') && key.starts_with(free)));
        let is_free_of_train = FREE_OF_TRAIN.iter().any(|free| key.ends_with(&format!(".train.{free}")));
        if is_free || is_free_of_train || key.contains(".train.guard") {
            return Ok(());
        }
        let shown = |value: &Option<Value>| value.as_ref().map_or_else(|| "not given".to_owned(), Value::to_string);
        let (was, is) = (shown(&change.was), shown(&change.is));
        let Some((stage, allowed)) = self.allowed(change) else {
            let reason =
                format!("the run was begun with {was}, this recipe has {is}; start a new run, or give the old value");
            return Err(InvalidRequest::key(key, reason).into());
        };
        if is_done(&stage) {
            let further = match key.split('.').next() {
                Some(section @ ("tokenizer" | "template")) => {
                    format!(", with {section}.finetune.from to train this one further")
                }
                Some("prior") => ", with prior.finetune.from to train this one further".to_owned(),
                _ => String::new(),
            };
            let reason = format!(
                "changes from {was} to {is}, and the stage `{stage}` is done already; start a new run{further}"
            );
            return Err(InvalidRequest::key(key, reason).into());
        }
        match allowed {
            Ok(()) => Ok(()),
            Err(direction) => {
                let reason = format!("may only {direction} when a run is resumed; it was {was}, this recipe has {is}");
                Err(InvalidRequest::key(key, reason).into())
            }
        }
    }

    /// The stage that a change concerns and whether its direction is allowed, for keys that may change before their stage is done.
    fn allowed(&self, change: &Change) -> Option<(String, Result<(), &'static str>)> {
        let (was, is) = (change.was.as_ref().and_then(number), change.is.as_ref().and_then(number));
        let (section, direction) = match change.key.rsplit_once(".train.")? {
            (section, "steps") => (section, (is >= was, "grow")),
            (section, "select") => (section, (true, "")),
            (section, "learning_rate") => (section, (is <= was, "become smaller")),
            _ => return None,
        };
        let stage = match section.strip_prefix("prior.") {
            Some(level) => stage_names::stages(self).get(level.parse::<usize>().ok()?)?.clone(),
            None => section.split('.').next()?.to_owned(),
        };
        Some((stage, if direction.0 { Ok(()) } else { Err(direction.1) }))
    }
}

fn number(value: &Value) -> Option<f64> {
    value.as_float().or_else(|| value.as_integer().map(|number| number as f64))
}

/// The keys whose values differ, in their order.
fn changes(was: &Recipe, is: &Recipe) -> Result<Vec<Change>> {
    let (mut before, mut now) = (keys(was)?, keys(is)?);
    let mut names: Vec<String> = before.keys().chain(now.keys()).cloned().collect();
    names.sort_unstable();
    names.dedup();
    let change = |key: String| Change { was: before.remove(&key), is: now.remove(&key), key };
    Ok(names.into_iter().map(change).filter(|change| change.was != change.is).collect())
}

/// Every key of a resolved recipe with its value.
fn keys(recipe: &Recipe) -> Result<BTreeMap<String, Value>> {
    let mut keys = BTreeMap::new();
    flatten(String::new(), recipe.to_table()?.into(), &mut keys);
    Ok(keys)
}

fn flatten(key: String, value: Value, keys: &mut BTreeMap<String, Value>) {
    let below = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") };
    match value {
        Value::Table(table) => table.into_iter().for_each(|(name, value)| flatten(below(&name), value, keys)),
        Value::Array(items) if items.iter().any(Value::is_table) => {
            items.into_iter().enumerate().for_each(|(index, value)| flatten(below(&index.to_string()), value, keys));
        }
        value => _ = keys.insert(key, value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
name = "resumed"
[data]
image_size = 32
[data.source]
type = "shapes"
count = 64
validation_count = 8
[tokenizer]
type = "vqvae"
channels = 8
[tokenizer.quantizer]
type = "vq"
codebook_size = 16
[tokenizer.train]
steps = 10
batch_size = 4
learning_rate = 1e-3
[[prior]]
type = "gpt2"
n_layer = 1
n_head = 1
n_embd = 8
[prior.train]
steps = 10
batch_size = 4
learning_rate = 1e-3
"#;

    fn resumed(overrides: &[&str], done: &[&str]) -> Result<(), String> {
        let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
        let (before, now) = (Recipe::parse("a", TEXT, &[]).unwrap(), Recipe::parse("b", TEXT, &overrides).unwrap());
        before.check_resumable(&now, |stage| done.contains(&stage)).map_err(|error| error.to_string())
    }

    #[test]
    fn what_changes_nothing_that_is_computed_may_change() {
        for key in ["data.root=elsewhere", "data.workers=2", "tokenizer.train.keep=5", "prior.0.train.log_every=1"] {
            resumed(&[key], &["tokenizer", "prior/0", "samples"]).unwrap();
        }
        resumed(&["sample.count=8", "data.max_file_mb=300"], &["samples", "report"]).unwrap();
    }

    #[test]
    fn a_stage_that_is_not_done_may_train_longer_and_more_slowly() {
        for section in ["tokenizer", "prior.0"] {
            let [more, lower] = ["steps=20", "learning_rate=1e-4"].map(|key| format!("{section}.train.{key}"));
            resumed(&[&more, &lower], &["tokens"]).unwrap();
        }
        resumed(&["prior.0.train.select=last"], &["tokenizer"]).unwrap();
        assert!(resumed(&["tokenizer.train.select=last"], &["tokenizer"]).unwrap_err().contains("done already"));
        let done = resumed(&["tokenizer.train.steps=20"], &["tokenizer"]).unwrap_err();
        assert!(
            done.starts_with("tokenizer.train.steps: changes from 10 to 20") && done.contains("done already"),
            "{done}"
        );
        let fewer = resumed(&["prior.0.train.steps=5"], &[]).unwrap_err();
        assert!(fewer.starts_with("prior.0.train.steps: may only grow") && fewer.contains("it was 10"), "{fewer}");
        let faster = resumed(&["tokenizer.train.learning_rate=2e-3"], &[]).unwrap_err();
        assert!(faster.contains("may only become smaller"), "{faster}");
    }

    #[test]
    fn other_keys_are_named_with_both_values() {
        for (key, was, is) in [
            ("tokenizer.train.batch_size", "4", "8"),
            ("seed", "0", "7"),
            ("tokenizer.train.ema_decay", "0.0", "0.5"),
            ("data.short_side", "not given", "40"),
        ] {
            let error = resumed(&[&format!("{key}={is}")], &[]).unwrap_err();
            assert!(error.starts_with(&format!("{key}: ")), "{error}");
            assert!(error.contains(&format!("begun with {was}, this recipe has {is}")), "{error}");
        }
    }
}
