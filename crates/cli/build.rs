//! Tells the linker where the binary finds libtorch at run time: where it was found for the build.
//!
//! Builds in a checkout have that from `cargo xtask setup`; `cargo install` does not read a checkout's configuration.

use std::{env, path::PathBuf, process::Command};

fn main() {
    for name in ["LIBTORCH", "LIBTORCH_LIB", "LIBTORCH_USE_PYTORCH"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    if let Some(folder) = libraries().filter(|_| cfg!(unix)) {
        println!("cargo:rustc-link-arg-bins=-Wl,-rpath,{}", folder.display());
    }
}

/// The folder of libtorch's libraries, by the variables that tch finds it with.
fn libraries() -> Option<PathBuf> {
    let named = |name: &str| env::var_os(name).map(PathBuf::from);
    match (named("LIBTORCH_LIB").or_else(|| named("LIBTORCH")), env::var_os("LIBTORCH_USE_PYTORCH")) {
        (_, Some(_)) => of_pytorch(),
        (Some(home), None) => Some(home.join("lib")),
        (None, None) => None,
    }
}

fn of_pytorch() -> Option<PathBuf> {
    let script = "import os, torch; print(os.path.join(os.path.dirname(torch.__file__), 'lib'))";
    let output = Command::new("python3").args(["-c", script]).output().ok()?;
    let path = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| path.trim().into())
}
