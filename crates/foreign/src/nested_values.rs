//! Nested values in YAML and JSON.

use serde_json::Value;

/// What a text says: JSON, or YAML, which may neither refer to itself without end nor nest without bound.
///
/// # Errors
/// What is wrong with it.
pub fn parse(text: &str, is_json: bool) -> Result<Value, String> {
    match is_json {
        true => serde_json::from_str(text).map_err(|error| format!("is no JSON: {error}")),
        false => serde_saphyr::from_str(text).map_err(|error| format!("is no YAML: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_grows_without_end_is_refused() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let before = format!("*a{}, ", level - 1).repeat(9);
            bomb += &format!("a{level}: &a{level} [{before}]\n");
        }
        assert!(parse(&bomb, false).is_err());
        assert!(parse(&"[".repeat(100_000), false).is_err());
        assert!(parse(&"[".repeat(100_000), true).is_err());
    }
}
