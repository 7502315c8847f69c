//! Tables of classes for other classes: rows of the same names stay, new ones begin near the mean.

use tch::{Tensor, no_grad};

use crate::PriorError;

/// Standard deviation of new rows around the mean of the old ones, as a share of that of the old ones.
const SPREAD: f64 = 0.1;

/// Where the row of a class comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Row {
    /// The row of this old class.
    Kept(i64),
    /// A new one.
    New,
}

/// The old classes of a table, and where each new class comes from.
///
/// ```
/// use tch::{Kind, Tensor, Device};
/// use vqkit_priors::{ClassRows, OldClasses};
///
/// let old = OldClasses::Named(vec!["cat".into(), "dog".into()]);
/// let rows = ClassRows::new(&old, &["ant".into(), "dog".into(), "cat".into()]);
/// assert_eq!(rows.kept(), 2);
/// let table = Tensor::randn([2, 8], (Kind::Float, Device::Cpu));
/// assert_eq!(rows.rearrange(&table, 3)?.get(1), table.get(1));
/// # Ok::<(), vqkit_priors::PriorError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassRows {
    /// Number of old classes; a table has one more row where it has a null class.
    pub old: i64,
    /// Of every new class.
    pub rows: Vec<Row>,
}

impl ClassRows {
    /// By the names of the classes; where the old names are not known, by their numbers if there are as many.
    pub fn new(old: &OldClasses, new: &[String]) -> Self {
        let by_name = |name: &String, names: &[String]| names.iter().position(|old| old == name);
        let rows = match old {
            OldClasses::Named(names) => {
                new.iter().map(|name| by_name(name, names).map_or(Row::New, |index| Row::Kept(index as i64))).collect()
            }
            OldClasses::Counted(count) if *count == new.len() as i64 => (0..*count).map(Row::Kept).collect(),
            OldClasses::Counted(_) => vec![Row::New; new.len()],
        };
        Self { old: old.count(), rows }
    }

    /// Whether every class keeps its number.
    pub fn is_identity(&self) -> bool {
        let kept = (0..).zip(&self.rows).all(|(index, row)| *row == Row::Kept(index));
        kept && self.old == self.rows.len() as i64
    }

    /// Number of classes that keep their rows.
    pub fn kept(&self) -> usize {
        self.rows.iter().filter(|row| **row != Row::New).count()
    }

    /// A table `[old (+ 1), D]` as one of `[new (+ 1), D]`: new rows are the mean of those of the old classes, and random
    /// numbers around it of a tenth of their standard deviation, column by column. The null class, behind the others,
    /// keeps its row; if there was none, it takes the mean. `wanted` counts the rows of the new table.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn rearrange(&self, table: &Tensor, wanted: i64) -> Result<Tensor, PriorError> {
        no_grad(|| {
            let rows = table.size()[0];
            // The start of an unconditional sequence stands for all classes.
            let old = table.f_narrow(0, 0, if self.old == 0 { rows } else { self.old.min(rows) })?;
            let mean = old.f_mean_dim(&[0i64][..], true, table.kind())?;
            let deviation = match old.size()[0] {
                0 | 1 => mean.f_zeros_like()?,
                _ => old.f_std_dim(&[0i64][..], true, true)?,
            };
            let row = |row: &Row| -> Result<Tensor, PriorError> {
                match row {
                    Row::Kept(index) => Ok(table.f_narrow(0, *index, 1)?),
                    Row::New => Ok(&mean + mean.f_randn_like()? * &deviation * SPREAD),
                }
            };
            let mut made = self.rows.iter().map(row).collect::<Result<Vec<_>, PriorError>>()?;
            let has_null = rows > self.old && self.old > 0;
            if wanted > self.rows.len() as i64 {
                made.push(if has_null { table.f_narrow(0, self.old, 1)? } else { mean.shallow_clone() });
            }
            Ok(Tensor::f_cat(&made, 0)?.f_to_kind(table.kind())?)
        })
    }
}

/// What is known of the classes that a prior was trained for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OldClasses {
    /// Their names, in order.
    Named(Vec<String>),
    /// Only their number; 0 for a prior without classes.
    Counted(i64),
}

impl OldClasses {
    /// Their number.
    pub fn count(&self) -> i64 {
        match self {
            Self::Named(names) => names.len() as i64,
            Self::Counted(count) => *count,
        }
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn classes_keep_the_rows_of_their_names_and_the_null_class_its_own() {
        let old = OldClasses::Named(names(&["ant", "bee", "cat", "dog", "eel"]));
        let new = names(&["dog", "ant", "fox", "bee", "cat", "gnu", "eel", "hen"]);
        let rows = ClassRows::new(&old, &new);
        assert_eq!(rows.kept(), 5);
        let table = Tensor::randn([6, 64], (Kind::Float, Device::Cpu));
        let made = rows.rearrange(&table, 9).unwrap();
        assert_eq!(made.size(), [9, 64]);
        for (to, from) in [(0, 3), (1, 0), (3, 1), (4, 2), (6, 4), (8, 5)] {
            assert_eq!(made.get(to), table.get(from), "row {to}");
        }
        let mean = table.narrow(0, 0, 5).mean_dim([0i64].as_slice(), false, Kind::Float);
        for new in [2, 5, 7] {
            let apart = (made.get(new) - &mean).square().mean(Kind::Float).double_value(&[]).sqrt();
            assert!((0.03..0.3).contains(&apart), "row {new} is {apart} from the mean, by a tenth of about 1");
        }
        assert_ne!(made.get(2), made.get(5), "new classes differ");
    }

    #[test]
    fn a_null_class_that_was_not_there_is_the_mean_and_one_that_is_not_wanted_is_left_out() {
        let rows = ClassRows::new(&OldClasses::Named(names(&["a", "b"])), &names(&["b", "a"]));
        let with_null = Tensor::from_slice(&[1.0f32, 3.0, 9.0]).view([3, 1]);
        let without = with_null.narrow(0, 0, 2);
        assert_eq!(rows.rearrange(&with_null, 2).unwrap(), Tensor::from_slice(&[3.0f32, 1.0]).view([2, 1]));
        assert_eq!(rows.rearrange(&without, 3).unwrap(), Tensor::from_slice(&[3.0f32, 1.0, 2.0]).view([3, 1]));
    }

    #[test]
    fn without_names_as_many_classes_keep_their_numbers_and_others_are_new() {
        let new = names(&["a", "b", "c"]);
        assert!(ClassRows::new(&OldClasses::Counted(3), &new).is_identity());
        let other = ClassRows::new(&OldClasses::Counted(5), &new);
        assert!(other.kept() == 0 && !other.is_identity());
    }

    #[test]
    fn the_start_of_an_unconditional_prior_becomes_every_class() {
        let rows = ClassRows::new(&OldClasses::Counted(0), &names(&["a", "b"]));
        let start = Tensor::from_slice(&[4.0f32, 5.0]).view([1, 2]);
        assert_eq!(rows.rearrange(&start, 2).unwrap(), Tensor::cat(&[&start, &start], 0));
    }
}
