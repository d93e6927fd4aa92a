//! Tells the build scripts of dependents where the sources of this package are.

#![allow(clippy::print_stdout, reason = "how a build script speaks to cargo")]

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!(
        "cargo::metadata=manifest_dir={}",
        env!("CARGO_MANIFEST_DIR")
    );
}
