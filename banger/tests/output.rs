//! What the program writes: nothing that gives a terminal orders, and JSON wherever it is asked for.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests may"
)]

mod storekit;
#[allow(dead_code, reason = "each test binary uses its own part")]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use storekit::good_kernel;
use support::{banger, digest, sample};

/// Every character of the categories Cc, Cf, Zl and Zp (Unicode 16.0, `DerivedGeneralCategory.txt`), but NUL.
fn unprintable() -> Vec<char> {
    let ranges = [
        (0x01, 0x1f),
        (0x7f, 0x9f),
        (0xad, 0xad),
        (0x600, 0x605),
        (0x61c, 0x61c),
        (0x6dd, 0x6dd),
        (0x70f, 0x70f),
        (0x890, 0x891),
        (0x8e2, 0x8e2),
        (0x180e, 0x180e),
        (0x200b, 0x200f),
        (0x2028, 0x202e),
        (0x2060, 0x2064),
        (0x2066, 0x206f),
        (0xfeff, 0xfeff),
        (0xfff9, 0xfffb),
        (0x110bd, 0x110bd),
        (0x110cd, 0x110cd),
        (0x13430, 0x1343f),
        (0x1bca0, 0x1bca3),
        (0x1d173, 0x1d17a),
        (0xe0001, 0xe0001),
        (0xe0020, 0xe007f),
    ];
    let all = ranges.into_iter().flat_map(|(first, last)| first..=last);
    all.map(|number| char::from_u32(number).unwrap()).collect()
}

/// All of them, in texts that are short enough for the name of a file.
fn texts() -> Vec<String> {
    unprintable()
        .chunks(60)
        .map(|chunk| chunk.iter().collect())
        .collect()
}

/// Runs a command in both formats. Neither stream may hold a character that is not printable; in JSON each
/// stream with anything on it is one document (but for progress, which is silenced).
#[track_caller]
fn check(home: &Path, arguments: &[&str]) {
    for json in [false, true] {
        let mut command = banger();
        command
            .env("BANGER_HOME", home)
            .args(["--progress", "none"]);
        command.args(["--format", if json { "json" } else { "text" }]);
        let output = command.args(arguments).output().unwrap();
        for stream in [&output.stdout, &output.stderr] {
            let text = std::str::from_utf8(stream).unwrap();
            let found = text
                .chars()
                .find(|c| *c != '\n' && unprintable().contains(c));
            assert_eq!(found, None, "{arguments:?}\n{}", text.escape_debug());
            if json && !text.is_empty() {
                serde_json::from_str::<Value>(text).unwrap_or_else(|error| {
                    panic!("{arguments:?}: {error}\n{text}");
                });
            }
        }
        assert_ne!(output.status.code(), None, "{arguments:?}");
    }
}

