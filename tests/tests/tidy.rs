//! Budgets of the source: files of about 400 lines without their tests, no unfinished marks, no circles.

#[path = "tidy/circles.rs"]
mod circles;

use std::fs;
use std::path::{Path, PathBuf};

const MAX_LINES: usize = 400;

/// Files above the budget, each with its own limit and the reason.
const EXEMPT: &[(&str, usize, &str)] = &[];

#[test]
fn files_stay_within_their_budget() {
    let mut over = Vec::new();
    for path in sources() {
        let name = relative(&path);
        let limit = EXEMPT
            .iter()
            .find(|(file, ..)| *file == name)
            .map_or(MAX_LINES, |e| e.1);
        let lines = lines_without_tests(&fs::read_to_string(&path).unwrap());
        if lines > limit {
            over.push(format!("{name}: {lines} lines (limit {limit})"));
        }
    }
    assert!(
        over.is_empty(),
        "split by noun, or exempt with a reason:\n{}",
        over.join("\n")
    );
}

#[test]
fn exemptions_are_needed() {
    for (file, limit, _reason) in EXEMPT {
        let text = fs::read_to_string(banger_tests::repository().join(file)).unwrap();
        let lines = lines_without_tests(&text);
        assert!(
            lines > MAX_LINES && lines <= *limit,
            "{file}: {lines} lines, exemption {limit}"
        );
    }
}

#[test]
fn nothing_is_left_unfinished() {
    let marks = ["TO\u{44}O", "FIX\u{4d}E", "XX\u{58}"];
    for path in sources() {
        for (index, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
            let mark = marks.iter().find(|mark| line.contains(**mark));
            assert!(mark.is_none(), "{}:{}: {line}", relative(&path), index + 1);
        }
    }
}

/// Reporters print an error's causes; a message that says its cause, too, has it said twice.
#[test]
fn messages_do_not_repeat_their_causes() {
    for path in sources() {
        let text = fs::read_to_string(&path).unwrap();
        for (index, line) in text.lines().enumerate() {
            assert!(
                !(line.contains("#[error(") && line.contains("{source")),
                "{}:{}: {line}",
                relative(&path),
                index + 1
            );
        }
    }
}

/// What the planner and the encoders cut or widen says so by name: a bare cast loses bits without a word.
#[test]
fn numbers_are_converted_by_name() {
    for path in sources() {
        let name = relative(&path);
        let kept = ["ext4-writer/src/plan/", "ext4-writer/src/encode/"];
        if !kept.iter().any(|folder| name.starts_with(folder)) {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for (index, line) in text.lines().take(lines_without_tests(&text)).enumerate() {
            let cast = [" as u8", " as u16", " as u32", " as u64", " as usize"]
                .iter()
                .any(|cast| line.contains(cast));
            // An array's length must be a constant, and an enum's place in its list is no number yet.
            let allowed = line.contains("[u8; QUOTA")
                || line.contains("[0; QUOTA")
                || line.contains("self as usize");
            assert!(
                !cast || allowed || line.trim_start().starts_with("//"),
                "{name}:{}: {line}",
                index + 1
            );
        }
    }
}

fn lines_without_tests(text: &str) -> usize {
    text.lines()
        .take_while(|line| *line != "#[cfg(test)]")
        .count()
}

fn relative(path: &Path) -> String {
    path.strip_prefix(banger_tests::repository())
        .unwrap()
        .to_string_lossy()
        .into_owned()
}

fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = [
        "ext4-writer",
        "oci-flatten",
        "oci-flatten/tar",
        "banger",
        "banger/init",
    ]
    .iter()
    .map(|member| banger_tests::repository().join(member).join("src"))
    .collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    assert!(found.len() > 10, "the sources were not found");
    found
}
