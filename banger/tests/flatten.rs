//! `banger flatten` as its users meet it.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

#[allow(dead_code, reason = "each test binary uses its own part")]
mod support;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::{Layout, assert_clean, banger, digest, names, root, run, sample, tar_of, tool};

fn flatten(source: &str, output: &Path) -> Command {
    let mut command = banger();
    command
        .args(["flatten", "--no-fsync", source, "-o"])
        .arg(output);
    command
}

#[test]
fn the_summary_and_the_filesystem_agree() {
    if !tool("e2fsck") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("rootfs.ext4");
    let (stdout, _) = run(flatten(&sample(), &output).args(["--format", "json"]), 0);
    let summary: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_clean(&output);
    let metadata = fs::metadata(&output).unwrap();
    assert_eq!(summary["size_bytes"], metadata.len());
    assert_eq!(summary["size_bytes"], 1_u64 << 30);
    // The host may still be adding blocks of its own, as for its extent tree.
    let disk = summary["disk_bytes"].as_u64().unwrap();
    assert!(disk.abs_diff(metadata.blocks() * 512) <= 64 << 10, "{disk}");
    assert!(disk < 2 << 20, "{disk}");
    assert_eq!(summary["platform"], "linux/amd64");
    assert_eq!(summary["layers"].as_array().unwrap().len(), 3);
    assert_eq!(names(folder.path()), ["rootfs.ext4"]);
    let (dump, _) = run(Command::new("/sbin/dumpe2fs").arg("-h").arg(&output), 0);
    let field = |name: &str| {
        let line = dump.lines().find(|line| line.starts_with(name)).unwrap();
        line[name.len()..].trim().to_owned()
    };
    assert_eq!(summary["uuid"], field("Filesystem UUID:"));
    assert_eq!(summary["free_inodes"].to_string(), field("Free inodes:"));
    let blocks: u64 = field("Free blocks:").parse().unwrap();
    assert_eq!(summary["free_bytes"], blocks * 4096);
}

#[test]
fn the_text_summary_has_what_a_person_wants() {
    let folder = tempfile::tempdir().unwrap();
    let (stdout, stderr) = run(&mut flatten(&sample(), &folder.path().join("r")), 0);
    for row in [
        "reference",
        "digest",
        "platform",
        "layers",
        "entries",
        "content",
        "filesystem",
        "free",
        "on disk",
        "uuid",
        "time",
        "output",
    ] {
        assert!(
            stdout.lines().any(|line| line.starts_with(row)),
            "{row} in\n{stdout}"
        );
    }
    assert!(stderr.contains("layer 3 of 3: done"), "{stderr}");
    let quiet = run(
        flatten(&sample(), &folder.path().join("q")).arg("--quiet"),
        0,
    );
    assert_eq!(quiet.0.trim().len(), 36, "only the UUID: {}", quiet.0);
    assert_eq!(quiet.1, "");
}

#[test]
fn devices_stay_out_and_expanded_layers_are_bounded_where_asked_for() {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, kind) in [
        ("dev/null", tar::EntryType::Char),
        ("dev/vda", tar::EntryType::Block),
        ("dev/log", tar::EntryType::Fifo),
    ] {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_device_major(1).unwrap();
        header.set_device_minor(3).unwrap();
        header.set_size(0);
        tar.append_data(&mut header, path, &[][..]).unwrap();
    }
    let tar = tar.into_inner().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut layout = Layout::new(&folder.path().join("layout"));
    layout.plain_layer(&tar);
    let source = layout.finish();
    let listing = |name: &str, options: &[&str]| {
        let output = folder.path().join(name);
        run(flatten(&source, &output).args(options), 0);
        assert_clean(&output);
        let mut debugfs = Command::new("/sbin/debugfs");
        run(debugfs.args(["-R", "ls -p /dev"]).arg(&output), 0).0
    };
    let whole = tar.len().to_string();
    let all = listing("all", &["--max-size", &whole]);
    assert!(
        all.contains("/null/") && all.contains("/vda/") && all.contains("/log/"),
        "{all}"
    );
    let nodev = listing("nodev", &["--nodev"]);
    assert!(
        !nodev.contains("/null/") && !nodev.contains("/vda/"),
        "{nodev}"
    );
    assert!(nodev.contains("/log/"), "{nodev}");

    let output = folder.path().join("bounded");
    let less = (tar.len() - 1).to_string();
    let (_, stderr) = run(flatten(&source, &output).args(["--max-size", &less]), 7);
    assert!(stderr.contains(&format!("limit {less}")), "{stderr}");
    assert!(!output.exists());
}