/// An image that holds `text` wherever an image can hold text.
fn evil_image(folder: &Path, text: &str) -> String {
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let store = |bytes: &[u8], media_type: &str| {
        let digest = digest(bytes);
        fs::write(folder.join("blobs").join(digest.replace(':', "/")), bytes).unwrap();
        json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    };
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Char);
    header.set_device_major(0).unwrap();
    header.set_device_minor(0).unwrap();
    header.set_size(0);
    // A device 0:0 is worth a warning that names it.
    let name: String = text.chars().take(20).collect();
    builder
        .append_data(&mut header, format!("d-{name}"), &[][..])
        .unwrap();
    let mut header = tar::Header::new_gnu();
    // Any ELF file will do, as long as nobody runs it.
    let program = good_kernel();
    header.set_size(program.len() as u64);
    header.set_mode(0o755);
    let init = format!("sbin/i-{name}");
    builder
        .append_data(&mut header, &init, &program[..])
        .unwrap();
    // What the configuration names, where it can be there.
    if name.chars().all(|c| c.is_ascii_alphanumeric() || c == ' ') {
        let mut header = tar::Header::new_gnu();
        header.set_size(program.len() as u64);
        header.set_mode(0o755);
        let entrypoint = format!("usr/bin/{name}");
        builder
            .append_data(&mut header, entrypoint, &program[..])
            .unwrap();
        let users = format!("{name}:x:1:1::/:/\n");
        let mut header = tar::Header::new_gnu();
        header.set_size(users.len() as u64);
        header.set_mode(0o644);
        builder
            .append_data(&mut header, "etc/passwd", users.as_bytes())
            .unwrap();
    }
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    builder
        .append_link(&mut header, "sbin/init", format!("/{init}"))
        .unwrap();
    let tar = builder.into_inner().unwrap();
    let layer = store(&tar, "application/vnd.oci.image.layer.v1.tar+gzip");
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Entrypoint": [text], "Cmd": [text], "Env": [format!("A={text}")], "User": text,
            "WorkingDir": format!("/{text}"), "Labels": {text: text},
        },
        "author": text,
        "history": [{"created_by": text, "comment": text}],
        "rootfs": {"type": "layers", "diff_ids": [digest(&tar)]},
    });
    let config = store(
        config.to_string().as_bytes(),
        "application/vnd.oci.image.config.v1+json",
    );
    let manifest = json!({
        "schemaVersion": 2, "config": config, "layers": [layer], "annotations": {text: text},
    });
    let mut manifest = store(
        manifest.to_string().as_bytes(),
        "application/vnd.oci.image.manifest.v1+json",
    );
    manifest["annotations"] = json!({"org.opencontainers.image.ref.name": text, text: text});
    fs::write(
        folder.join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )
    .unwrap();
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    fs::write(folder.join("index.json"), index.to_string()).unwrap();
    format!("oci:{}", folder.display())
}

#[test]
fn no_character_of_an_image_a_path_or_an_argument_reaches_the_terminal() {
    for text in texts() {
        let folder = tempfile::tempdir().unwrap();
        // The path of everything, too.
        let root = folder.path().join(&text);
        let home = root.join("home");
        let image = evil_image(&root.join("layout"), &text);
        let kernel = root.join("vmlinux");
        fs::write(&kernel, good_kernel()).unwrap();
        let kernel = kernel.to_str().unwrap();
        let output = root.join("out");
        let output = output.to_str().unwrap();
        for arguments in [
            &["flatten", &image, "-o", output][..],
            &["flatten", &image, "-o", output],
            &[
                "image", "pull", &image, "--name", "evil", "--kernel", kernel,
            ],
            &["image", "pull", &image, "--name", "evil"],
            &["image", "pull", &image, "--name", &text],
            &["image", "pull", &image, "--platform", &text],
            &["image", "pull", &format!("{image}:{text}"), "--name", "b"],
            &["image", "list"],
            &["image", "show", "evil"],
            &["image", "boot-config", "evil", "--vmm", "qemu"],
            &["image", "boot-config", "evil", "--vmm", "cloud-hypervisor"],
            &["image", "boot-config", "evil", "--vmm", "firecracker"],
            &["image", "rename", "evil", &text],
            &["image", "rename", "evil", "other"],
            &["image", "show", &text],
            &["image", "remove", "other", &text],
            &["image", "register", "--name", "r", "--rootfs", output],
            &["image", "show", "r"],
            &["kernel", "import", "k", "--kernel", kernel],
            &["kernel", "import", "b", "--kernel", output],
            &["kernel", "show", "k"],
            &["kernel", "show", &text],
            &["kernel", "list"],
            &["cache", "show"],
            &["cache", "prune", "--unused-for", &text],
            &["config", "show"],
            &["op", "list"],
            &["inspect", &image],
            &["doctor"],
            &["--socket", output, "image", "list"],
            &["man", output],
            &["completion", &text],
            &[&text],
            &["--size", &text],
            &[&format!("--{text}")],
            &["flatten", &text, "-o", output],
            &[
                "flatten",
                &format!("docker-archive:{text}"),
                "-o",
                "x",
                "--label",
                &text,
            ],
        ] {
            check(&home, arguments);
        }
        for file in [home.join("config.toml"), home.join("cache/oci/index.json")] {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, format!("'{text}'")).unwrap();
            check(&home, &["cache", "show"]);
            fs::remove_file(&file).unwrap();
        }
        // Records that somebody else wrote.
        for record in records(&home) {
            let document = fs::read_to_string(&record).unwrap();
            let mut document: Value = serde_json::from_str(&document).unwrap();
            for member in ["reference", "platform", "created", "digest"] {
                document[member] = json!(text);
            }
            fs::write(&record, document.to_string()).unwrap();
        }
        for arguments in [["image", "list"], ["kernel", "list"], ["image", "list"]] {
            check(&home, &arguments);
        }
        check(&home, &["image", "show", "r"]);
        check(&home, &["kernel", "show", "k"]);
        for record in records(&home) {
            fs::write(&record, format!("{{\"{text}")).unwrap();
        }
        check(&home, &["image", "list"]);
        check(&home, &["kernel", "list"]);
    }
}

