//! Workflows of vqkit.
fn main() {}
