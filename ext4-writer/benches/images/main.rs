//! Time, memory and cost per entry of making images, beside the peers that this machine has.
//!
//! `cargo bench -p ext4-writer --bench images -- [part of a case's name]...`: every writer runs in a process of its own, so
//! that its CPU time and peak memory are its own. Images are not synced. Slower means more CPU time: how long a writer
//! waits depends on what else the disk has to do. A target that is missed fails the run.
//!
//! Targets:
//! - 1,000,000 files of 500 bytes in at most 10 s of CPU and 250 MB;
//! - 200,000 names in one directory in at most 1 s;
//! - at most 200 bytes of memory for each of 10,000,000 inodes;
//! - an entry of 10,000,000 costs at most twice what one of 10,000 does;
//! - never slower than a peer that is given the same.
//!
//! Peers: `mke2fs -d` of a directory, and of a tar where it was built with libarchive (1.47.1 and later; the variable `MKE2FS` names
//! another than that of the `PATH`); the crate `arcbox-ext4`. A peer that takes more than ten minutes is stopped.

#![allow(clippy::print_stdout, reason = "a bench tells its figures")]
#![allow(
    clippy::disallowed_methods,
    reason = "a bench reads its arguments, the environment and the clock"
)]
#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]

mod case;
mod measure;
mod writer;

use std::path::Path;
use std::process::ExitCode;

use case::{CASES, Case};
use measure::{Cost, measure};
use writer::{Input, WRITERS, Writer};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    if let [mode, writer, case, input, image] = arguments.as_slice()
        && mode == "--write"
    {
        let writer = WRITERS.iter().find(|known| known.name == writer).unwrap();
        let case = CASES.iter().find(|known| known.name == case).unwrap();
        writer.write(case, Path::new(input), Path::new(image));
        return ExitCode::SUCCESS;
    }
    println!(
        "{:<13} {:<20} {:>8} {:>8} {:>9} {:>8} {:>9}",
        "case", "writer", "wall s", "cpu s", "peak MiB", "B/entry", "ns/entry"
    );
    let chosen = |case: &&Case| {
        let parts = &arguments;
        parts.is_empty() || parts.iter().any(|part| case.name.contains(part.as_str()))
    };
    let mut rows = Vec::new();
    for case in CASES.iter().filter(chosen) {
        run(case, &mut rows);
    }
    let missed = missed(&rows);
    println!();
    for target in &missed {
        println!("missed: {target}");
    }
    if missed.is_empty() {
        println!("all targets that were measured are met");
        return ExitCode::SUCCESS;
    }
    ExitCode::FAILURE
}

/// What one writer took for one case.
struct Row {
    case: Case,
    writer: Writer,
    cost: Cost,
}

fn run(case: &Case, rows: &mut Vec<Row>) {
    let place = tempfile::tempdir().unwrap();
    let image = place.path().join("image");
    // How long peers that ask for a size are to make their image.
    let mut size = 0;
    for input in [Input::Entries, Input::Directory, Input::Tar] {
        let source = place.path().join("source");
        let writers = WRITERS
            .iter()
            .filter(|writer| writer.input == input && writer.takes(case));
        for (number, writer) in writers.enumerate() {
            if number == 0 {
                case.plant(input, &source);
            }
            let cost = measure(&mut writer.command(case, &source, &image, size));
            print(case, writer, &cost);
            if let Ok(metadata) = std::fs::metadata(&image) {
                size = size.max(metadata.len());
                std::fs::remove_file(&image).unwrap();
            }
            if let Ok(cost) = cost {
                let (case, writer) = (*case, *writer);
                rows.push(Row { case, writer, cost });
            }
        }
        if source.is_dir() {
            std::fs::remove_dir_all(&source).unwrap();
        } else if source.exists() {
            std::fs::remove_file(&source).unwrap();
        }
    }
}

fn print(case: &Case, writer: &Writer, cost: &Result<Cost, String>) {
    let (name, writer) = (case.name, writer.name);
    match cost {
        Ok(cost) => {
            let entries = case.files as f64;
            println!(
                "{name:<13} {writer:<20} {:>8.2} {:>8.2} {:>9.1} {:>8.0} {:>9.0}",
                cost.wall,
                cost.cpu,
                cost.peak as f64 / f64::from(1 << 20),
                cost.peak as f64 / entries,
                cost.cpu * 1e9 / entries,
            );
        }
        Err(why) => println!("{name:<13} {writer:<20} not measured: {why}"),
    }
}

fn missed(rows: &[Row]) -> Vec<String> {
    let mut missed = Vec::new();
    let ours = |name: &str| {
        rows.iter()
            .find(|row| row.case.name == name && row.writer.name == "ext4-writer")
    };
    let mut hold = |what: &str, found: f64, limit: f64| {
        if found > limit {
            missed.push(format!("{what}: {found:.2} (limit {limit:.2})"));
        }
    };
    if let Some(row) = ours("files-1m") {
        hold("CPU seconds for 1,000,000 files", row.cost.cpu, 10.0);
        let megabytes = row.cost.peak as f64 / 1e6;
        hold("megabytes for 1,000,000 files", megabytes, 250.0);
    }
    if let Some(row) = ours("one-dir-200k") {
        let what = "seconds for 200,000 names in one directory";
        hold(what, row.cost.wall.min(row.cost.cpu), 1.0);
    }
    if let Some(row) = ours("names-10m") {
        let bytes = row.cost.peak as f64 / row.case.files as f64;
        hold("bytes for each of 10,000,000 inodes", bytes, 200.0);
    }
    if let (Some(few), Some(many)) = (ours("names-10k"), ours("names-10m")) {
        let each = |row: &Row| row.cost.cpu * 1e9 / row.case.files as f64;
        // A process that ends within a few ticks of the CPU clock has no exact figure.
        let limit = 2.0 * each(few).max(2000.0);
        hold("nanoseconds an entry of 10,000,000", each(many), limit);
    }
    for peer in rows.iter().filter(|row| row.writer.peer) {
        let same = |row: &&Row| {
            !row.writer.peer
                && row.case.name == peer.case.name
                && row.writer.input == peer.writer.input
        };
        for row in rows.iter().filter(same) {
            let what = format!("{}, CPU seconds beside {}", row.case.name, peer.writer.name);
            hold(&what, row.cost.cpu, peer.cost.cpu + 0.02);
        }
    }
    missed
}
