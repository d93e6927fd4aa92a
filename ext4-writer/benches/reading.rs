//! What reading costs: `find` and `tar` over a mounted image, beside mke2fs' layout of the same tree.
//!
//! `cargo bench -p ext4-writer --bench reading -- [DIRECTORY]`, as root, with loop devices; `/usr` where no directory is given.
//! Both images hold the same tree and have the same size. Each run begins with nothing cached: the image is mounted anew
//! from a loop device that reads the file directly. Of seven runs, the two images in turn, the least time counts, as whatever
//! else the machine does only adds to it; reads and bytes are medians.
//!
//! Target: no more reads and no more time than from mke2fs' layout, a tenth of the time left to noise, and no more bytes but for a
//! hundredth: our directories keep a fifth of each leaf free for new names, as `e2fsck -D` does, and those of mke2fs nothing.

#![allow(clippy::print_stdout, reason = "a bench tells its figures")]
#![allow(
    clippy::disallowed_methods,
    reason = "a bench reads its arguments and the clock"
)]
#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use ext4_writer::{DirectoryOptions, FileDevice, FormatOptions, ImageWriter, read_directory};

const RUNS: usize = 7;
const NOISE: f64 = 1.1;
const FREE_IN_LEAVES: f64 = 1.01;

fn main() -> ExitCode {
    let source = std::env::args()
        .skip(1)
        .find(|argument| argument != "--bench");
    let source = PathBuf::from(source.unwrap_or_else(|| "/usr".to_owned()));
    if !rustix::process::geteuid().is_root() || !Path::new("/dev/loop-control").exists() {
        println!("not measured: mounting needs root and loop devices");
        return ExitCode::SUCCESS;
    }
    let place = tempfile::tempdir().unwrap();
    let images = [
        place.path().join("ext4-writer"),
        place.path().join("mke2fs"),
    ];
    let size = ours(&source, &images[0]);
    mke2fs(&source, &images[1], size);
    println!(
        "{:<6} {:<12} {:>8} {:>8} {:>9}",
        "what", "layout", "wall s", "reads", "read MiB"
    );
    let mut missed = false;
    for (what, script) in [
        ("find", "find \"$1\" -ls >/dev/null"),
        // To /dev/null itself, tar would read nothing.
        ("tar", "tar -C \"$1\" -cf - . | cat >/dev/null"),
    ] {
        let mut runs = [Vec::new(), Vec::new()];
        for _ in 0..RUNS {
            for (image, runs) in images.iter().zip(&mut runs) {
                runs.push(measure(image, script));
            }
        }
        let [ours, theirs] = runs.map(Cost::of_all);
        for (layout, cost) in [("ext4-writer", ours), ("mke2fs", theirs)] {
            let (wall, reads) = (cost.wall, cost.reads);
            let mib = cost.bytes / f64::from(1 << 20);
            println!("{what:<6} {layout:<12} {wall:>8.3} {reads:>8.0} {mib:>9.1}");
        }
        missed |= ours.wall > theirs.wall * NOISE
            || ours.reads > theirs.reads
            || ours.bytes > theirs.bytes * FREE_IN_LEAVES;
    }
    println!(
        "{}",
        if missed {
            "target missed"
        } else {
            "target met"
        }
    );
    if missed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

#[derive(Clone, Copy)]
struct Cost {
    wall: f64,
    reads: f64,
    bytes: f64,
}

impl Cost {
    fn of_all(runs: Vec<Self>) -> Self {
        let sorted = |part: fn(&Self) -> f64| {
            let mut values: Vec<f64> = runs.iter().map(part).collect();
            values.sort_by(f64::total_cmp);
            values
        };
        let middle = runs.len() / 2;
        Self {
            wall: sorted(|run| run.wall)[0],
            reads: sorted(|run| run.reads)[middle],
            bytes: sorted(|run| run.bytes)[middle],
        }
    }
}

fn ours(source: &Path, image: &Path) -> u64 {
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(image)
        .unwrap();
    let mut writer = ImageWriter::new(FileDevice::new(file), FormatOptions::default()).unwrap();
    let tree = read_directory(&mut writer, source, &DirectoryOptions::default()).unwrap();
    writer.finish(tree).unwrap().size_bytes
}

fn mke2fs(source: &Path, image: &Path, size: u64) {
    // As many inodes as files, and some more, whatever the ratio.
    let inodes = (count(source) * 5 / 4).max(size / 16_384).to_string();
    let mut command = Command::new("/sbin/mke2fs");
    command.args([
        "-q", "-t", "ext4", "-b", "4096", "-m", "0", "-N", &inodes, "-d",
    ]);
    command
        .arg(source)
        .arg(image)
        .arg(format!("{}k", size / 1024));
    assert!(command.status().unwrap().success());
    File::open(image).unwrap().sync_all().unwrap();
}

fn count(source: &Path) -> u64 {
    let output = Command::new("find")
        .arg(source)
        .arg("-printf")
        .arg(".")
        .output()
        .unwrap();
    output.stdout.len() as u64
}

/// Runs a script over an image that is mounted for it.
fn measure(image: &Path, script: &str) -> Cost {
    let file = File::open(image).unwrap();
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    let device = said(
        Command::new("losetup")
            .args(["--find", "--show", "--read-only", "--direct-io=on"])
            .arg(image),
    );
    let directory = tempfile::tempdir().unwrap();
    let mut mount = Command::new("mount");
    said(
        mount
            .args(["-t", "ext4", "-o", "ro", &device])
            .arg(directory.path()),
    );
    let (begin, before) = (Instant::now(), reads(&device));
    said(
        Command::new("sh")
            .args(["-c", script, "sh"])
            .arg(directory.path()),
    );
    let (wall, after) = (begin.elapsed().as_secs_f64(), reads(&device));
    said(Command::new("umount").arg(directory.path()));
    said(Command::new("losetup").args(["--detach", &device]));
    Cost {
        wall,
        reads: after.0 - before.0,
        bytes: after.1 - before.1,
    }
}

/// Reads that a block device has done, and their bytes.
fn reads(device: &str) -> (f64, f64) {
    let name = device.trim_start_matches("/dev/");
    let stat = fs::read_to_string(format!("/sys/block/{name}/stat")).unwrap();
    let fields: Vec<f64> = stat
        .split_whitespace()
        .map(|field| field.parse().unwrap())
        .collect();
    // Reads, merged ones, sectors of 512 bytes.
    (fields[0], fields[2] * 512.0)
}

fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {error}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
