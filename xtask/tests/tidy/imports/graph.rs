//! The graph of a crate's files: who uses what another one defines, and the circles in it.

use std::collections::BTreeMap;

use petgraph::algo::tarjan_scc;
use petgraph::graphmap::DiGraphMap;

use super::modules::{Modules, Sources};
use super::paths::{Import, Named};
use super::resolve::Target;

/// Which uses count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uses {
    All,
    /// All but those of the modules that contain the user.
    AllButOfParents,
}

/// How a file uses another one.
#[derive(Debug)]
struct Edge {
    /// One path that does.
    named: Named,
    /// Whether the other one contains it as a child, or as a child's child.
    is_of_parent: bool,
}

/// For each pair of files, user first, how it uses the other.
#[derive(Debug, Default)]
pub struct Graph {
    edges: BTreeMap<(String, String), Edge>,
    /// Paths into the crate that lead nowhere: what is missing here would be missing in the graph.
    pub unresolved: Vec<String>,
}

impl Graph {
    /// Reads the crate whose root is the file `root`.
    pub fn read(sources: &Sources, root: &str) -> Result<Self, String> {
        let modules = Modules::read(sources, root)?;
        let mut graph = Self::default();
        for index in 0..modules.0.len() {
            graph.add_uses(&modules, index);
        }
        Ok(graph)
    }

    /// The files that `file` uses.
    pub fn used_by(&self, file: &str) -> Vec<&str> {
        let edges = self.edges.keys().filter(|(user, _)| user == file);
        edges.map(|(_, used)| used.as_str()).collect()
    }

    /// Each circle in words: its files, and the uses that hold it together.
    pub fn circles(&self, uses: Uses) -> Vec<String> {
        let counts = |edge: &Edge| uses == Uses::All || !edge.is_of_parent;
        let edges: Vec<_> = self.edges.iter().filter(|(_, edge)| counts(edge)).collect();
        let pairs = edges.iter().map(|((user, used), _)| (user.as_str(), used.as_str()));
        let graph: DiGraphMap<&str, ()> = DiGraphMap::from_edges(pairs);
        let mut circles: Vec<_> = tarjan_scc(&graph).into_iter().filter(|circle| circle.len() > 1).collect();
        circles.iter_mut().for_each(|circle| circle.sort_unstable());
        circles.sort();
        circles.iter().map(|circle| describe(circle, &edges)).collect()
    }

    fn add_uses(&mut self, modules: &Modules, index: usize) {
        let names = &modules.0[index].names;
        for import in &names.imports {
            self.add_import(modules, index, import);
        }
        for named in &names.paths {
            self.add(modules, index, named);
        }
    }

    /// A re-export counts where the module uses the name itself; a glob, for the names that it uses.
    fn add_import(&mut self, modules: &Modules, index: usize, import: &Import) {
        let words = &modules.0[index].names.words;
        match &import.name {
            Some(name) if import.is_export && !words.contains(name) => {}
            Some(_) => self.add(modules, index, &import.named),
            None => {
                for target in modules.resolve(index, &import.named.path) {
                    match target {
                        Target::ItemOf(used) => self.add_edge(modules, [index, used], &import.named),
                        Target::Module(used) => self.add_glob(modules, [index, used], &import.named),
                        Target::Outside => {}
                    }
                }
            }
        }
    }

    fn add_glob(&mut self, modules: &Modules, [user, globbed]: [usize; 2], named: &Named) {
        for word in &modules.0[user].names.words {
            for target in modules.look_up(globbed, word) {
                if let Target::ItemOf(used) = target {
                    self.add_edge(modules, [user, used], named);
                }
            }
        }
    }

    fn add(&mut self, modules: &Modules, user: usize, named: &Named) {
        let targets = modules.resolve(user, &named.path);
        let is_inside = matches!(named.path[0].as_str(), "crate" | "self" | "super");
        if targets.is_empty() && is_inside {
            let (file, path) = (&modules.0[user].file, named.path.join("::"));
            self.unresolved.push(format!("{file}:{}: `{path}` leads nowhere", named.line));
        }
        for target in targets {
            if let Target::ItemOf(used) = target {
                self.add_edge(modules, [user, used], named);
            }
        }
    }

    fn add_edge(&mut self, modules: &Modules, [user, used]: [usize; 2], named: &Named) {
        let is_of_parent = modules.contains(used, user);
        let [user, used] = [user, used].map(|index| modules.0[index].file.clone());
        if user != used {
            self.edges.entry((user, used)).or_insert_with(|| Edge { named: named.clone(), is_of_parent });
        }
    }
}

fn describe(circle: &[&str], edges: &[(&(String, String), &Edge)]) -> String {
    let is_inside = |file: &String| circle.contains(&file.as_str());
    let inside = edges.iter().filter(|((user, used), _)| is_inside(user) && is_inside(used));
    let uses = inside.map(|((user, used), Edge { named, .. })| {
        format!("\n    {user}:{} uses {used} by `{}`", named.line, named.path.join("::"))
    });
    format!("a circle of {} files: {}{}", circle.len(), circle.join(", "), uses.collect::<String>())
}
