//! Breaks the ext4 writer on purpose, one line at a time, and has a test of each family fail: tests that nothing can fail
//! prove nothing.
//!
//! `cargo test -p banger-tests --test slow_mutations -- --nocapture`: minutes. The copy that is broken and its build stay in
//! `target/mutations/`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use banger_tests::{repository, root, succeed, tool};

/// One line made wrong, and who must notice.
struct Mutation {
    what: &'static str,
    file: &'static str,
    line: &'static str,
    wrong: &'static str,
    /// Test binary and the name of the test.
    noticed_by: (&'static str, &'static str),
}

const fn mutation(
    what: &'static str,
    file: &'static str,
    line: &'static str,
    wrong: &'static str,
    noticed_by: (&'static str, &'static str),
) -> Mutation {
    Mutation {
        what,
        file,
        line,
        wrong,
        noticed_by,
    }
}

const MUTATIONS: [Mutation; 17] = [
    mutation(
        "checksums are inverted at the end",
        "checksum.rs",
        "!crc32c::crc32c_append(!seed, bytes)",
        "crc32c::crc32c_append(!seed, bytes)",
        ("judged", "every_kind_of_file_passes"),
    ),
    mutation(
        "names are in another order than the index says",
        "plan/census.rs",
        "(hash.major, hash.minor)",
        "(hash.minor, hash.major)",
        ("judged", "directories_of_any_length_pass"),
    ),
    mutation(
        "a shared attribute block counts too few files",
        "plan/xattrs.rs",
        "(self.users - index * MAX_SHARES).min(MAX_SHARES)",
        "(self.users - index * MAX_SHARES).min(MAX_SHARES - 1)",
        ("judged", "attributes_pass_in_inodes_and_blocks"),
    ),
    mutation(
        "files have an even length",
        "encode/inodes.rs",
        "fields.size = content.size();",
        "fields.size = content.size().next_multiple_of(2);",
        ("property", "random_trees_are_read_back"),
    ),
    mutation(
        "quota files count a block too many",
        "encode/inodes.rs",
        "self.usages.count(ids, 1 + values, bytes);",
        "self.usages.count(ids, 1 + values, bytes + 1024);",
        ("features", "quotas_count_what_everybody_has"),
    ),
    mutation(
        "access control lists lose the numbers of groups",
        "tree/acl.rs",
        "let is_named = tag == USER || tag == GROUP;",
        "let is_named = tag == USER;",
        ("features", "getfacl_shows_access_control_lists"),
    ),
    mutation(
        "times after 2174 lose their epoch",
        "tree/metadata.rs",
        ">> 32) as u32 & 3;",
        ">> 32) as u32 & 1;",
        (
            "mounted",
            "the_kernel_reads_what_was_written_and_writes_more",
        ),
    ),
    mutation(
        "released bytes stay",
        "planned.rs",
        "for range in allocator.stale() {",
        "for range in allocator.stale().take(0) {",
        (
            "space",
            "released_content_leaves_no_bytes_in_what_stays_free",
        ),
    ),
    mutation(
        "zeros keep the bytes that were released before them",
        "content/store.rs",
        "true => self.writer.put_zeros(access, physical.number),",
        "true => Ok(()),",
        (
            "zeros",
            "zeros_in_the_place_of_released_bytes_are_zeros_and_sparse",
        ),
    ),
    mutation(
        "a failed write goes unnoticed",
        "device/run_writer.rs",
        "access.write(self.start, &self.buffer)?;",
        "let _ = access.write(self.start, &self.buffer);",
        ("faults", "a_failure_of_any_operation_comes_out"),
    ),
    mutation(
        "a file may change while it is read",
        "source/directory/host_file.rs",
        "if self == Self::new(stat) {",
        "if self.identity == identity(stat) {",
        ("sources", "what_changes_while_it_is_read_is_an_error"),
    ),
    mutation(
        "pieces of sparse files move together",
        "source/tar/builder.rs",
        "Event::Hole(length) => self.extend(|content| content.hole(length)),",
        "Event::Hole(length) => self.extend(|content| content.hole(length & 0)),",
        (
            "sources",
            "every_sparse_format_gives_the_image_of_the_plain_archive",
        ),
    ),
    mutation(
        "a last group has a backup that it is too short for",
        "plan/size.rs",
        "if self.start <= start && room && start.0 + needed < blocks {",
        "if self.start <= start && room {",
        (
            "features",
            "two_backups_pass_whatever_the_length_of_the_last_group",
        ),
    ),
    mutation(
        "extents are a block too long",
        "plan/extents.rs",
        "pub(crate) const MAX_EXTENT_BLOCKS: u32 = 32_768;",
        "pub(crate) const MAX_EXTENT_BLOCKS: u32 = 32_769;",
        ("scale", "extents_at_the_length_of_one_record_pass"),
    ),
    mutation(
        "the salt is left out of the verity tree",
        "verity.rs",
        "let salted = Sha256::new_with_prefix(salt);",
        "let salted = Sha256::new_with_prefix(&salt[..0]);",
        (
            "read_only",
            "veritysetup_verifies_the_tree_and_notices_a_changed_byte",
        ),
    ),
    mutation(
        "the checksum of inode bitmaps covers their padding",
        "encode/groups.rs",
        "plan.checksums.bitmap(&inodes[..per_group.to_usize() / 8])",
        "plan.checksums.bitmap(&inodes)",
        (
            "broken",
            "one_flipped_bit_is_noticed_in_every_kind_of_block",
        ),
    ),
    mutation(
        "owners lose the upper half of their number",
        "encode/inodes.rs",
        "raw.uid_high = uid.high().into();",
        "raw.uid_high = 0.into();",
        ("findings", "seeds_pass"),
    ),
];