#[test]
fn attributes_that_ext4_cannot_hold_are_told_with_their_file() {
    let mut tar = tar::Builder::new(Vec::new());
    let list = ("SCHILY.xattr.system.posix_acl_access", &b"none"[..]);
    tar.append_pax_extensions([list]).unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_size(0);
    tar.append_data(&mut header, "etc/listed", &[][..]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut layout = Layout::new(&folder.path().join("layout"));
    layout.plain_layer(&tar.into_inner().unwrap());
    let output = folder.path().join("rootfs.ext4");
    let (_, stderr) = run(&mut flatten(&layout.finish(), &output), 7);
    for expected in [
        "access control list is malformed: system.posix_acl_access",
        "etc/listed",
    ] {
        assert_eq!(stderr.matches(expected).count(), 1, "{stderr}");
    }
    assert!(!output.exists());
}

/// What a layer says and was passed over, changed or may surprise is told in lines and in the document.
#[test]
fn warnings_are_told_with_their_layer() {
    let mut odd = tar::Builder::new(Vec::new());
    let attribute = ("SCHILY.xattr.trusted.overlay.opaque", &b"y"[..]);
    odd.append_pax_extensions([attribute]).unwrap();
    let mut device = tar::Header::new_ustar();
    device.set_entry_type(tar::EntryType::Char);
    device.set_device_major(0).unwrap();
    device.set_device_minor(0).unwrap();
    device.set_size(0);
    odd.append_data(&mut device, "null", &[][..]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut layout = Layout::new(&folder.path().join("layout"));
    layout.gzip_layer(&odd.into_inner().unwrap());
    layout.plain_layer(&tar_of(&[("x", b"1"), (".wh.x", b"")]));
    let tar = tar_of(&[("y", b"2")]);
    let gzip = "application/vnd.oci.image.layer.v1.tar+gzip";
    layout.layer(gzip, &tar, &digest(&tar));
    let source = layout.finish();
    let expected = [
        "layer 1 of 3: character device 0:0 kept as a device: null",
        "layer 1 of 3: extended attribute trusted.overlay.opaque left out: null",
        "layer 2 of 3: whiteout of a file of its own layer ignored: x",
        &format!("layer 3 of 3: layer is uncompressed, its media type says {gzip}"),
    ];
    let (_, stderr) = run(&mut flatten(&source, &folder.path().join("r")), 0);
    let told: Vec<_> = stderr
        .lines()
        .filter_map(|line| line.strip_prefix("warning: "))
        .collect();
    assert_eq!(told, expected);
    let (document, _) = run(
        flatten(&source, &folder.path().join("j")).args(["--format", "json"]),
        0,
    );
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["warnings"], serde_json::json!(expected));
}

#[test]
fn an_existing_output_is_untouched_without_force() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("rootfs.ext4");
    fs::write(&output, "precious").unwrap();
    let (_, stderr) = run(&mut flatten(&sample(), &output), 4);
    assert!(stderr.contains("--force"), "{stderr}");
    assert_eq!(fs::read(&output).unwrap(), b"precious");
    run(flatten(&sample(), &output).arg("--force"), 0);
    assert_eq!(fs::metadata(&output).unwrap().len(), 1 << 30);
    assert_eq!(names(folder.path()), ["rootfs.ext4"]);
}

