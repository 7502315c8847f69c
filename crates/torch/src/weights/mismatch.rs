//! What differs between the tensors that are wanted and those that are there.

use std::collections::BTreeMap;
use std::fmt;

use tch::{Device, Kind, Tensor};

use super::kinds::name_of;

/// Every difference between tensors and the ones wanted, in one error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Where the tensors come from.
    pub source: String,
    /// What differs, by name; never empty.
    pub differences: Vec<Difference>,
}

/// A difference in one tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// A tensor that is wanted is not there.
    Missing {
        /// Its name.
        name: String,
        /// The kind wanted.
        kind: Kind,
        /// The shape wanted.
        shape: Vec<i64>,
    },
    /// A tensor is there that is not wanted.
    Unexpected {
        /// Its name.
        name: String,
        /// Its kind.
        kind: Kind,
        /// Its shape.
        shape: Vec<i64>,
    },
    /// A tensor has another shape.
    Shape {
        /// Its name.
        name: String,
        /// The shape wanted.
        wanted: Vec<i64>,
        /// The shape found.
        found: Vec<i64>,
    },
    /// A tensor has another kind.
    Kind {
        /// Its name.
        name: String,
        /// The kind wanted.
        wanted: Kind,
        /// The kind found.
        found: Kind,
    },
}

impl Mismatch {
    /// Compares names, shapes and kinds; the values and devices do not matter.
    ///
    /// # Errors
    /// Every difference.
    pub fn check(
        source: &str,
        wanted: &BTreeMap<String, Tensor>,
        found: &BTreeMap<String, Tensor>,
    ) -> Result<(), Self> {
        let mut differences: Vec<_> =
            wanted.iter().flat_map(|(name, tensor)| compare(name, tensor, found.get(name))).collect();
        let unexpected = found.iter().filter(|(name, _)| !wanted.contains_key(*name));
        differences.extend(unexpected.map(|(name, tensor)| Difference::Unexpected {
            name: name.clone(),
            kind: tensor.kind(),
            shape: tensor.size(),
        }));
        if differences.is_empty() { Ok(()) } else { Err(Self { source: source.to_owned(), differences }) }
    }

    /// As [`check`](Self::check), of names and shapes alone, such as [`shapes`](super::shapes) reads them from a file.
    ///
    /// # Errors
    /// Every difference.
    pub fn check_shapes(
        source: &str,
        wanted: &BTreeMap<String, Tensor>,
        found: &BTreeMap<String, Vec<i64>>,
    ) -> Result<(), Self> {
        // Views of one number take no memory.
        let of_shape = |(name, shape): (&String, &Vec<i64>)| {
            let kind = wanted.get(name).map_or(Kind::Float, Tensor::kind);
            (name.clone(), Tensor::zeros([0i64; 0], (kind, Device::Cpu)).expand(shape.as_slice(), false))
        };
        Self::check(source, wanted, &found.iter().map(of_shape).collect())
    }
}

fn compare(name: &str, wanted: &Tensor, found: Option<&Tensor>) -> Vec<Difference> {
    let name = name.to_owned();
    let Some(found) = found else {
        return vec![Difference::Missing { name, kind: wanted.kind(), shape: wanted.size() }];
    };
    let mut differences = Vec::new();
    if wanted.size() != found.size() {
        differences.push(Difference::Shape { name: name.clone(), wanted: wanted.size(), found: found.size() });
    }
    if wanted.kind() != found.kind() {
        differences.push(Difference::Kind { name, wanted: wanted.kind(), found: found.kind() });
    }
    differences
}

impl std::error::Error for Mismatch {}

impl fmt::Display for Mismatch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.differences.len();
        let plural = if count == 1 { "" } else { "s" };
        write!(out, "{}: {count} difference{plural} from what is wanted:", self.source)?;
        self.differences.iter().try_for_each(|difference| write!(out, "\n  {difference}"))
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { name, kind, shape } => {
                write!(out, "`{name}` is missing, wanted {} {shape:?}", name_of(*kind))
            }
            Self::Unexpected { name, kind, shape } => {
                write!(out, "`{name}` is not wanted, found {} {shape:?}", name_of(*kind))
            }
            Self::Shape { name, wanted, found } => write!(out, "`{name}` has shape {found:?}, wanted {wanted:?}"),
            Self::Kind { name, wanted, found } => {
                write!(out, "`{name}` is {}, wanted {}", name_of(*found), name_of(*wanted))
            }
        }
    }
}
