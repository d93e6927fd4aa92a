//! Builds the guest's init, one small static program, for the crate to embed.
//!
//! The init needs flags of its own (a static C library, size before speed, no unwinding), which no profile or
//! configuration can give to one package of a build. So a package of two lines around `banger-init` is
//! written to `OUT_DIR` and built there by the cargo and for the target that are at work already. The
//! folder of targets is its own, so neither cargo waits for the other; and it is offline, as its
//! dependencies are dependencies of this crate, which have been fetched.

#![allow(clippy::print_stdout, reason = "how a build script speaks to cargo")]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const MAIN: &str = "fn main() -> std::process::ExitCode {\n    banger_init::run()\n}\n";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let source = PathBuf::from(variable("DEP_BANGER_INIT_MANIFEST_DIR"));
    for part in ["Cargo.toml", "src"] {
        println!("cargo::rerun-if-changed={}", source.join(part).display());
    }
    let out = PathBuf::from(variable("OUT_DIR"));
    let package = out.join("init-package");
    let target = variable("TARGET");
    write_package(&package, &source);
    if !cargo(
        &package,
        &["fetch", "--quiet", "--offline", "--target", &target],
    )
    .status
    .success()
    {
        // "cargo install" without --locked takes other versions than the lock file has.
        let _ = fs::remove_file(package.join("Cargo.lock"));
    }
    let folder = package.join("target");
    let folder = folder.to_str().expect("cargo gives OUT_DIR as text");
    let output = cargo(
        &package,
        &[
            "build",
            "--quiet",
            "--offline",
            "--release",
            "--target",
            &target,
            "--target-dir",
            folder,
        ],
    );
    if !output.status.success() {
        fail(&String::from_utf8_lossy(&output.stderr), &target);
    }
    let built = Path::new(folder).join(&target).join("release/init");
    fs::copy(&built, out.join("init"))
        .unwrap_or_else(|error| panic!("{}: {error}", built.display()));
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn write_package(package: &Path, source: &Path) {
    let manifest = format!(
        "[package]\nname = \"init\"\nversion = \"0.0.0\"\nedition = \"2024\"\npublish = false\n\n\
         [dependencies]\nbanger-init = {{ path = {source:?} }}\n\n\
         [profile.release]\nopt-level = \"z\"\nlto = \"fat\"\ncodegen-units = 1\npanic = \"abort\"\n\
         strip = true\n\n[workspace]\n"
    );
    fs::create_dir_all(package.join("src")).expect("OUT_DIR is writable");
    write_changed(&package.join("Cargo.toml"), manifest.as_bytes());
    write_changed(&package.join("src/main.rs"), MAIN.as_bytes());
    let own = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let lock = own
        .ancestors()
        .map(|folder| folder.join("Cargo.lock"))
        .find_map(|path| fs::read(path).ok());
    if let Some(lock) = lock {
        fs::write(package.join("Cargo.lock"), lock).expect("OUT_DIR is writable");
    }
}

/// Writes a file whose time cargo looks at.
fn write_changed(path: &Path, bytes: &[u8]) {
    if fs::read(path).ok().as_deref() != Some(bytes) {
        fs::write(path, bytes).expect("OUT_DIR is writable");
    }
}

fn cargo(package: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(variable("CARGO"));
    command.args(arguments).current_dir(package);
    // What is meant for this build is not meant for that one: its flags, profiles and places, and the
    // wrapper by which clippy looks at the packages of a workspace.
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PROFILE_")
            || name.starts_with("CARGO_BUILD_")
            || name.ends_with("_RUSTFLAGS")
            || matches!(
                &*name,
                "RUSTFLAGS" | "RUSTC_WORKSPACE_WRAPPER" | "CARGO_TARGET_DIR"
            )
        {
            command.env_remove(&*name);
        }
    }
    command.env(
        "CARGO_ENCODED_RUSTFLAGS",
        "-Ctarget-feature=+crt-static\u{1f}-Crelocation-model=static",
    );
    command
        .output()
        .unwrap_or_else(|error| panic!("cargo {}: {error}", arguments.join(" ")))
}

fn fail(stderr: &str, target: &str) -> ! {
    let no_libc = stderr.contains("-lc") || stderr.contains("libc.a");
    let hint = match no_libc && target.ends_with("-gnu") {
        true => {
            "\nthe static C library is missing: it is in libc6-dev (Debian, Ubuntu), glibc-static (Fedora), \
             glibc (Arch)"
        }
        false => "",
    };
    panic!("the guest's init does not build for {target}:\n{stderr}{hint}");
}