#[test]
fn a_failure_leaves_the_old_output_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out/rootfs.ext4");
    fs::create_dir(folder.path().join("out")).unwrap();
    fs::write(&output, "precious").unwrap();
    let mut layout = Layout::new(&folder.path().join("layout"));
    layout.gzip_layer(&tar_of(&[("a", b"one")]));
    let mut broken = tar_of(&[("b", &[7; 9000])]);
    broken.truncate(4000);
    layout.gzip_layer(&broken);
    let source = layout.finish();
    let (_, stderr) = run(flatten(&source, &output).arg("--force"), 7);
    assert!(stderr.contains("layer 2 of 2"), "{stderr}");
    assert_eq!(fs::read(&output).unwrap(), b"precious");
    assert_eq!(names(&folder.path().join("out")), ["rootfs.ext4"]);
}

#[test]
fn wrong_digests_are_named_with_both_values() {
    let folder = tempfile::tempdir().unwrap();
    let tar = tar_of(&[("a", b"one")]);
    let wrong = format!("sha256:{}", "0".repeat(64));
    let mut layout = Layout::new(&folder.path().join("diff_id"));
    layout.layer("application/vnd.oci.image.layer.v1.tar", &tar, &wrong);
    let output = folder.path().join("out");
    let (_, stderr) = run(&mut flatten(&layout.finish(), &output), 7);
    assert!(
        stderr.contains("layer 1 of 1") && stderr.contains(&wrong),
        "{stderr}"
    );
    let found = stderr.split("have diff_id ").nth(1).unwrap();
    assert!(
        found.starts_with("sha256:") && !found.starts_with(&wrong),
        "{stderr}"
    );

    let copy = folder.path().join("sample");
    let mut layout = Layout::new(&copy);
    layout.plain_layer(&tar);
    let source = layout.finish();
    for blob in fs::read_dir(copy.join("blobs/sha256")).unwrap() {
        let path = blob.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        if bytes.len() == tar.len() {
            bytes[600] ^= 1;
            fs::write(&path, bytes).unwrap();
        }
    }
    let (_, stderr) = run(&mut flatten(&source, &output), 7);
    assert!(stderr.contains("layer 1 of 1"), "{stderr}");
    assert!(!output.exists());
}

#[test]
fn a_size_that_is_too_small_names_the_smallest_that_would_do() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("rootfs.ext4");
    let (_, stderr) = run(flatten(&sample(), &output).args(["--size", "300K"]), 8);
    assert!(names(folder.path()).is_empty());
    let smallest: u64 = stderr
        .split(|character: char| !character.is_ascii_digit())
        .filter_map(|number| number.parse().ok())
        .find(|number| *number > 300 << 10)
        .unwrap_or_else(|| panic!("no number of bytes in: {stderr}"));
    let below = (smallest - 4096).to_string();
    run(flatten(&sample(), &output).args(["--size", &below]), 8);
    run(
        flatten(&sample(), &output).args(["--size", &smallest.to_string()]),
        0,
    );
    assert_eq!(fs::metadata(&output).unwrap().len(), smallest);
    if tool("e2fsck") {
        assert_clean(&output);
    }
}

#[test]
fn the_file_ends_where_the_filesystem_does() {
    if !tool("dumpe2fs") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let group = 128_u64 << 20;
    // Whole blocks; part of a block; a second group too short for its backups; a third one of one block.
    for (asked, given) in [
        (group + (1 << 20), group + (1 << 20)),
        (group + (1 << 20) + 1, group + (1 << 20)),
        (group + (256 << 10), group),
        (2 * group + 4096, 2 * group + 4096),
    ] {
        let output = folder.path().join(asked.to_string());
        let (_, stderr) = run(
            flatten(&sample(), &output).args(["--size", &asked.to_string()]),
            0,
        );
        assert_eq!(fs::metadata(&output).unwrap().len(), given);
        assert_eq!(
            stderr.contains("warning: size of"),
            asked != given,
            "{stderr}"
        );
        let (dump, _) = run(Command::new("/sbin/dumpe2fs").arg("-h").arg(&output), 0);
        let blocks = dump
            .lines()
            .find_map(|line| line.strip_prefix("Block count:"))
            .unwrap();
        assert_eq!(blocks.trim().parse(), Ok(given / 4096));
        assert_clean(&output);
    }
}

