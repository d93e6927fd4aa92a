//! From an image layout to an ext4 file, as a user does it: `banger flatten` beside `umoci unpack` and
//! `mke2fs -d`, in turns, each with its data on disk in the end. Run as root, for umoci and mke2fs to keep owners and devices.
//!
//! usage: cargo bench -p banger --bench peers -- OCI-LAYOUT:TAG...

#![expect(clippy::print_stdout, reason = "figures are what a bench is for")]

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const ROUNDS: usize = 5;

fn main() {
    let images: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    if images.is_empty() {
        println!("give OCI image layouts, as DIR:TAG");
    }
    for image in images {
        compare(&image);
    }
}

fn compare(image: &str) {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let (mut disk, mut tree) = (0, 0);
    for _ in 0..ROUNDS {
        let folder = tempfile::tempdir().expect("a folder");
        let output = folder.path().join("ours.ext4");
        let started = Instant::now();
        run(Command::new(env!("CARGO_BIN_EXE_banger"))
            .args(["flatten", "-q", &format!("oci:{image}"), "-o"])
            .arg(&output));
        ours.push(started.elapsed());
        disk = occupied(&output);
        drop(folder);
        let folder = tempfile::tempdir().expect("a folder");
        let started = Instant::now();
        tree = umoci_and_mke2fs(image, folder.path());
        theirs.push(started.elapsed());
    }
    let (ours, theirs) = (median(ours), median(theirs));
    println!("{image}, median of {ROUNDS}");
    println!(
        "  banger flatten    {ours:6.2} s   {} MiB on disk",
        disk >> 20
    );
    println!(
        "  umoci + mke2fs    {theirs:6.2} s   and {} MiB for the unpacked tree",
        tree >> 20
    );
    println!("  ratio             {:6.1}", theirs / ours);
}

/// Returns what the unpacked tree has occupied.
fn umoci_and_mke2fs(image: &str, folder: &Path) -> u64 {
    let (bundle, output) = (folder.join("bundle"), folder.join("theirs.ext4"));
    run(Command::new("umoci")
        .args(["unpack", "--image", image])
        .arg(&bundle));
    let root = bundle.join("rootfs");
    run(Command::new("mke2fs")
        .args(["-q", "-F", "-t", "ext4", "-d"])
        .arg(&root)
        .arg(&output)
        .arg("1G")
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin"));
    File::open(&output)
        .and_then(|file| file.sync_all())
        .expect("it is synced");
    let sum = Command::new("du").args(["-sk"]).arg(&root).output();
    let text = String::from_utf8(sum.expect("du runs").stdout).expect("du writes text");
    let kib = text
        .split_whitespace()
        .next()
        .and_then(|n| n.parse::<u64>().ok());
    kib.expect("du writes a number") << 10
}

fn occupied(file: &Path) -> u64 {
    file.metadata().expect("the file is there").blocks() * 512
}

fn run(command: &mut Command) {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status();
    let status = status.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64()
}
