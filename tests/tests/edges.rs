//! The direction of dependencies: `banger → {oci-flatten, ext4-writer}`, `banger-tests → all`; both
//! libraries → tar-events, and nothing else of the workspace.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

#[test]
fn workspace_crates_depend_in_one_direction() {
    let allowed: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::from([
        ("tar-events", BTreeSet::new()),
        ("ext4-writer", BTreeSet::from(["tar-events"])),
        ("oci-flatten", BTreeSet::from(["tar-events"])),
        ("banger", BTreeSet::from(["ext4-writer", "oci-flatten"])),
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