#[test]
fn what_is_missing_and_what_is_misused_have_their_codes() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out");
    run(&mut flatten("oci:/nowhere/at/all", &output), 3);
    let no_tag = sample().replace(":latest", ":no-such-tag");
    let (_, stderr) = run(&mut flatten(&no_tag, &output), 3);
    assert!(
        stderr.contains("latest"),
        "the tags that there are: {stderr}"
    );
    run(
        flatten(&sample(), &output).args(["--platform", "linux/s390x"]),
        3,
    );
    run(&mut flatten("tar:/nowhere.tar", &output), 3);
    run(
        &mut flatten(&sample(), &folder.path().join("no/folder/out")),
        3,
    );
    run(banger().args(["flatten", &sample()]), 2);
    run(flatten(&sample(), &output).args(["--size", "12parsecs"]), 2);
    run(flatten("oci:", &output).arg("--quiet"), 2);
    let (_, stderr) = run(
        flatten("oci:/nowhere", &output).args(["--format", "json"]),
        3,
    );
    let error: serde_json::Value = serde_json::from_str(stderr.lines().last().unwrap()).unwrap();
    assert_eq!(error["error"]["code"], "not-found");
    assert!(names(folder.path()).is_empty());
}

/// Starts a run that waits for its standard input after the first bytes.
fn waiting_run(output: &Path) -> Child {
    let mut child = flatten("tar:-", output)
        .arg("--force")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let tar = tar_of(&[("file", &[1; 300_000])]);
    child
        .stdin
        .as_mut()
        .unwrap()
        .write_all(&tar[..200_000])
        .unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert!(child.try_wait().unwrap().is_none(), "it waits for the rest");
    child
}

#[test]
fn signals_leave_nothing_half_made() {
    use rustix::process::{Pid, Signal, kill_process};
    for (signal, code) in [
        (Signal::INT, Some(130)),
        (Signal::TERM, Some(130)),
        (Signal::HUP, Some(130)),
        (Signal::KILL, None),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("rootfs.ext4");
        fs::write(&output, "precious").unwrap();
        let mut child = waiting_run(&output);
        let pid = Pid::from_child(&child);
        kill_process(pid, signal).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        let status = loop {
            match child.try_wait().unwrap() {
                Some(status) => break status,
                None => assert!(Instant::now() < deadline, "{signal:?} was not noticed"),
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        assert_eq!(status.code(), code, "{signal:?}");
        assert_eq!(fs::read(&output).unwrap(), b"precious");
        assert_eq!(names(folder.path()), ["rootfs.ext4"], "{signal:?}");
    }
}

#[test]
fn the_same_image_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let first = folder.path().join("first");
    run(&mut flatten(&sample(), &first), 0);
    let second = folder.path().join("second");
    let mut other = flatten(&sample(), &second);
    other
        .env("TZ", "Asia/Kathmandu")
        .env("LC_ALL", "tr_TR.UTF-8")
        .env("LANG", "tr_TR.UTF-8");
    run(&mut other, 0);
    assert_same(&first, &second);
    if tool("taskset") {
        let pinned = folder.path().join("pinned");
        let command = flatten(&sample(), &pinned);
        run(
            Command::new("taskset")
                .args(["-c", "0"])
                .arg(command.get_program())
                .args(command.get_args()),
            0,
        );
        assert_same(&first, &pinned);
    }
    if root() && tool("setpriv") {
        // The program may lie where only root can look.
        let program = folder.path().join("banger");
        fs::copy(banger().get_program(), &program).unwrap();
        let open = folder.path().join("open");
        fs::create_dir(&open).unwrap();
        run(Command::new("chmod").args(["755"]).arg(folder.path()), 0);
        run(Command::new("chmod").args(["777"]).arg(&open), 0);
        run(
            Command::new("cp")
                .args(["-r", sample_folder().as_str()])
                .arg(open.join("sample")),
            0,
        );
        let source = format!("oci:{}/sample:latest", open.display());
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&program);
        command
            .args(["flatten", "--no-fsync", &source, "-o"])
            .arg(open.join("rootfs"));
        run(&mut command, 0);
        assert_same(&first, &open.join("rootfs"));
    }
}

