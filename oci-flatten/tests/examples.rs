//! The examples do what they say, as other programs see it.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests may")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use oci_flatten::testkit::{Entry, Layer};
use support::{Blobs, flatten, open, tagged, tool, write_files};

/// An example's program, which `cargo test` builds beside the tests.
fn example(name: &str) -> Option<PathBuf> {
    let tests = std::env::current_exe().unwrap();
    let path = tests.parent()?.parent()?.join("examples").join(name);
    if !path.exists() {
        assert!(
            std::env::var_os("CI").is_none(),
            "{} is needed",
            path.display()
        );
        println!("skipped: {} is not built", path.display());
        return None;
    }
    Some(path)
}

fn run(program: &Path, source: &str) -> Vec<u8> {
    let output = Command::new(program).arg(source).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{source}: {errors}");
    output.stdout
}

/// An image with everything that a tar can say, as a layout.
fn sample(directory: &Path) -> String {
    let long = format!("d/{}", "n".repeat(200));
    let file = |path: &str, content: &str| Entry::file(path, content).mode(0o640).mtime(9);
    let base = Layer::new()
        .entry(Entry::directory("d").mode(0o1777).owner(3, 4).mtime(5))
        .entry(file(&long, "long"))
        .entry(file("d/owned", "x").owner(3_000_000_000, 70_000))
        .entry(file("d/fraction", "x").pax("mtime", "12.000000034"))
        .entry(file("d/old", "x").pax("mtime", "-5.25"))
        .entry(
            file("d/attributed", "x")
                .xattr("user.note", "text")
                .xattr("user.empty", ""),
        )
        .entry(file("d/first", "linked"))
        .entry(Entry::hard_link("d/second", "d/first").mode(0o640).mtime(9))
        .entry(Entry::symlink("link", "t".repeat(150)).mtime(9))
        .entry(Entry::char_device("null", 1, 3).mode(0o666).mtime(9))
        .entry(Entry::block_device("disk", 8, 70_000).mode(0o660).mtime(9))
        .entry(Entry::fifo("pipe").mode(0o600).mtime(9))
        .entry(file("gone", "x"))
        .finish();
    let upper = Layer::new().entry(Entry::file(".wh.gone", "")).finish();
    let mut blobs = Blobs::default();
    let image = blobs.image("linux/amd64", &[base, upper]);
    write_files(directory, &blobs.layout(&[tagged("v1", image)]));
    format!("oci:{}:v1", directory.display())
}

#[tokio::test]
async fn to_tar_writes_the_merged_tree() {
    let Some(program) = example("to_tar") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let name = sample(&directory.path().join("layout"));
    let tar = directory.path().join("out.tar");
    std::fs::write(&tar, run(&program, &name)).unwrap();
    let tar = tar.display().to_string();
    let wanted = flatten(open(&name).await.unwrap()).await.unwrap();
    let found = flatten(open(&format!("tar:{tar}")).await.unwrap())
        .await
        .unwrap();
    assert_eq!(found.listing, wanted.listing);
    assert_eq!(found.listing.len(), 12);

    let names: Vec<_> = wanted
        .listing
        .iter()
        .map(|line| line.split(['=', '|', ' ', '-']).next().unwrap().to_string())
        .collect();
    for program in ["tar", "bsdtar"] {
        let Some(listed) = tool(program, &["-tf", &tar]) else {
            return;
        };
        assert_eq!(listed.lines().collect::<Vec<_>>(), names, "{program}");
    }
    let all = ["--numeric-owner", "--full-time", "-tvf", &tar];
    let Some(listed) = tool("tar", &all) else {
        return;
    };
    for text in [
        "drwxrwxrwt 3/4 ",
        "-rw-r----- 3000000000/70000 ",
        "crw-rw-rw- ",
        " 1,3 ",
        " 8,70000 ",
    ] {
        assert!(listed.contains(text), "{text} is not in\n{listed}");
    }
}

#[tokio::test]
async fn ls_prints_a_line_for_every_name() {
    let Some(program) = example("ls") else { return };
    let directory = tempfile::tempdir().unwrap();
    let name = sample(directory.path());
    let listed = String::from_utf8(run(&program, &name)).unwrap();
    let wanted = flatten(open(&name).await.unwrap()).await.unwrap();
    assert_eq!(
        listed.lines().count(),
        wanted.listing.len() + 1,
        "and one for the root"
    );
    for text in [
        "d1777 1 3:4          0 5.000000000 /d\n",
        "-0640 1 3000000000:70000          1 9.000000000 /d/owned\n",
        "12.000000034 /d/fraction\n",
        "/d/attributed user.empty= user.note=text\n",
        "c0666 1 0:0        1,3 ",
        "-0640 2 0:0          6 9.000000000 /d/second\n",
    ] {
        assert!(listed.contains(text), "{text} is not in\n{listed}");
    }
}
