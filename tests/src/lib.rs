//! What the cross-crate tests share: where things are, and which outside tools are there.

pub mod guest;
pub mod machine;
pub mod mount;
pub mod oracle;
pub mod source;
pub mod tree;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The root of the repository.
#[must_use]
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package lies in the workspace")
}

/// Images that outside tools built, one OCI layout a folder, where a checkout has them beside it.
#[must_use]
pub fn shared_images() -> Vec<PathBuf> {
    let folder = repository().join("../shared/images");
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut images: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.join("index.json").is_file())
        .collect();
    images.sort();
    images
}

/// The sample image of the repository.
#[must_use]
pub fn sample_image() -> PathBuf {
    repository().join("examples/sample")
}

/// Whether an outside tool is there. A missing one is named on standard error and the caller skips;
/// where `CI` is set it fails instead, so that a skip can never pass for a test.
///
/// # Panics
///
/// When the tool is missing and `CI` is set.
#[must_use]
pub fn tool(name: &str) -> bool {
    let found = std::env::var_os("PATH")
        .into_iter()
        .flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>())
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|folder: PathBuf| folder.join(name).is_file());
    missing_unless(found, name)
}

/// Whether this process is root (needed for loop mounts and for unpacking with owners); skips and
/// fails as [`tool`] does.
///
/// # Panics
///
/// When the process is not root and `CI` is set.
#[must_use]
pub fn root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root && left_to_root() {
        return false;
    }
    missing_unless(is_root, "root")
}

/// Notes this test for `.ci/run`, which repeats it as root; false where nobody has asked for that.
fn left_to_root() -> bool {
    let Some(list) = std::env::var_os("TESTS_FOR_ROOT") else {
        return false;
    };
    let program = std::env::current_exe().unwrap();
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    let line = format!("{} {test}\n", program.display());
    let list = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(list);
    std::io::Write::write_all(&mut list.unwrap(), line.as_bytes()).unwrap();
    println!("left to root: {test}");
    true
}

fn missing_unless(found: bool, what: &str) -> bool {
    if !found {
        assert!(std::env::var_os("CI").is_none(), "CI needs {what}");
        eprintln!("skipped: {what} is missing");
    }
    found
}

/// Runs a command to its end.
///
/// # Panics
///
/// When it cannot be started.
#[must_use]
pub fn output(command: &mut Command) -> Output {
    command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Runs a command that must succeed; returns its standard output and error together.
///
/// # Panics
///
/// When it cannot be started or exits with another code than 0.
pub fn succeed(command: &mut Command) -> String {
    let output = output(command);
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        output.status.success(),
        "{command:?}: {}\n{text}",
        output.status
    );
    text
}

/// Flattens the one image of an OCI layout to a file, as the program does.
///
/// # Panics
///
/// When that fails.
pub fn flatten_layout(layout: &Path, output: &Path) {
    flatten_source(&format!("oci:{}", layout.display()), output);
}

/// Flattens an image to a file, as the program does.
///
/// # Panics
///
/// When that fails.
pub fn flatten_source(source: &str, output: &Path) {
    use banger::flatten::{Options, open_and_flatten};
    use banger::source::SourceOptions;
    use banger::watch::Watch;
    use oci_flatten::flatten::CancellationToken;
    use oci_flatten::source::SourceName;

    let name = SourceName::parse(source).unwrap();
    let output = banger::output::OutputFile::create(output, false).unwrap();
    let file = output.handle().unwrap();
    let sources = SourceOptions::default();
    let (options, watch) = (Options::default(), Watch::silent(CancellationToken::new()));
    let work = open_and_flatten(&name, &sources, &file, &options, &watch);
    tokio::runtime::Runtime::new()
        .unwrap()
        .block_on(work)
        .unwrap();
    output.publish(false, &()).unwrap();
}
