//! Where the item that a path names is defined: imports and re-exports are followed to their end.

use std::collections::BTreeSet;

use super::modules::{Meaning, Modules};

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// Something that this module defines.
    ItemOf(usize),
    /// This module itself.
    Module(usize),
    /// Something in another crate.
    Outside,
}

/// Modules and names on the way, so that imports in a ring come to an end.
type Way = Vec<(usize, String)>;

impl Modules {
    /// What `path` leads to from the module `from`; nothing where this crate should have it and does not.
    pub fn resolve(&self, from: usize, path: &[String]) -> BTreeSet<Target> {
        self.follow(from, path, &mut Way::new())
    }

    /// What `name` means in a module.
    pub fn look_up(&self, module: usize, name: &str) -> BTreeSet<Target> {
        self.meaning(module, name, &mut Way::new())
    }

    fn follow(&self, from: usize, path: &[String], way: &mut Way) -> BTreeSet<Target> {
        let Some((first, mut rest)) = path.split_first() else { return BTreeSet::new() };
        let mut targets = match first.as_str() {
            "crate" => [Target::Module(0)].into(),
            "self" => [Target::Module(from)].into(),
            "super" => self.0[from].parent.map(Target::Module).into_iter().collect(),
            name => self.meaning_or_crate(from, name, way),
        };
        while let Some((name, behind)) = rest.split_first() {
            targets = self.step(&targets, name, way);
            rest = behind;
        }
        targets
    }

    /// One segment further: into modules where there are any, else to a part of an item, which stands where the item does.
    fn step(&self, targets: &BTreeSet<Target>, name: &str, way: &mut Way) -> BTreeSet<Target> {
        let inside = |target: &Target| match (*target, name) {
            (Target::Module(module), "super") => self.0[module].parent.map(Target::Module).into_iter().collect(),
            (Target::Module(module), _) => self.meaning(module, name, way),
            (Target::ItemOf(_) | Target::Outside, _) => BTreeSet::new(),
        };
        let found: BTreeSet<Target> = targets.iter().flat_map(inside).collect();
        if found.is_empty() {
            targets.iter().copied().filter(|target| !matches!(target, Target::Module(_))).collect()
        } else {
            found
        }
    }

    /// The beginning of a path: what is not in scope is another crate.
    fn meaning_or_crate(&self, module: usize, name: &str, way: &mut Way) -> BTreeSet<Target> {
        let found = self.meaning(module, name, way);
        if found.is_empty() { [Target::Outside].into() } else { found }
    }

    fn meaning(&self, module: usize, name: &str, way: &mut Way) -> BTreeSet<Target> {
        let here = (module, name.to_owned());
        if way.contains(&here) {
            return BTreeSet::new();
        }
        way.push(here);
        let meanings = self.0[module].meanings.get(name).into_iter().flatten();
        let mut found = BTreeSet::new();
        for meaning in meanings {
            match meaning {
                Meaning::Item => found.extend([Target::ItemOf(module)]),
                Meaning::Child(child) => found.extend([Target::Module(*child)]),
                Meaning::Import(path) => found.extend(self.follow(module, path, way)),
            }
        }
        if found.is_empty() {
            found = self.meaning_by_globs(module, name, way);
        }
        if found.is_empty() && self.0[module].made_by_macros.contains(name) {
            found = [Target::ItemOf(module)].into();
        }
        way.pop();
        found
    }

    fn meaning_by_globs(&self, module: usize, name: &str, way: &mut Way) -> BTreeSet<Target> {
        let mut found = BTreeSet::new();
        for glob in &self.0[module].globs {
            for target in self.follow(module, glob, way) {
                if let Target::Module(source) = target {
                    found.extend(self.meaning(source, name, way));
                }
            }
        }
        found
    }
}
