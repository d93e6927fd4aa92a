//! Every row of docs/flattening.md has its test.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("file is readable")
}

/// Names of all functions in this crate's sources and tests.
fn functions() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pending: Vec<PathBuf> = vec![root.join("src"), root.join("tests")];
    let mut functions = BTreeSet::new();
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            let files = fs::read_dir(&path).expect("directory is readable");
            pending.extend(files.map(|file| file.expect("directory is readable").path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = read(&path);
            let mut lines = text.lines().peekable();
            while let Some(line) = lines.next() {
                let is_test = matches!(line.trim(), "#[test]" | "#[tokio::test]");
                let Some(next) = lines.peek().filter(|_| is_test) else {
                    continue;
                };
                let name = next
                    .trim()
                    .trim_start_matches("async ")
                    .trim_start_matches("fn ");
                functions.extend(name.split('(').next().map(str::to_owned));
            }
        }
    }
    functions
}

/// The numbers of one cell: `7`, `14, 15, 17`, `54–56`.
fn numbers(cell: &str) -> Option<Vec<u32>> {
    let mut numbers = Vec::new();
    for part in cell.split(", ") {
        match part.split_once('–') {
            Some((first, last)) => numbers.extend(first.parse().ok()?..=last.parse::<u32>().ok()?),
            None => numbers.push(part.parse().ok()?),
        }
    }
    Some(numbers)
}

#[test]
fn every_row_has_its_test() {
    let functions = functions();
    let page = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/flattening.md"));
    let (mut numbered, mut named) = (BTreeSet::new(), 0);
    for row in page.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        if let Some(numbers) = numbers(cells[0]) {
            for number in numbers {
                let name = format!("row_{number}_");
                let has_test = functions.iter().any(|function| function.starts_with(&name));
                assert!(has_test, "no test {name}…");
                numbered.insert(number);
            }
        } else if !matches!(cells[0], "#" | "case" | "what") {
            let last = cells.last().expect("a row has cells");
            let tests: Vec<_> = last.split('`').skip(1).step_by(2).collect();
            assert!(!tests.is_empty(), "no test is named: {row}");
            for test in tests {
                assert!(functions.contains(test), "no test {test}");
            }
            named += 1;
        }
    }
    assert_eq!(numbered, (1..=62).collect());
    assert!(named > 60, "{named} rows");
}
