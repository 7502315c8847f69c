//! Names of shards with braces, as shells expand them.

/// Names that one pattern may stand for; more is taken for a mistake.
const MAX_NAMES: usize = 100_000;

/// Braces in one pattern.
const MAX_BRACES: usize = 16;

/// Bytes of all names together.
const MAX_TEXT: usize = 1 << 26;

/// Digits of a number in a range.
const MAX_WIDTH: usize = 20;

/// A pattern taken apart: every brace with the text before it, and the text behind the last one.
struct Parts<'a> {
    braces: Vec<(&'a str, Vec<String>)>,
    tail: &'a str,
}

/// The names that `pattern` stands for: `{a,b}` lists, `{000..004}` counts, keeping leading zeros; several multiply.
///
/// # Errors
/// In words, where a brace is left open, a range runs backwards or is none, or there are too many braces or names; before any name is
/// made.
pub(super) fn expand(pattern: &str) -> Result<Vec<String>, String> {
    let Parts { braces, tail } = parts(pattern)?;
    check_size(pattern, &braces, tail)?;
    let mut names = vec![String::new()];
    for (text, choices) in &braces {
        let with = |name: &String| choices.iter().map(|choice| format!("{name}{text}{choice}")).collect::<Vec<_>>();
        names = names.iter().flat_map(with).collect();
    }
    names.iter_mut().for_each(|name| name.push_str(tail));
    Ok(names)
}

fn parts(pattern: &str) -> Result<Parts<'_>, String> {
    let (mut braces, mut tail) = (Vec::new(), pattern);
    while let Some((text, rest)) = tail.split_once('{') {
        let (inside, behind) =
            rest.split_once('}').ok_or_else(|| format!("`{}` leaves a brace open", shown(pattern)))?;
        if braces.len() == MAX_BRACES {
            return Err(format!("`{}` has more than {MAX_BRACES} braces", shown(pattern)));
        }
        check_closed(pattern, text)?;
        if inside.contains('{') {
            return Err(format!("`{}` has braces inside braces, which are not expanded", shown(pattern)));
        }
        braces.push((text, choices(inside)?));
        tail = behind;
    }
    check_closed(pattern, tail)?;
    Ok(Parts { braces, tail })
}

fn check_closed(pattern: &str, text: &str) -> Result<(), String> {
    match text.contains('}') {
        true => Err(format!("`{}` closes a brace that was never opened", shown(pattern))),
        false => Ok(()),
    }
}

/// Refuses what would take too much, before it is made.
fn check_size(pattern: &str, braces: &[(&str, Vec<String>)], tail: &str) -> Result<(), String> {
    let count = braces.iter().try_fold(1usize, |count, (_, choices)| count.checked_mul(choices.len()));
    let count = count
        .filter(|count| *count <= MAX_NAMES)
        .ok_or_else(|| format!("`{}` stands for more than {MAX_NAMES} names", shown(pattern)))?;
    let longest = |choices: &[String]| choices.iter().map(String::len).max().unwrap_or(0);
    let name = braces.iter().map(|(text, choices)| text.len() + longest(choices)).sum::<usize>() + tail.len();
    match name.saturating_mul(count) > MAX_TEXT {
        true => Err(format!("`{}` stands for {count} names of up to {name} bytes, which is too much", shown(pattern))),
        false => Ok(()),
    }
}

/// The beginning of a text that may be long.
fn shown(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

fn choices(inside: &str) -> Result<Vec<String>, String> {
    let Some((first, last)) = inside.split_once("..") else {
        return Ok(inside.split(',').map(str::to_owned).collect());
    };
    let number =
        |text: &str| text.parse::<usize>().map_err(|_| format!("`{{{}}}` is no range of numbers", shown(inside)));
    let (from, to) = (number(first)?, number(last)?);
    if from > to || to - from >= MAX_NAMES {
        return Err(format!("`{{{inside}}}` must count up, to at most {MAX_NAMES} names"));
    }
    let padded = [first, last].iter().any(|text| text.len() > 1 && text.starts_with('0'));
    let width = if padded { first.len().max(last.len()) } else { 0 };
    if width > MAX_WIDTH {
        return Err(format!("`{{{}}}` has numbers of more than {MAX_WIDTH} digits", shown(inside)));
    }
    Ok((from..=to).map(|value| format!("{value:0width$}")).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
        let (many, wide) = ("{a}".repeat(15_700), format!("{{0..{}9}}", "0".repeat(1000)));
        for (pattern, part) in [
            ("a-{0..", "leaves a brace open"),
            ("a}", "never opened"),
            ("a}{b}", "never opened"),
            ("{a,{b,c}}", "braces inside braces"),
            ("{3..1}", "count up"),
            ("{a..c}", "no range"),
            ("{0..99999999999}", "at most"),
            ("{0..999}{0..999}", "more than"),
            (&many, "more than 16 braces"),
            (&"{a,b}".repeat(17), "more than 16 braces"),
            (&format!("{}{{0..99999}}", "x".repeat(5000)), "too much"),
            (&wide, "digits"),
        ] {
            let error = expand(pattern).unwrap_err();
            assert!(error.contains(part) && error.len() < 300, "{pattern}: {error}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_answered(pattern in "[{},.0-9ab]{0,60}") {
            if let Ok(names) = expand(&pattern) {
                let is_plain = |name: &String| name.chars().all(|letter| letter != '{' && letter != '}');
                prop_assert!(names.len() <= MAX_NAMES);
                prop_assert!(names.iter().all(is_plain));
            }
        }
    }
}
