//! Time, memory and size beside the peers that this machine has.
//!
//! `cargo bench -p ext4-writer -- [name part]`: each case runs in a process of its own, so that its CPU time and
//! peak memory are its own. Peers that are not installed are left out.

#![allow(clippy::print_stdout, reason = "a bench tells its figures")]
#![allow(
    clippy::disallowed_methods,
    reason = "a bench reads its arguments and the clock"
)]
#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use ext4_writer::{
    FileDevice, FileKind, FileTree, FormatOptions, ImageWriter, Metadata, SizeRule, Timestamp,
};

/// A tree to make: directories of 1,000 files, or one directory.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    files: u64,
    file_bytes: usize,
    per_directory: u64,
    sparse: u64,
}

const CASES: [Case; 6] = [
    Case {
        name: "files-10k",
        files: 10_000,
        file_bytes: 500,
        per_directory: 1000,
        sparse: 0,
    },
    Case {
        name: "files-100k",
        files: 100_000,
        file_bytes: 500,
        per_directory: 1000,
        sparse: 0,
    },
    Case {
        name: "files-1m",
        files: 1_000_000,
        file_bytes: 500,
        per_directory: 1000,
        sparse: 0,
    },
    Case {
        name: "names-10m",
        files: 10_000_000,
        file_bytes: 0,
        per_directory: 1000,
        sparse: 0,
    },
    Case {
        name: "one-dir-200k",
        files: 200_000,
        file_bytes: 0,
        per_directory: u64::MAX,
        sparse: 0,
    },
    Case {
        name: "sparse-10g",
        files: 1,
        file_bytes: 500,
        per_directory: 1,
        sparse: 10 << 30,
    },
];

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    if let [mode, name, image] = arguments.as_slice()
        && mode == "--ours"
    {
        let case = CASES.iter().find(|case| case.name == name).unwrap();
        return ours(*case, Path::new(image));
    }
    let wanted = |case: &&Case| {
        arguments
            .iter()
            .all(|part| case.name.contains(part.as_str()))
    };
    println!(
        "{:<14} {:<14} {:>8} {:>8} {:>9} {:>10}",
        "case", "writer", "wall s", "cpu s", "peak MiB", "B/entry"
    );
    for case in CASES.iter().filter(wanted) {
        let place = tempfile::tempdir().unwrap();
        let image = place.path().join("image");
        let exe = std::env::current_exe().unwrap();
        let mut command = Command::new(exe);
        report(
            case,
            "ext4-writer",
            command.args(["--ours", case.name]).arg(&image),
        );
        if case.files <= 1_000_000 && case.sparse == 0 {
            let tree = place.path().join("tree");
            plant(case, &tree);
            let bytes = std::fs::metadata(&image).unwrap().len();
            std::fs::remove_file(&image).unwrap();
            let size = format!("{}k", bytes / 1024);
            let inodes = (case.files * 5 / 4 + 1000).to_string();
            let mut command = Command::new("/sbin/mke2fs");
            command.args(["-q", "-t", "ext4", "-b", "4096", "-N", &inodes, "-d"]);
            command.arg(&tree).arg(&image).arg(&size);
            report(case, "mke2fs -d", &mut command);
        }
    }
}

/// Runs a command and prints what it took; ours tells its peak memory on its standard output.
fn report(case: &Case, writer: &str, command: &mut Command) {
    let (begin, before) = (Instant::now(), children_cpu());
    let output = command.output();
    let Some(output) = output.ok().filter(|output| output.status.success()) else {
        println!("{:<14} {writer:<14} not measured", case.name);
        return;
    };
    let (wall, cpu) = (begin.elapsed().as_secs_f64(), children_cpu() - before);
    let kib: Option<f64> = String::from_utf8_lossy(&output.stdout).trim().parse().ok();
    let peak = kib.map_or("-".to_owned(), |kib| format!("{:.1}", kib / 1024.0));
    let each = kib.map_or("-".to_owned(), |kib| {
        format!("{:.0}", kib * 1024.0 / case.files as f64)
    });
    println!(
        "{:<14} {writer:<14} {wall:>8.2} {cpu:>8.2} {peak:>9} {each:>10}",
        case.name
    );
}

/// CPU seconds of all children that ended.
fn children_cpu() -> f64 {
    // Fields 16 and 17 of /proc/self/stat, in ticks of 10 ms; the command's name ends in ") ".
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat
        .rsplit_once(") ")
        .unwrap()
        .1
        .split_whitespace()
        .collect();
    let ticks: u64 = fields[13].parse::<u64>().unwrap() + fields[14].parse::<u64>().unwrap();
    ticks as f64 / 100.0
}

fn names(case: Case) -> impl Iterator<Item = (u64, String)> {
    (0..case.files).map(move |n| (n / case.per_directory, format!("file-number-{n:07}")))
}

fn body(n: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = (n as usize + at) as u8 | 1;
    }
    bytes
}

fn ours(case: Case, image: &Path) {
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(image);
    let device = FileDevice::unsynced(file.unwrap());
    let options = FormatOptions {
        size: SizeRule::AtLeast(0),
        ..FormatOptions::default()
    };
    let mut writer = ImageWriter::new(device, options).unwrap();
    let time = Timestamp::new(1_700_000_000, 0);
    let mut tree = FileTree::new(Metadata::new(0o755, time)).unwrap();
    let mut directory = (u64::MAX, tree.root());
    for (number, name) in names(case) {
        if directory.0 != number {
            let name = format!("directory-{number}");
            let metadata = Metadata::new(0o755, time);
            let id = tree.insert(tree.root(), name.as_bytes(), FileKind::Directory, metadata);
            directory = (number, id.unwrap());
        }
        writer.begin_content(case.file_bytes as u64).unwrap();
        if case.file_bytes > 0 {
            writer
                .write_content(&body(number, case.file_bytes))
                .unwrap();
        }
        writer.skip_content(case.sparse).unwrap();
        let content = FileKind::File(writer.end_content().unwrap());
        let metadata = Metadata::new(0o644, time);
        tree.insert(directory.1, name.as_bytes(), content, metadata)
            .unwrap();
    }
    writer.finish(tree).unwrap();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    println!("{}", line.split_whitespace().nth(1).unwrap());
}

/// The same tree on the host, for peers that read directories.
fn plant(case: &Case, place: &Path) {
    std::fs::create_dir(place).unwrap();
    for (number, name) in names(*case) {
        let directory = place.join(format!("directory-{number}"));
        if !directory.exists() {
            std::fs::create_dir(&directory).unwrap();
        }
        std::fs::write(directory.join(name), body(number, case.file_bytes)).unwrap();
    }
}
