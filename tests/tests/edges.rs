//! Dependencies: how many, and in which direction: `banger → {banger-init, oci-flatten, ext4-writer}`, `banger-tests → all`;
//! both libraries → tar-events, and nothing else of the workspace.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// What somebody else builds who links a library with some of its features: the library and all that it needs.
const PACKAGES: [(&str, &str, usize); 8] = [
    ("tar-events", "", 7),
    ("ext4-writer", "", 17),
    ("ext4-writer", "directory", 17),
    ("ext4-writer", "tar", 19),
    ("ext4-writer", "verity", 26),
    ("oci-flatten", "", 9),
    ("oci-flatten", "sources", 60),
    ("oci-flatten", "registry", 185),
];

#[test]
fn features_bring_no_more_packages_than_they_need() {
    for (package, features, most) in PACKAGES {
        let output = Command::new(env!("CARGO"))
            .args(["tree", "--locked", "--edges=normal", "--prefix=none"])
            .args(["--format={p}", "--no-default-features"])
            .args(["--package", package, "--features", features])
            .current_dir(banger_tests::repository())
            .output()
            .expect("cargo runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        let lines = String::from_utf8(output.stdout).unwrap();
        let packages: BTreeSet<_> = lines
            .lines()
            .map(|line| line.trim_end_matches(" (*)"))
            .collect();
        assert!(
            packages.len() <= most,
            "{package} with {features:?}: {} packages (limit {most}): {packages:?}",
            packages.len()
        );
    }
}

#[test]
fn workspace_crates_depend_in_one_direction() {
    let allowed: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::from([
        ("tar-events", BTreeSet::new()),
        ("ext4-writer", BTreeSet::from(["tar-events"])),
        ("oci-flatten", BTreeSet::from(["tar-events"])),
        (
            "banger",
            BTreeSet::from(["banger-init", "ext4-writer", "oci-flatten"]),
        ),
        ("banger-init", BTreeSet::new()),
        (
            "banger-tests",
            BTreeSet::from(["banger", "ext4-writer", "oci-flatten"]),
        ),
    ]);
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--locked"])
        .current_dir(banger_tests::repository())
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let members: BTreeSet<&str> = packages
        .iter()
        .map(|package| package["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        members,
        allowed.keys().copied().collect(),
        "a member without a rule"
    );
    for package in packages {
        let name = package["name"].as_str().unwrap();
        for dependency in package["dependencies"].as_array().unwrap() {
            let target = dependency["name"].as_str().unwrap();
            // A crate may name itself among its dev-dependencies to switch a feature on for its tests.
            if members.contains(target) && target != name {
                assert!(
                    allowed[name].contains(target),
                    "{name} must not depend on {target}"
                );
            }
        }
    }
}
