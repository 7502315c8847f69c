//! Compiles the shim against the headers of the libtorch that `tch` itself is built against.

use std::path::PathBuf;

fn main() -> Result<(), String> {
    println!("cargo:rerun-if-changed=src/shim.cpp");
    let include = folder_of("LIBTORCH_INCLUDE").or_else(|| folder_of("LIBTORCH")).map(|root| root.join("include"));
    let include = include.filter(|folder| folder.join("ATen/ATen.h").is_file()).ok_or(
        "the headers of libtorch 2.11.0 are not under `$LIBTORCH/include`: run `cargo xtask setup`, or set LIBTORCH",
    )?;
    let abi = std::env::var("LIBTORCH_CXX11_ABI").unwrap_or_else(|_| "1".into());
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .include(&include)
        .include(include.join("torch/csrc/api/include"))
        .define("_GLIBCXX_USE_CXX11_ABI", abi.as_str())
        .opt_level(2)
        // The headers' own warnings are not ours to mend.
        .warnings(false)
        .file("src/shim.cpp")
        .try_compile("vqkit_shim")
        .map_err(|error| format!("cannot compile src/shim.cpp: {error}"))
}

fn folder_of(variable: &str) -> Option<PathBuf> {
    println!("cargo:rerun-if-env-changed={variable}");
    std::env::var_os(variable).map(PathBuf::from)
}