fn records(home: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for (folder, name) in [("images", "image.json"), ("kernels", "kernel.json")] {
        let entries = fs::read_dir(home.join(folder)).into_iter().flatten();
        let paths = entries.map(|entry| entry.unwrap().path().join(name));
        found.extend(paths.filter(|path| path.is_file()));
    }
    found
}

/// What a shell makes of a command line is what was meant.
#[test]
fn a_shell_reads_a_boot_command_back_as_it_was_meant() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("a '\\$x\u{202e}\u{1b}1\n");
    let home = root.join("home");
    fs::create_dir_all(&root).unwrap();
    let kernel = root.join("vmlinux");
    fs::write(&kernel, good_kernel()).unwrap();
    let image = evil_image(&folder.path().join("layout"), "x");
    let run = |arguments: &[&str]| -> Output {
        banger()
            .env("BANGER_HOME", &home)
            .args(arguments)
            .output()
            .unwrap()
    };
    let pull = [
        "image",
        "pull",
        &image,
        "--name",
        "a",
        "--platform",
        "linux/amd64",
        "--kernel",
    ];
    run(&[&pull[..], &[kernel.to_str().unwrap()]].concat());
    let boot = ["image", "boot-config", "a", "--vmm", "qemu"];
    let document = run(&[&["--format", "json"], &boot[..]].concat());
    let document: Value = serde_json::from_slice(&document.stdout).unwrap();
    let words: Vec<&str> = document["command"]
        .as_array()
        .unwrap()
        .iter()
        .map(|word| word.as_str().unwrap())
        .collect();
    assert!(
        words
            .iter()
            .any(|word| word.contains(root.to_str().unwrap()))
    );
    let line = String::from_utf8(run(&boot).stdout).unwrap();
    let script = format!(
        "for word in {}; do printf '%s\\0' \"$word\"; done",
        line.trim_end()
    );
    let read = Command::new("bash").args(["-c", &script]).output().unwrap();
    let expected: String = words.iter().map(|word| format!("{word}\0")).collect();
    assert_eq!(String::from_utf8(read.stdout).unwrap(), expected);
}

