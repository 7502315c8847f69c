//! The paths that the code of one module names: in `use`, inline, and in what is handed to macros and attributes.

use std::collections::BTreeSet;

use proc_macro2::{Ident, Literal, Span, TokenStream, TokenTree};
use syn::ext::IdentExt as _;
use syn::visit::{self, Visit};
use syn::{Attribute, ImplItemFn, Item, ItemUse, Macro, Meta, Path, UseTree, VisRestricted, Visibility};

use super::items::{head, is_for_tests};

/// A path by its segments, and the line where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub path: Vec<String>,
    pub line: usize,
}

/// What a `use` brings into scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    pub named: Named,
    /// Under which name; a glob has none.
    pub name: Option<String>,
    /// Whether other modules may take the name from here.
    pub is_export: bool,
}

/// All that the code of a module names.
#[derive(Debug, Default)]
pub struct Names {
    pub imports: Vec<Import>,
    /// Paths of at least two segments outside `use`.
    pub paths: Vec<Named>,
    /// The first segments of all paths outside `use`.
    pub words: BTreeSet<String>,
}

/// The name itself, be it written raw or not.
pub fn text(ident: &Ident) -> String {
    ident.unraw().to_string()
}

impl Names {
    fn name(&mut self, path: Vec<String>, span: Span) {
        self.words.extend(path.first().cloned());
        if path.len() > 1 {
            self.paths.push(Named { path, line: span.start().line });
        }
    }

    fn import(&mut self, tree: &UseTree, parents: &[String], is_export: bool) {
        let join = |ident: &Ident| parents.iter().cloned().chain((ident != "self").then(|| text(ident))).collect();
        let (path, name, span) = match tree {
            UseTree::Path(tree) => {
                let parents = [parents, &[text(&tree.ident)]].concat();
                return self.import(&tree.tree, &parents, is_export);
            }
            UseTree::Group(group) => return group.items.iter().for_each(|tree| self.import(tree, parents, is_export)),
            UseTree::Name(tree) => {
                let path: Vec<String> = join(&tree.ident);
                (path.clone(), path.last().cloned(), tree.ident.span())
            }
            UseTree::Rename(tree) => (join(&tree.ident), Some(text(&tree.rename)), tree.ident.span()),
            UseTree::Glob(tree) => (parents.to_vec(), None, tree.star_token.spans[0]),
        };
        self.imports.push(Import { named: Named { path, line: span.start().line }, name, is_export });
    }

    /// Collects the paths among tokens.
    fn scan(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            match token {
                TokenTree::Ident(first) => {
                    let path = path_at(&tokens[at..]);
                    let begin = at;
                    at += 3 * (path.len() - 1);
                    if begins_a_path(&tokens[..begin], first) {
                        self.name(path, first.span());
                    }
                }
                TokenTree::Group(group) => self.scan(group.stream()),
                _ => {}
            }
            at += 1;
        }
    }

    /// Collects the paths in the strings among tokens, as `#[serde(default = "Kind::first")]` has them.
    fn scan_strings(&mut self, tokens: TokenStream) {
        for token in tokens {
            match token {
                TokenTree::Group(group) => self.scan_strings(group.stream()),
                TokenTree::Literal(literal) => self.name_in_string(&literal),
                _ => {}
            }
        }
    }

    fn name_in_string(&mut self, literal: &Literal) {
        let text = literal.to_string();
        if let Ok(path) = syn::parse_str::<Path>(text.trim_matches('"')) {
            self.name(segments(&path), literal.span());
        }
    }
}

fn segments(path: &Path) -> Vec<String> {
    path.segments.iter().map(|segment| text(&segment.ident)).collect()
}

/// The path that begins with the first token, an identifier.
fn path_at(tokens: &[TokenTree]) -> Vec<String> {
    let mut path = Vec::new();
    let mut rest = tokens;
    while let [TokenTree::Ident(ident), behind @ ..] = rest {
        path.push(text(ident));
        match behind {
            [TokenTree::Punct(a), TokenTree::Punct(b), next @ ..] if a.as_char() == ':' && b.as_char() == ':' => {
                rest = next;
            }
            _ => break,
        }
    }
    path
}

/// Whether `first` is no field, method, metavariable or later part of a path, by what stands before it.
fn begins_a_path(before: &[TokenTree], first: &Ident) -> bool {
    let mark = |back: usize| match before.len().checked_sub(back).map(|at| &before[at]) {
        Some(TokenTree::Punct(mark)) => mark.as_char(),
        _ => ' ',
    };
    match (mark(2), mark(1)) {
        (':', ':') => false,
        ('.', '.') => true,
        (_, '.') => false,
        (_, '$') => first == "crate",
        _ => true,
    }
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item(&mut self, item: &'ast Item) {
        // A module is collected by itself.
        if !is_for_tests(head(item).0) && !matches!(item, Item::Mod(_)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        if !is_for_tests(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if item.leading_colon.is_none() {
            self.import(&item.tree, &[], !matches!(item.vis, Visibility::Inherited));
        }
    }

    fn visit_path(&mut self, path: &'ast Path) {
        if let (None, Some(first)) = (&path.leading_colon, path.segments.first()) {
            self.name(segments(path), first.ident.span());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.visit_path(&call.path);
        self.scan(call.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let Meta::List(list) = &attribute.meta {
            self.scan(list.tokens.clone());
            self.scan_strings(list.tokens.clone());
        }
    }

    /// Who may see an item is no use of anything.
    fn visit_vis_restricted(&mut self, _: &'ast VisRestricted) {}
}