fn sample_folder() -> String {
    sample()
        .trim_start_matches("oci:")
        .trim_end_matches(":latest")
        .to_owned()
}

#[track_caller]
fn assert_same(first: &Path, second: &Path) {
    run(Command::new("cmp").arg(first).arg(second), 0);
}

#[test]
fn every_kind_of_source_gives_the_same_tree() {
    if !(tool("skopeo") && tool("debugfs")) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // Another program's manifest has another digest, and so another UUID by default.
    let flatten = |source: &str, output: &Path| {
        let mut command = flatten(source, output);
        command.args(["--uuid", "f9a5a7d4-9c0f-4b52-8e61-0c8f3d2b1a00"]);
        command
    };
    let mut layout = Layout::new(&folder.path().join("layout"));
    layout.gzip_layer(&tar_of(&[("etc/motd", b"one\n"), ("etc/gone", b"two\n")]));
    layout.gzip_layer(&tar_of(&[
        ("etc/.wh.gone", b""),
        ("srv/data", &[3; 50_000]),
    ]));
    let source = layout.finish();
    let oci = folder.path().join("oci");
    run(&mut flatten(&source, &oci), 0);
    let archive = folder.path().join("oci.tar");
    let to = format!("oci-archive:{}:latest", archive.display());
    run(Command::new("skopeo").args(["copy", "-q", &source, &to]), 0);
    let from_archive = folder.path().join("from-archive");
    run(
        &mut flatten(&format!("oci-archive:{}", archive.display()), &from_archive),
        0,
    );
    assert_same(&oci, &from_archive);

    let archive = folder.path().join("docker.tar");
    let to = format!("docker-archive:{}:sample:latest", archive.display());
    run(Command::new("skopeo").args(["copy", "-q", &source, &to]), 0);
    let from_docker = folder.path().join("from-docker");
    run(
        &mut flatten(
            &format!("docker-archive:{}", archive.display()),
            &from_docker,
        ),
        0,
    );
    assert_same(&oci, &from_docker);
    let from_stdin = folder.path().join("from-stdin");
    let mut command = flatten("docker-archive:-", &from_stdin);
    run(command.stdin(fs::File::open(&archive).unwrap()), 0);
    assert_same(&oci, &from_stdin);

    let as_tar = folder.path().join("as-tar");
    let source = format!("tar:{}", archive.display());
    let (_, stderr) = run(&mut flatten(&source, &as_tar), 7);
    assert!(stderr.contains("hint: write docker-archive:"), "{stderr}");
    assert!(!as_tar.exists());

    let tar = folder.path().join("rootfs.tar");
    let mut padded = tar_of(&[("etc/motd", b"hello\n")]);
    padded.resize(10 << 10, 0);
    fs::write(&tar, padded).unwrap();
    let from_file = folder.path().join("from-file");
    run(
        &mut flatten(&format!("tar:{}", tar.display()), &from_file),
        0,
    );
    let from_pipe = folder.path().join("from-pipe");
    let mut piped = flatten("tar:-", &from_pipe);
    let (summary, _) = run(piped.stdin(fs::File::open(&tar).unwrap()), 0);
    let stored = "layers      1, 10 KiB stored, 10 KiB expanded";
    assert!(summary.contains(stored), "{summary}");
    assert_same(&from_file, &from_pipe);
    let mut cat = Command::new("/sbin/debugfs");
    let (motd, _) = run(cat.args(["-R", "cat /etc/motd"]).arg(&from_pipe), 0);
    assert_eq!(motd, "hello\n");
}