/// Each command that succeeds, with the warnings that its document must hold.
#[test]
fn every_document_has_warnings() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let kernel = folder.path().join("vmlinux");
    fs::write(&kernel, good_kernel()).unwrap();
    let kernel = kernel.to_str().unwrap();
    let disk = folder.path().join("disk");
    fs::write(&disk, [0; 4096]).unwrap();
    let disk = disk.to_str().unwrap();
    let output = folder.path().join("out");
    let image = sample();
    let source = ["--platform", "linux/amd64"];
    let json = |arguments: &[&str]| -> Value {
        let mut command = banger();
        command
            .env("BANGER_HOME", &home)
            .args(["--format=json", "--progress=none"]);
        let output = command.args(arguments).output().unwrap();
        let (stdout, stderr) = support::texts(&output);
        assert!(output.status.success(), "{arguments:?}: {stderr}");
        assert_eq!(stderr, "", "{arguments:?}");
        let document: Value = serde_json::from_str(&stdout).unwrap();
        assert!(document["warnings"].is_array(), "{arguments:?}: {stdout}");
        document
    };
    json(
        &[
            &["flatten", &image, "-o", output.to_str().unwrap()][..],
            &source,
        ]
        .concat(),
    );
    json(
        &[
            &["image", "pull", &image, "--name", "a", "--kernel", kernel][..],
            &source,
        ]
        .concat(),
    );
    let registered = json(&["image", "register", "--name", "r", "--rootfs", disk]);
    assert!(
        registered["warnings"][0]
            .as_str()
            .unwrap()
            .contains("unknown")
    );
    fs::remove_file(disk).unwrap();
    let shown = json(&["image", "show", "r"]);
    assert_eq!(shown["warnings"][0], format!("rootfs is missing: {disk}"));
    json(&["image", "inspect", "a"]);
    json(&["image", "list"]);
    json(&["image", "rename", "a", "b"]);
    let bootable = evil_image(&folder.path().join("layout"), "x");
    json(
        &[
            &[
                "image", "pull", &bootable, "--name", "c", "--kernel", kernel,
            ][..],
            &source,
        ]
        .concat(),
    );
    for vmm in ["firecracker", "qemu", "cloud-hypervisor"] {
        json(&["image", "boot-config", "c", "--vmm", vmm]);
    }
    json(&["image", "remove", "b", "r", "c"]);
    json(&["kernel", "import", "k", "--kernel", kernel]);
    json(&["kernel", "show", "k"]);
    json(&["kernel", "list"]);
    json(&["kernel", "delete", "k"]);
    json(&["cache", "show"]);
    json(&["cache", "verify"]);
    json(&["cache", "prune"]);
    json(&["config", "show"]);
    json(&[&["inspect", &image][..], &source].concat());
    json(&["doctor"]);
}

#[test]
fn the_doctor_names_what_is_missing_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let programs = folder.path().join("bin");
    fs::create_dir(&programs).unwrap();
    fs::write(programs.join("firecracker"), "").unwrap();
    fs::create_dir_all(home.join(".docker")).unwrap();
    fs::write(
        home.join(".docker/config.json"),
        r#"{"auths": {"a.example": {"auth": "c2VjcmV0OnNlY3JldA=="}}}"#,
    )
    .unwrap();
    let examine = |code: i32| {
        let mut command = banger();
        command
            .env_clear()
            .env("PATH", &programs)
            .env("HOME", &home)
            .env("BANGER_HOME", home.join("b"));
        let (stdout, stderr) = support::run(command.args(["doctor", "--format", "json"]), code);
        assert!(!stdout.contains("c2Vj"), "{stdout}");
        let document: Value = serde_json::from_str(&stdout).unwrap();
        (document["checks"].as_array().unwrap().clone(), stderr)
    };
    let check = |checks: &[Value], name: &str| {
        let found = checks.iter().find(|check| check["name"] == name);
        found
            .unwrap_or_else(|| panic!("no check {name}: {checks:?}"))
            .clone()
    };
    let (checks, _) = examine(0);
    assert_eq!(check(&checks, "Firecracker")["state"], "ok");
    assert_eq!(check(&checks, "QEMU")["state"], "missing");
    assert_eq!(check(&checks, "kernels")["state"], "missing");
    let credentials = check(&checks, "credentials");
    assert!(
        credentials["found"]
            .as_str()
            .unwrap()
            .ends_with("config.json (a.example)"),
        "{credentials}"
    );
    for check in &checks {
        assert_eq!(check["state"] == "ok", check["advice"].is_null(), "{check}");
    }
    for name in [
        "KVM",
        "Cloud Hypervisor",
        "images",
        "layer cache",
        "reflinks",
        "certificates",
        "configuration",
        "daemon",
    ] {
        check(&checks, name);
    }
    assert!(!home.join("b").exists(), "nothing is made");
    // What keeps everything else from working is told, and all else is still looked at.
    fs::create_dir(home.join("b")).unwrap();
    fs::write(home.join("b/config.toml"), "[deamon]").unwrap();
    let (checks, stderr) = examine(1);
    assert!(stderr.contains("checks failed"), "{stderr}");
    let configuration = check(&checks, "configuration");
    assert_eq!(configuration["state"], "failed");
    assert!(
        configuration["advice"]
            .as_str()
            .unwrap()
            .ends_with(": daemon"),
        "{configuration}"
    );
    check(&checks, "kernels");
}