#[test]
fn every_family_of_tests_notices_a_broken_writer() {
    let tools = ["e2fsck", "debugfs", "veritysetup", "getfacl"];
    if !(root() && tools.into_iter().all(tool)) {
        return;
    }
    let place = repository().join("target/mutations");
    let copy = place.join("source");
    copy_sources(&copy);
    for Mutation { noticed_by, .. } in &MUTATIONS {
        let output = run(&place, *noticed_by);
        assert!(output.status.success(), "{noticed_by:?}: {}", said(&output));
    }
    let mut unnoticed = Vec::new();
    for mutation in &MUTATIONS {
        let path = copy.join("ext4-writer/src").join(mutation.file);
        let sound = fs::read_to_string(&path).unwrap();
        let count = sound.matches(mutation.line).count();
        assert_eq!(count, 1, "{}: {}", mutation.file, mutation.line);
        fs::write(&path, sound.replace(mutation.line, mutation.wrong)).unwrap();
        let output = run(&place, mutation.noticed_by);
        fs::write(&path, sound).unwrap();
        let (binary, test) = mutation.noticed_by;
        // A writer that does not compile proves nothing.
        let failed = said(&output).contains(&format!("test {test} ... FAILED"));
        println!(
            "{}: {binary} {}",
            mutation.what,
            if failed { "fails" } else { "passes" }
        );
        if !failed {
            unnoticed.push(format!("{}: {}", mutation.what, said(&output)));
        }
    }
    assert!(unnoticed.is_empty(), "{}", unnoticed.join("\n"));
}

/// The workspace without its build, over what an earlier run left.
fn copy_sources(copy: &Path) {
    if copy.exists() {
        fs::remove_dir_all(copy).unwrap();
    }
    fs::create_dir_all(copy).unwrap();
    let members = ["ext4-writer", "oci-flatten", "banger", "tests"];
    let files = ["Cargo.toml", "Cargo.lock", "rust-toolchain.toml"];
    let parts: Vec<PathBuf> = members
        .iter()
        .chain(&files)
        .map(|part| repository().join(part))
        .collect();
    // With new times, so that nothing of a run that was stopped half-way counts as built.
    succeed(Command::new("cp").arg("-r").args(parts).arg(copy));
}

fn run(place: &Path, (binary, test): (&str, &str)) -> Output {
    Command::new(env!("CARGO"))
        .args([
            "test",
            "--locked",
            "-p",
            "ext4-writer",
            "--test",
            binary,
            "--",
            "--exact",
            test,
        ])
        .current_dir(place.join("source"))
        .env("CARGO_TARGET_DIR", place.join("build"))
        // Any tree will do, and one that fails does not need to be made small.
        .env("PROPTEST_CASES", "3")
        .env("PROPTEST_MAX_SHRINK_ITERS", "0")
        .env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "true")
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}
