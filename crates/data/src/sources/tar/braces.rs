//! Names of shards with braces, as shells expand them.

/// Names that one pattern may stand for; more is taken for a mistake.
const MAX_NAMES: usize = 100_000;

/// The names that `pattern` stands for: `{a,b}` lists, `{000..004}` counts, keeping leading zeros; several multiply.
///
/// # Errors
/// In words, where a brace is left open, a range runs backwards or is none, or there are too many names.
pub(super) fn expand(pattern: &str) -> Result<Vec<String>, String> {
    let Some((head, rest)) = pattern.split_once('{') else {
        return match pattern.contains('}') {
            true => Err(format!("`{pattern}` closes a brace that was never opened")),
            false => Ok(vec![pattern.to_owned()]),
        };
    };
    let (inside, tail) = rest.split_once('}').ok_or_else(|| format!("`{pattern}` leaves a brace open"))?;
    let (choices, tails) = (choices(inside)?, expand(tail)?);
    if choices.len() * tails.len() > MAX_NAMES {
        return Err(format!("`{pattern}` stands for more than {MAX_NAMES} names"));
    }
    let join = |choice: &String| tails.iter().map(|tail| format!("{head}{choice}{tail}")).collect::<Vec<_>>();
    Ok(choices.iter().flat_map(join).collect())
}

fn choices(inside: &str) -> Result<Vec<String>, String> {
    let Some((first, last)) = inside.split_once("..") else {
        return Ok(inside.split(',').map(str::to_owned).collect());
    };
    let number = |text: &str| text.parse::<usize>().map_err(|_| format!("`{{{inside}}}` is no range of numbers"));
    let (from, to) = (number(first)?, number(last)?);
    if from > to || to - from >= MAX_NAMES {
        return Err(format!("`{{{inside}}}` must count up, to at most {MAX_NAMES} names"));
    }
    let padded = [first, last].iter().any(|text| text.len() > 1 && text.starts_with('0'));
    let width = if padded { first.len().max(last.len()) } else { 0 };
    Ok((from..=to).map(|value| format!("{value:0width$}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_keep_their_zeros_and_lists_their_order() {
        assert_eq!(expand("a-{08..10}.tar").unwrap(), ["a-08.tar", "a-09.tar", "a-10.tar"]);
        assert_eq!(expand("{9..10}").unwrap(), ["9", "10"]);
        assert_eq!(expand("{b,a}-{0..1}").unwrap(), ["b-0", "b-1", "a-0", "a-1"]);
        assert_eq!(expand("plain.tar").unwrap(), ["plain.tar"]);
    }

    #[test]
    fn nonsense_is_named() {
        for (pattern, part) in [
            ("a-{0..", "leaves a brace open"),
            ("a}", "never opened"),
            ("{3..1}", "count up"),
            ("{a..c}", "no range"),
            ("{0..99999999999}", "at most"),
            ("{0..999}{0..999}", "more than"),
        ] {
            let error = expand(pattern).unwrap_err();
            assert!(error.contains(part), "{pattern}: {error}");
        }
    }
}