#[test]
fn usage_errors_and_the_version_are_json_where_it_is_asked_for() {
    let version = banger()
        .args(["--version", "--format", "json"])
        .output()
        .unwrap();
    let version: Value = serde_json::from_slice(&version.stdout).unwrap();
    assert_eq!(version["name"], "banger");
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    for arguments in [
        &["flatten"][..],
        &["image", "list", "--nothing"],
        &["imagine"],
        &["image"],
        &[],
        &["--progress", "loud", "image", "list"],
        &["image", "list", "--daemon", "--no-daemon"],
    ] {
        for at in [0, arguments.len()] {
            let mut words = arguments.to_vec();
            words.insert(at, "--format=json");
            let output = banger().args(&words).output().unwrap();
            assert_eq!(output.status.code(), Some(2), "{words:?}");
            let error: Value = serde_json::from_slice(&output.stderr).unwrap_or_else(|_| {
                panic!("{words:?}: {}", String::from_utf8_lossy(&output.stderr))
            });
            assert_eq!(error["error"]["code"], "usage", "{words:?}");
            assert!(output.stdout.is_empty());
        }
    }
    // In text, one line says what is wrong and one what would be right.
    let output = banger()
        .args(["image", "list", "--fromat", "json"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.starts_with("error: unexpected argument '--fromat' found\nhint: "),
        "{text}"
    );
}

#[test]
fn lists_say_when_there_is_nothing_and_ids_are_short() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let run = |arguments: &[&str], code: i32| {
        support::run(banger().env("BANGER_HOME", &home).args(arguments), code)
    };
    for (list, note) in [("image", "no images"), ("kernel", "no kernels")] {
        let (stdout, stderr) = run(&[list, "list"], 0);
        assert_eq!(stdout, "");
        assert!(stderr.starts_with(note), "{stderr}");
        assert_eq!(
            run(&[list, "list", "-q"], 0),
            (String::new(), String::new())
        );
    }
    let image = sample();
    let pull = |name| {
        run(
            &[
                "image",
                "pull",
                &image,
                "--platform",
                "linux/amd64",
                "--name",
                name,
                "-q",
            ],
            0,
        )
        .0
    };
    // Made within the same minute, so that their ids begin alike.
    let ids = [pull("a"), pull("b")];
    let (listed, _) = run(&["image", "list"], 0);
    let mut rows = listed.lines();
    assert_eq!(
        rows.next().unwrap().split_whitespace().collect::<Vec<_>>(),
        [
            "NAME",
            "ID",
            "REFERENCE",
            "DIGEST",
            "PLATFORM",
            "SIZE",
            "ON",
            "DISK",
            "KERNEL",
            "CREATED"
        ]
    );
    for (row, id) in rows.zip(&ids) {
        let cells: Vec<&str> = row.split_whitespace().collect();
        assert_eq!(cells[1].len(), 8, "{listed}");
        assert_eq!(cells[2], image, "{listed}");
        assert_eq!(cells[3].len(), 12, "{listed}");
        assert_eq!(run(&["image", "show", cells[1], "-q"], 0).0, *id);
    }
    let end = &ids[0].trim_end()[28..];
    assert_eq!(run(&["image", "show", end, "-q"], 0).0, ids[0]);
    let (_, stderr) = run(&["image", "show", "0"], 2);
    assert!(stderr.contains("stands for 2 images"), "{stderr}");
    // A rename is one line, and a removal is all or nothing.
    assert_eq!(run(&["image", "rename", "a", "c"], 0).0, "renamed a to c\n");
    let (_, stderr) = run(&["image", "rm", "b", "c", "nothere"], 3);
    assert!(
        stderr.contains("nothere") && stderr.contains("; nothing was removed"),
        "{stderr}"
    );
    let (_, stderr) = run(&["kernel", "rm", "x", "y"], 3);
    assert!(stderr.contains("; nothing was removed"), "{stderr}");
    run(&["image", "delete", "b", "c"], 0);
}

