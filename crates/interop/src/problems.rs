//! Everything that is wrong with the tensors of a checkpoint, in one error.

use std::{collections::BTreeMap, fmt, path::PathBuf};

/// Tensors that do not fit the networks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    /// The checkpoint.
    pub path: PathBuf,
    /// Variables for which there is no tensor, with their shapes.
    pub missing: BTreeMap<String, Vec<i64>>,
    /// Tensors that no network takes and no reason explains, with their shapes.
    pub superfluous: BTreeMap<String, Vec<i64>>,
    /// Tensors of another shape: what is wanted, what was found.
    pub misshapen: BTreeMap<String, [Vec<i64>; 2]>,
}

/// Names of a group that are shown.
const SHOWN: usize = 4;

impl Problems {
    /// None, of a checkpoint.
    pub fn none(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), missing: BTreeMap::new(), superfluous: BTreeMap::new(), misshapen: BTreeMap::new() }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.superfluous.is_empty() && self.misshapen.is_empty()
    }

    /// The likely reason.
    fn reason(&self) -> Option<String> {
        let codebook = self.misshapen.iter().find(|(name, _)| name.ends_with("embedding.weight"));
        if let Some([Some(wanted), Some(found)]) = codebook.map(|(_, shapes)| shapes.each_ref().map(|one| one.first()))
        {
            return Some(format!("the codebook has {found} codes, the network wants {wanted}"));
        }
        if !self.misshapen.is_empty() {
            return Some("the sizes are those of another model, or the configuration belongs to another file".into());
        }
        match (self.missing.len(), self.superfluous.len()) {
            (0, 0) => None,
            (0, _) => {
                Some("the file has parts that this family does not have; it may be a newer or changed version".into())
            }
            (_, 0) => Some("the file was cut, or holds a part of the model only".into()),
            _ => Some("the file is of another family: name it, if you know it".into()),
        }
    }
}

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        write!(out, "{}: its tensors do not fit the model", self.path.display())?;
        self.reason().map_or(Ok(()), |reason| write!(out, ": {reason}"))?;
        let shaped = |(name, shape): (&String, &Vec<i64>)| (name.clone(), format!("{name} {shape:?}"));
        group(out, "missing", self.missing.iter().map(shaped).collect())?;
        group(out, "not wanted", self.superfluous.iter().map(shaped).collect())?;
        let compared = |(name, [wanted, found]): (&String, &[Vec<i64>; 2])| {
            (name.clone(), format!("{name} has the shape {found:?}, wanted {wanted:?}"))
        };
        group(out, "of another shape", self.misshapen.iter().map(compared).collect())
    }
}

/// A heading with the number of lines, and the first lines of every part of the network.
fn group(out: &mut fmt::Formatter, heading: &str, lines: Vec<(String, String)>) -> fmt::Result {
    if lines.is_empty() {
        return Ok(());
    }
    write!(out, "\n  {heading}: {}", lines.len())?;
    let mut parts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, line) in lines {
        parts.entry(part(&name)).or_default().push(line);
    }
    for lines in parts.values() {
        lines.iter().take(SHOWN).try_for_each(|line| write!(out, "\n    {line}"))?;
        if lines.len() > SHOWN {
            write!(out, "\n    and {} more beside them", lines.len() - SHOWN)?;
        }
    }
    Ok(())
}

/// The first two parts of a name.
fn part(name: &str) -> String {
    name.split('.').take(2).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_listed_by_part_with_the_likely_reason() {
        let mut problems = Problems::none("last.ckpt");
        assert!(problems.is_empty());
        for index in 0..6 {
            problems.missing.insert(format!("decoder.up.{index}.weight"), vec![3]);
        }
        let wanted = [vec![1024, 8], vec![16384, 8]];
        problems.misshapen.insert("quantize.embedding.weight".into(), wanted);
        let message = problems.to_string();
        assert!(
            message.starts_with("last.ckpt: its tensors do not fit the model: the codebook has 16384 codes"),
            "{message}"
        );
        assert!(message.contains("missing: 6") && message.contains("and 2 more beside them"), "{message}");
        assert!(message.contains("has the shape [16384, 8], wanted [1024, 8]"), "{message}");
    }
}