/// What a failed `curl | banger flatten tar:-` gives, and what is no root filesystem at all.
#[test]
fn a_tar_that_is_empty_cut_off_or_an_image_is_refused_with_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("rootfs.ext4");
    let tar = folder.path().join("rootfs.tar");
    let whole = tar_of(&[("etc/motd", b"hello\n")]);
    let unmarked = whole.len() - 1024;
    let attempt = |bytes: &[u8], flag: &str, code: i32| {
        fs::write(&tar, bytes).unwrap();
        let mut errors = Vec::new();
        for source in [&format!("tar:{}", tar.display()), "tar:-"] {
            let mut command = flatten(source, &output);
            command.args((!flag.is_empty()).then_some(flag));
            let (_, stderr) = run(command.stdin(fs::File::open(&tar).unwrap()), code);
            assert_eq!(output.exists(), code == 0, "{stderr}");
            let _ = fs::remove_file(&output);
            // Above it is the progress, with the name.
            let error = stderr.find("error: ").map(|at| stderr[at..].to_owned());
            errors.push(error.unwrap_or_default());
        }
        assert_eq!(errors[0], errors[1]);
        errors.remove(0)
    };
    let flag = "--allow-truncated-tar";
    for flag in ["", flag] {
        let stderr = attempt(b"", flag, 7);
        assert!(stderr.contains("is empty (0 bytes)"), "{stderr}");
        assert!(stderr.contains("hint: the command that"), "{stderr}");
        let stderr = attempt(&whole[..515], flag, 7);
        assert!(stderr.contains("cut short"), "{stderr}");
    }
    let stderr = attempt(&whole[..unmarked], "", 7);
    assert!(
        stderr.contains("no end marker after its 1024 bytes"),
        "{stderr}"
    );
    assert!(stderr.contains("add --allow-truncated-tar"), "{stderr}");
    attempt(&whole[..unmarked], flag, 0);
    attempt(&whole[..unmarked + 512], "", 0);

    let layout = tar_of(&[("oci-layout", b"{}"), ("index.json", b"{}")]);
    let stderr = attempt(&layout, "", 7);
    assert!(stderr.contains("hint: write oci-archive:"), "{stderr}");
    let directory = sample().replace("oci:", "tar:").replace(":latest", "");
    let (_, stderr) = run(&mut flatten(&directory, &output), 2);
    assert!(
        stderr.contains("hint: write oci: in place of tar:"),
        "{stderr}"
    );
    assert_eq!(names(folder.path()), ["rootfs.tar"]);
}

#[test]
fn rewritten_files_give_their_blocks_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut layout = Layout::new(&folder.path().join("layout"));
    let mut content = vec![0_u8; 64 << 20];
    for round in 0..10_u8 {
        for (index, block) in content.chunks_mut(4096).enumerate() {
            block.fill(round + 1);
            block[..8].copy_from_slice(&(index as u64).to_le_bytes());
        }
        layout.plain_layer(&tar_of(&[("data", &content)]));
    }
    let output = folder.path().join("rootfs.ext4");
    let (stdout, _) = run(
        flatten(&layout.finish(), &output).args(["--format", "json"]),
        0,
    );
    let summary: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(summary["size_bytes"], 1_u64 << 30);
    let disk = summary["disk_bytes"].as_u64().unwrap();
    assert!(disk < 66 << 20, "{disk} bytes on disk for a file of 64 MiB");
    if tool("e2fsck") {
        assert_clean(&output);
        let (data, _) = run(
            Command::new("/sbin/debugfs")
                .args(["-R", "stat /data"])
                .arg(&output),
            0,
        );
        assert!(data.contains(&format!("Size: {}", 64 << 20)), "{data}");
    }
}

#[test]
fn memory_does_not_grow_with_the_layer() {
    if !tool("time") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut layout = Layout::new(&folder.path().join("layout"));
    let mut content = vec![0_u8; 200 << 20];
    let mut state = 1_u64;
    for word in content.chunks_mut(8) {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        word.copy_from_slice(&(state >> 40).to_le_bytes());
    }
    layout.gzip_layer(&tar_of(&[("data", &content)]));
    drop(content);
    let command = flatten(&layout.finish(), &folder.path().join("rootfs.ext4"));
    let mut timed = Command::new("/usr/bin/time");
    timed
        .args(["-f", "%M"])
        .arg(command.get_program())
        .args(command.get_args())
        .arg("--quiet");
    let (_, stderr) = run(&mut timed, 0);
    let kibibytes: u64 = stderr.trim().parse().unwrap();
    assert!(
        kibibytes <= 48 << 10,
        "peak resident set of {kibibytes} KiB (limit 49152)"
    );
}

