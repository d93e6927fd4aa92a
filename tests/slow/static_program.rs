//! The static release build as an ordinary user in a chroot that holds nothing else.
//!
//! `cargo test -p banger-tests --test slow_static_program` (as root: for the chroot)

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use banger_tests::{flatten_layout, repository, root, sample_image, succeed, tool};

/// The GNU target of this machine.
fn target() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

#[test]
fn a_bare_chroot_is_enough_to_pull() {
    if !(root() && tool("docker-registry") && tool("skopeo")) {
        return;
    }
    let program = static_build();
    let linked = succeed(Command::new("ldd").arg(&program).env("LC_ALL", "C"));
    assert!(linked.contains("statically linked"), "{linked}");
    let jail = tempfile::tempdir().unwrap();
    fs::copy(&program, jail.path().join("banger")).unwrap();
    fs::create_dir_all(jail.path().join("etc/ssl/certs")).unwrap();
    let authorities = "etc/ssl/certs/ca-certificates.crt";
    fs::copy(
        Path::new("/").join(authorities),
        jail.path().join(authorities),
    )
    .unwrap();
    let work = jail.path().join("work");
    fs::create_dir(&work).unwrap();
    chown(&work, Some(65534), Some(65534)).unwrap();
    fs::set_permissions(jail.path(), fs::Permissions::from_mode(0o755)).unwrap();

    let registry = Registry::start(jail.path().parent().unwrap());
    let image = format!("127.0.0.1:{}/sample:latest", registry.port);
    succeed(
        Command::new("skopeo")
            .args([
                "copy",
                "-q",
                "--dest-tls-verify=false",
                "--preserve-digests",
            ])
            .args([
                format!("oci:{}:latest", sample_image().display()),
                format!("docker://{image}"),
            ]),
    );
    let said = succeed(
        // Leaving user 0 takes every capability along.
        Command::new("chroot")
            .args(["--userspec=65534:65534", "--groups="])
            .arg(jail.path())
            .args(["/banger", "flatten", &image, "-o", "/work/rootfs.ext4"])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("BANGER_HOME", "/work/home")
            .env("TMPDIR", "/work"),
    );
    assert!(said.contains("linux/amd64"), "{said}");
    let expected = jail.path().join("expected.ext4");
    flatten_layout(&sample_image(), &expected);
    succeed(
        Command::new("cmp")
            .arg(&expected)
            .arg(work.join("rootfs.ext4")),
    );
    let mut names: Vec<_> = fs::read_dir(&work)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["home", "rootfs.ext4"]);
}

/// Builds the program as the Containerfile says; in a folder of its own, kept between runs.
fn static_build() -> PathBuf {
    let folder = repository().join("target/static");
    let target = target();
    succeed(
        Command::new(env!("CARGO"))
            .args([
                "build",
                "--release",
                "--locked",
                "--package",
                "banger",
                "--bin",
                "banger",
            ])
            .args(["--target", &target, "--target-dir"])
            .arg(&folder)
            .env("RUSTFLAGS", "-C target-feature=+crt-static")
            .current_dir(repository()),
    );
    folder.join(target).join("release/banger")
}

/// Debian's `docker-registry` on a loopback port; stopped when dropped.
struct Registry {
    process: Child,
    port: u16,
    _data: tempfile::TempDir,
}

impl Registry {
    fn start(folder: &Path) -> Self {
        let data = tempfile::tempdir_in(folder).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let config = data.path().join("config.yml");
        let text = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: 127.0.0.1:{port}}}\n",
            data.path().join("data").display()
        );
        fs::write(&config, text).unwrap();
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let registry = Self {
            process,
            port,
            _data: data,
        };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "the registry does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        registry
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended by itself; the test has its result by now.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
