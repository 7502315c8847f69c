//! The house rules, as tests that need no libtorch. Each collects all that breaks it before it fails.

mod files;
mod layers;
mod manifests;
mod modules;
mod printing;
mod recipes;

/// Fails with every violation, one to a line.
fn expect_none(violations: &[String]) {
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}
