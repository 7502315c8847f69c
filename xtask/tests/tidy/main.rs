//! The house rules, as tests that need no libtorch. Each collects all that breaks it before it fails.

mod exemptions;
mod files;
mod imports;
mod layers;
mod libraries;
mod manifests;
mod modules;
mod packing;
mod printing;
mod recipes;

/// Fails with every violation, one to a line.
fn expect_none(violations: &[String]) {
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}
