//! What the templates in a folder are.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use crate::{
    DataError, DepthMap, GrayTemplate, LabelMap, Picture, PictureTemplate, Pixels, TemplateKind, decode, decode_labels,
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

/// What pictures are as templates: maps of labels have few values, 16 bits are a depth. Most of them decide.
///
/// # Errors
/// When none can be read.
pub fn kind_of(paths: Vec<PathBuf>) -> Result<TemplateKind, DataError> {
    let (count, paths) = (paths.len().min(LOOKED_AT), Arc::new(paths));
    let look = move |index: usize| {
        let path = &paths[index * paths.len() / count.max(1)];
        let name = path.display().to_string();
        let picture = read_file(path, LARGEST_MB << 20)
            .and_then(|bytes| decode_labels(&bytes, &name).or_else(|_| decode(&bytes, &name)));
        picture.map(|picture| Looks::of(&picture))
    };
    let (mut depths, mut pictures, mut greys) = (0, 0, 0);
    let (mut values, mut first) = (BTreeSet::new(), None);
    for looks in read_ahead(count, default_workers(), AHEAD, look) {
        match looks {
            Ok(Looks::Depth) => depths += 1,
            Ok(Looks::Picture) => pictures += 1,
            Ok(Looks::Values(found)) => {
                greys += 1;
                values.extend(found);
            }
            Err(error) => drop(first.get_or_insert(error)),
        }
    }
    match (of_values(&values), first) {
        (Some(kind), _) if greys >= depths.max(pictures) => Ok(kind),
        (_, Some(error)) if depths + pictures == 0 => Err(error),
        _ if depths > pictures => Ok(TemplateKind::Depth(DepthMap {})),
        _ => Ok(TemplateKind::Picture(PictureTemplate {})),
    }
}

/// What of a template says its kind.
enum Looks {
    /// 16 bits of grey.
    Depth,
    /// 8 bits of grey, and the values.
    Values(BTreeSet<u8>),
    /// Colours.
    Picture,
}

impl Looks {
    fn of(picture: &Picture) -> Self {
        match picture.pixels() {
            Pixels::Gray16(_) => Self::Depth,
            Pixels::Gray8(values) => {
                let mut found = [false; 256];
                values.iter().for_each(|value| found[usize::from(*value)] = true);
                Self::Values((0..=255).filter(|value| found[usize::from(*value)]).collect())
            }
            _ => Self::Picture,
        }
    }
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
        let kind = kind_of((0..130).map(write).collect()).unwrap();
        assert_eq!(kind, TemplateKind::Labels(LabelMap { count: 31, offset: 0 }));
        assert!(kind_of(vec![write(7)]).unwrap_err().to_string().contains("7.pgm"));
        let colours = folder.path().join("colours.ppm");
        std::fs::write(&colours, "P3 1 1 255 1 2 3").unwrap();
        let kind = |paths: Vec<PathBuf>| kind_of(paths).unwrap();
        assert_eq!(
            kind(vec![colours.clone(), write(1), write(2)]),
            TemplateKind::Labels(LabelMap { count: 3, offset: 0 })
        );
        assert_eq!(kind(vec![colours.clone(), write(1), colours]), TemplateKind::Picture(PictureTemplate {}));
    }
}
