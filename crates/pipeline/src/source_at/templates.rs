//! What the templates in a folder are.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use vqkit_data::{
    DepthMap, GrayTemplate, LabelMap, Picture, PictureTemplate, Pixels, TemplateKind, decode, decode_labels,
    default_workers, read_ahead, read_file,
};

/// Templates that are looked at, evenly spread over all: a label may be rare.
const LOOKED_AT: usize = 2_000;

/// More values than a label map of that many pictures is likely to have.
const MOST_LABELS: usize = 192;

/// Largest file of a template that is looked at, in MiB.
const LARGEST_MB: u64 = 64;

/// Templates decoded ahead.
const AHEAD: usize = 16;

/// What of a template says its kind.
enum Looks {
    /// It has this kind.
    Kind(TemplateKind),
    /// It has 8 bits of grey, with these values.
    Values(BTreeSet<u8>),
}

impl Looks {
    fn of(picture: &Picture) -> Self {
        match picture.pixels() {
            Pixels::Gray16(_) => Self::Kind(TemplateKind::Depth(DepthMap {})),
            Pixels::Gray8(values) => {
                let mut found = [false; 256];
                values.iter().for_each(|value| found[usize::from(*value)] = true);
                Self::Values((0..=255).filter(|value| found[usize::from(*value)]).collect())
            }
            _ => Self::Kind(TemplateKind::Picture(PictureTemplate {})),
        }
    }
}

/// What pictures are as templates: maps of labels have few values, 16 bits are a depth. `None` where none can be read.
pub fn kind_of(paths: Vec<PathBuf>) -> Option<TemplateKind> {
    let (count, paths) = (paths.len().min(LOOKED_AT), Arc::new(paths));
    let look = move |index: usize| {
        let path = &paths[index * paths.len() / count.max(1)];
        let bytes = read_file(path, LARGEST_MB << 20).ok()?;
        let name = path.display().to_string();
        decode_labels(&bytes, &name).or_else(|_| decode(&bytes, &name)).ok().map(|picture| Looks::of(&picture))
    };
    let mut values = BTreeSet::new();
    for looks in read_ahead(count, default_workers(), AHEAD, look).flatten() {
        match looks {
            Looks::Kind(kind) => return Some(kind),
            Looks::Values(found) => values.extend(found),
        }
    }
    of_values(&values)
}

/// Labels, if there are few values; the value 255 without its neighbours marks what has no label.
fn of_values(values: &BTreeSet<u8>) -> Option<TemplateKind> {
    let highest = *values.last()?;
    if values.len() > MOST_LABELS {
        return Some(TemplateKind::Gray(GrayTemplate {}));
    }
    let unlabelled = highest == 255 && !values.contains(&254);
    let last = values.iter().copied().rfind(|value| !unlabelled || *value < 255).unwrap_or(0);
    let (count, offset) = if unlabelled { (u32::from(last) + 2, 1) } else { (u32::from(last) + 1, 0) };
    Some(TemplateKind::Labels(LabelMap { count, offset }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(values: &[u8]) -> Option<TemplateKind> {
        of_values(&values.iter().copied().collect())
    }

    #[test]
    fn the_value_255_alone_means_no_label() {
        assert_eq!(labels(&[0, 3, 150]), Some(TemplateKind::Labels(LabelMap { count: 151, offset: 0 })));
        assert_eq!(labels(&[0, 3, 20, 255]), Some(TemplateKind::Labels(LabelMap { count: 22, offset: 1 })));
        assert_eq!(labels(&[254, 255]), Some(TemplateKind::Labels(LabelMap { count: 256, offset: 0 })));
    }

    #[test]
    fn many_values_are_grey_levels() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(labels(&all), Some(TemplateKind::Gray(GrayTemplate {})));
        assert_eq!(labels(&[]), None);
    }

    #[test]
    fn a_rare_label_counts_and_a_broken_map_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let write = |index: u32| {
            let path = folder.path().join(format!("{index}.pgm"));
            let label = if index == 120 { 30 } else { index % 4 };
            let text = if index == 7 { "broken".into() } else { format!("P2 2 1 255 0 {label}") };
            std::fs::write(&path, text).unwrap();
            path
        };
        let kind = kind_of((0..130).map(write).collect());
        assert_eq!(kind, Some(TemplateKind::Labels(LabelMap { count: 31, offset: 0 })));
        assert_eq!(kind_of(vec![write(7)]), None);
    }
}