#[test]
fn a_full_disk_is_told_apart_and_leaves_nothing() {
    if !(root() && tool("mount")) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let small = folder.path().join("small");
    fs::create_dir(&small).unwrap();
    let mut layout = Layout::new(&folder.path().join("layout"));
    layout.plain_layer(&tar_of(&[("data", &[5; 8 << 20])]));
    let source = layout.finish();
    run(
        Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m", "none"])
            .arg(&small),
        0,
    );
    let outcome = flatten(&source, &small.join("rootfs.ext4")).output();
    let left = names(&small);
    run(Command::new("umount").arg("--lazy").arg(&small), 0);
    let outcome = outcome.unwrap();
    assert_eq!(
        outcome.status.code(),
        Some(8),
        "{}",
        String::from_utf8_lossy(&outcome.stderr)
    );
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_read_only_image_is_small_and_sealed() {
    if !(tool("e2fsck") && tool("veritysetup")) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("rootfs.ext4");
    let mut command = flatten(&sample(), &output);
    command.args(["--profile", "read-only", "--verity", "--format", "json"]);
    let summary: serde_json::Value = serde_json::from_str(&run(&mut command, 0).0).unwrap();
    assert_clean(&output);
    assert!(
        summary["size_bytes"].as_u64().unwrap() < 1 << 20,
        "{summary}"
    );
    let verity = &summary["verity"];
    assert_eq!(verity["total_bytes"], fs::metadata(&output).unwrap().len());
    let hash = verity["root_hash"].as_str().unwrap();
    let offset = format!("--hash-offset={}", verity["hash_offset"]);
    let mut verify = Command::new("/sbin/veritysetup");
    verify
        .arg("verify")
        .args([&output, &output])
        .args([hash, &offset]);
    run(&mut verify, 0);
    let again = folder.path().join("again.ext4");
    let mut command = flatten(&sample(), &again);
    run(command.args(["--profile", "read-only", "--verity"]), 0);
    assert!(fs::read(&output).unwrap() == fs::read(&again).unwrap());
    let (_, stderr) = run(
        flatten(&sample(), &folder.path().join("x")).arg("--verity"),
        2,
    );
    assert!(stderr.contains("--profile read-only"), "{stderr}");
}

/// Two filesystems of one UUID are a conflict for udev and overlayfs.
#[test]
fn what_changes_the_bytes_changes_the_uuid() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("rootfs.ext4");
    let made = |arguments: &[&str]| {
        let mut command = flatten(&sample(), &output);
        command.args(["--force", "--quiet"]).args(arguments);
        let uuid = run(&mut command, 0).0;
        // Superblock and descriptors, with the checksums of all bitmaps, then contents, directories and inodes.
        let mut first = Vec::new();
        let file = fs::File::open(&output).unwrap();
        file.take(4 << 20).read_to_end(&mut first).unwrap();
        (uuid, first)
    };
    let plain = made(&[]);
    // The one before variants had UUIDs of their own: version 5 of the manifest's digest.
    assert_eq!(plain.0.trim(), "51244a09-1973-5b3d-a0df-863b1795311b");
    for same in [
        &["--size", "1G"][..],
        &["--size", "1073742000"],
        &["--label", ""],
        &["--profile", "read-write"],
        &["--no-selinux-xattr"],
        &["--nodev"],
        &["--max-size", "1G"],
    ] {
        assert!(made(same) == plain, "{same:?}");
    }
    let mut seen = vec![("plain".to_owned(), plain)];
    for other in [
        "--size 2G",
        "--label root",
        "--profile read-only",
        "--profile read-only --verity",
        "--profile read-only --size 1G",
        "--fs-feature metadata_csum_seed",
        "--fs-feature orphan_file",
        "--fs-feature orphan_file,metadata_csum_seed",
        "--size 2G --label root",
    ] {
        let arguments: Vec<&str> = other.split(' ').collect();
        let made = made(&arguments);
        for (name, known) in &seen {
            assert!(known.0 != made.0, "{name} and {other} share {}", made.0);
            assert!(known.1 != made.1, "{name} and {other} are the same");
        }
        seen.push((other.to_owned(), made));
    }
    let uuid = "f9a5a7d4-9c0f-4b52-8e61-0c8f3d2b1a00";
    for arguments in [&["--uuid", uuid][..], &["--uuid", uuid, "--size", "2G"]] {
        assert_eq!(made(arguments).0.trim(), uuid);
    }
}