#[test]
fn arguments_are_shown_as_a_shell_would_read_them() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let image = evil_image(&folder.path().join("layout"), "a b");
    let run =
        |arguments: &[&str]| support::run(banger().env("BANGER_HOME", &home).args(arguments), 0).0;
    run(&[
        "image",
        "pull",
        &image,
        "--platform",
        "linux/amd64",
        "--name",
        "a",
        "-q",
    ]);
    let shown = run(&["image", "show", "a"]);
    for row in [
        "program       'a b' 'a b'\n",
        "entrypoint    'a b'\n",
        "cmd           'a b'\n",
        "env           'A=a b'\n",
    ] {
        assert!(shown.contains(row), "{shown}");
    }
}

#[test]
fn the_configuration_is_shown_with_its_origins() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    fs::create_dir(&home).unwrap();
    let file = home.join("config.toml");
    fs::write(
        &file,
        "[daemon]\nsocket = '/s'\n[[registry]]\nprefix = 'a.b'\nblocked = true\n",
    )
    .unwrap();
    let shown = |variable: (&str, &str)| -> Value {
        let mut command = banger();
        command
            .env("BANGER_HOME", &home)
            .env(variable.0, variable.1);
        let (stdout, _) = support::run(command.args(["config", "show", "--format", "json"]), 0);
        serde_json::from_str(&stdout).unwrap()
    };
    let document = shown(("https_proxy", "http://user:secret@proxy:1"));
    assert!(!document.to_string().contains("secret"));
    let setting = |name: &str| {
        let settings = document["settings"].as_array().unwrap();
        let found = settings.iter().find(|setting| setting["name"] == name);
        found
            .unwrap_or_else(|| panic!("no setting {name}: {document}"))
            .clone()
    };
    let images = setting("images");
    assert_eq!(images["value"], home.join("images").to_str().unwrap());
    assert_eq!(
        images["origin"],
        json!({"from": "environment", "variable": "BANGER_HOME"})
    );
    let socket = setting("socket of the daemon");
    assert_eq!(socket["value"], "/s");
    assert_eq!(socket["origin"], json!({"from": "file", "path": file}));
    assert_eq!(setting("daemon.use")["origin"], json!({"from": "default"}));
    assert_eq!(setting("proxy for https")["value"], "http://***@proxy:1");
    assert_eq!(setting("registry a.b")["value"], "blocked, a.b");
    fs::write(&file, "[deamon]\nuse = true\n").unwrap();
    let (_, stderr) = support::run(
        banger().env("BANGER_HOME", &home).args(["image", "list"]),
        2,
    );
    assert!(stderr.contains("unknown key deamon"), "{stderr}");
    assert!(
        stderr.contains("hint: the nearest key that there is: daemon"),
        "{stderr}"
    );
}

/// `docs/configuration.md` is made from the tables that the program itself goes by.
#[test]
fn the_reference_of_the_configuration_is_up_to_date() {
    let page = banger::config::reference::page().to_markdown("Configuration");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&file, &page).unwrap();
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(found, page, "UPDATE_GOLDEN=1 accepts the change");
}
