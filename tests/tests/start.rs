//! A pulled image starts its program, as a container engine would, and its exit code comes back.

#![allow(missing_docs, reason = "a test")]

use banger::initrd::Event;
use banger::kernel::KernelRequest;
use banger_tests::machine::{
    Ended, QemuDisk, check_clean, cloud_kernel_request, hash, layer, own_disk, pulled, under_qemu,
    under_uml, witness, write_layout,
};
use banger_tests::tool;
use oci_flatten::testkit::{Entry, Layer};
use serde_json::json;

/// A program and the two files of accounts: no `/proc`, `/dev`, `/tmp`, nor anything else.
fn almost_scratch() -> Layer {
    layer([
        Entry::file("app/witness", witness()).mode(0o755),
        Entry::file(
            "etc/passwd",
            "root:x:0:0::/root:\nweb:x:1000:1001::/home/web:\n",
        )
        .mode(0o644),
        Entry::file("etc/group", "web:x:1001:\nmedia:x:44:web\n").mode(0o644),
    ])
}

fn config() -> serde_json::Value {
    json!({
        "Entrypoint": ["witness", "a b"], "Cmd": ["exit=42"], "User": "web",
        "WorkingDir": "/srv/data", "Env": ["PATH=/none:/app", "GREETING=hello world", "EMPTY="],
    })
}

/// What the program must have found, whatever the machine.
fn check_started(ended: &Ended) {
    let argv = ["0 witness", "1 a b", "2 exit=42"];
    assert_eq!(ended.told("argv"), argv, "{}", ended.console);
    let mut env = ended.told("env");
    env.sort();
    let expected = [
        "EMPTY=",
        "GREETING=hello world",
        "HOME=/home/web",
        "HOSTNAME=machine",
        "PATH=/none:/app",
        "TERM=xterm",
    ];
    assert_eq!(env, expected);
    assert_eq!(ended.fact("uid"), "1000 1000 gid 1001 1001");
    assert_eq!(ended.fact("groups"), "44");
    assert_eq!(ended.fact("cwd"), "/srv/data");
    assert_eq!(ended.fact("nofile"), "1048576 1048576");
    assert_eq!(ended.fact("umask"), "022");
    assert_eq!(ended.told("fd"), ["0", "1", "2"]);
    assert_eq!(ended.fact("hostname"), "machine");
    assert_eq!(ended.fact("file /etc/hostname"), "machine");
    assert_eq!(ended.fact("stdout"), "opens");
    // Not root: no capabilities, and nothing blocked or ignored that init had a hand in.
    let status = ended.told("status").join("\n");
    for line in [
        "CapEff:\t0000000000000000",
        "CapPrm:\t0000000000000000",
        "CapAmb:\t0000000000000000",
    ] {
        assert!(status.contains(line), "{status}");
    }
    for line in [
        "SigBlk:\t0000000000000000",
        "SigIgn:\t0000000000000000",
        "SigCgt:\t0000000000000000",
    ] {
        assert!(status.contains(line), "{status}");
    }
    let mounts = ended.told("file /proc/self/mounts").join("\n");
    for mount in [
        "/proc proc",
        "/sys sysfs",
        "/dev devtmpfs",
        "/dev/pts devpts",
        "/dev/shm tmpfs",
        "/tmp tmpfs",
    ] {
        assert!(
            mounts.contains(&format!(" {mount} ")),
            "{mount} in {mounts}"
        );
    }
    let started = Event::Started {
        argv: ["witness", "a b", "exit=42"].map(str::to_owned).into(),
    };
    let exited = Event::Exited {
        code: Some(42),
        signal: None,
    };
    assert_eq!(ended.events, [started, exited], "{}", ended.console);
}

#[test]
fn a_program_starts_under_user_mode_linux_and_its_exit_code_comes_back() {
    if !["linux.uml", "e2fsck", "gcc"].into_iter().all(tool) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    write_layout(&folder.path().join("image"), almost_scratch(), &config());
    let source = format!("oci:{}", folder.path().join("image").display());
    let image = pulled(folder.path(), &source, KernelRequest::default());
    let boot = image.record().boot.clone().unwrap();
    assert_eq!(boot.reason, "witness is started by banger's init");
    let rootfs = image.artifacts().rootfs;
    let before = hash(&rootfs);
    let disk = own_disk(&image, folder.path());
    check_started(&under_uml(&image, &disk, &[]).ended());
    check_clean(&disk);
    assert_eq!(hash(&rootfs), before);
}

#[test]
fn a_program_starts_under_qemu_from_a_virtio_disk() {
    let tools = ["qemu-system-x86_64", "e2fsck", "gcc", "apt-get", "dpkg-deb"];
    if !tools.into_iter().all(tool) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    write_layout(&folder.path().join("image"), almost_scratch(), &config());
    let source = format!("oci:{}", folder.path().join("image").display());
    let image = pulled(folder.path(), &source, cloud_kernel_request());
    let modules = &image.record().initrd.as_ref().unwrap().modules;
    assert!(
        modules.iter().any(|name| name == "virtio_blk"),
        "{modules:?}"
    );
    let disk = own_disk(&image, folder.path());
    let ended = under_qemu(&image, &disk, QemuDisk::Virtio, |_| {}).ended();
    check_started(&ended);
    // QEMU's own DHCP server and resolver.
    assert_eq!(ended.fact("file /etc/resolv.conf"), "nameserver 10.0.2.3");
    let hosts = ended.told("file /etc/hosts");
    assert!(
        hosts.contains(&"10.0.2.15\tmachine".to_owned()),
        "{hosts:?}"
    );
    check_clean(&disk);
}