#[test]
fn features_are_switched_on_and_refused_where_they_cannot_be() {
    if !tool("e2fsck") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("rootfs.ext4");
    let features = "metadata_csum_seed,orphan_file";
    run(
        flatten(&sample(), &output).args(["--fs-feature", features]),
        0,
    );
    assert_clean(&output);
    let (dump, _) = run(Command::new("/sbin/dumpe2fs").arg("-h").arg(&output), 0);
    assert!(
        dump.contains(" metadata_csum_seed") && dump.contains(" orphan_file"),
        "{dump}"
    );
    // Nothing is asked of a network first.
    for (arguments, part) in [
        (
            "--profile read-only --fs-feature orphan_file",
            "leave out --fs-feature orphan_file",
        ),
        ("--verity", "add --profile read-only"),
        ("--label seventeen-letters", "limit 16"),
        ("--uuid 00000000-0000-0000-0000-000000000000", "uuid is nil"),
        ("--fs-feature casefold", "metadata_csum_seed"),
    ] {
        let mut command = flatten("127.0.0.1:1/nobody/here", &folder.path().join("x"));
        let (_, stderr) = run(command.args(arguments.split(' ')), 2);
        assert!(stderr.contains(part), "{arguments}: {stderr}");
    }
}

/// What cannot come to a good end is refused before any work, with what to do.
#[test]
fn wrong_outputs_sizes_and_labels_are_refused_before_any_work() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::create_dir(path("there")).unwrap();
    // Nobody ever writes to it: whoever looks at the source waits for ever.
    let pipe = path("pipe");
    run(Command::new("mkfifo").arg(&pipe), 0);
    let source = format!("tar:{pipe}");
    let out = path("out");
    let long = "sixteen bytes and more";
    for (arguments, code, part) in [
        (&["-o", "-"][..], 2, "standard output"),
        (&["-o", &path("no/out")], 3, "mkdir -p "),
        (&["-o", &path("new/")], 2, "names a directory"),
        (&["-o", &path("there")], 4, "is a directory"),
        (&["-o", &path("there/")], 2, "names a directory"),
        (&["-o", &out, "--size", "100"], 8, "without a unit"),
        (&["-o", &out, "--size", "0"], 8, "too small"),
        (&["-o", &out, "--size", "2P"], 2, "limit"),
        (&["-o", &out, "--size", "1.5G"], 2, "unit"),
        (&["-o", &out, "--size=-1"], 2, "--size"),
        (&["-o", &out, "--label", long], 2, "limit 16"),
        (
            &[
                "-o",
                &out,
                "--label",
                "\u{e4}\u{f6}\u{fc}\u{e4}\u{f6}\u{fc}\u{e4}\u{f6}\u{fc}",
            ],
            2,
            "beyond ASCII",
        ),
        (&["-o", &out, "--uuid", "x"], 2, "uuid"),
        (&["-o", &out, "--platform", "x"], 2, "platform"),
        (&["-o", &out, "--verity"], 2, "--profile"),
    ] {
        let mut command = banger();
        command.args(["flatten", &source]).args(arguments);
        let (_, stderr) = run(&mut command, code);
        assert!(stderr.contains(part), "{arguments:?}\n{stderr}");
        assert!(stderr.contains("\nhint: "), "{arguments:?}\n{stderr}");
    }
    assert_eq!(support::names(folder.path()), ["pipe", "there"]);
}
