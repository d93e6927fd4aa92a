//! Who may connect, whose the socket is, and how it comes and goes.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Command, Stdio};

use serde_json::json;

use super::peer::{Daemon, Peer, banger, wait_until};
use super::support::{run, tool};

#[test]
fn the_socket_and_its_folder_are_for_this_user_alone() {
    let daemon = Daemon::start();
    let mode = |path| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(daemon.socket()), 0o600);
    assert_eq!(mode(daemon.folder.path().join("home")), 0o700);
}

#[test]
fn a_second_daemon_is_exit_4_and_the_first_goes_on() {
    let daemon = Daemon::start();
    let (_, stderr) = run(banger(daemon.folder.path()).arg("daemon"), 4);
    assert!(stderr.contains("another daemon listens there"), "{stderr}");
    daemon.connect().call("image.list", &json!({}));
}

#[test]
fn a_stale_socket_is_taken_over() {
    let mut daemon = Daemon::start();
    daemon.signal(rustix::process::Signal::KILL);
    daemon.wait();
    assert!(daemon.socket().exists());
    let (_, stderr) = run(
        banger(daemon.folder.path()).args(["--daemon", "image", "list"]),
        9,
    );
    assert!(
        stderr.contains("no daemon answers") && stderr.contains("hint: "),
        "{stderr}"
    );
    let folder = std::mem::replace(&mut daemon.folder, tempfile::tempdir().unwrap());
    let next = Daemon::start_in(folder);
    next.connect().call("image.list", &json!({}));
}

#[test]
fn what_is_no_socket_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("precious");
    fs::write(&place, "precious").unwrap();
    let mut command = banger(folder.path());
    let (_, stderr) = run(command.arg("daemon").arg("--socket").arg(&place), 4);
    assert!(stderr.contains("is no socket"), "{stderr}");
    assert_eq!(fs::read_to_string(&place).unwrap(), "precious");
}

#[test]
fn the_configuration_sends_commands_to_the_daemon() {
    let daemon = Daemon::start();
    let config = format!(
        "[daemon]\nuse = true\nsocket = '{}'\n",
        daemon.socket().display()
    );
    let home = daemon.folder.path().join("elsewhere");
    fs::create_dir(&home).unwrap();
    fs::write(home.join("config.toml"), config).unwrap();
    let mut command = banger(daemon.folder.path());
    command.env("BANGER_HOME", &home).args(["kernel", "list"]);
    run(&mut command, 0);
    daemon.wait_for_log("begins kernel.list");
}

#[test]
fn an_inherited_socket_is_served_and_stays() {
    if !tool("python3") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("activated.sock");
    // What systemd does: the socket is file 3, and two variables say so.
    let script = "import os, socket, sys\n\
        s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen()\n\
        os.dup2(s.fileno(), 3); os.set_inheritable(3, True)\n\
        os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1')\n\
        os.execv(sys.argv[2], [sys.argv[2], 'daemon'])\n";
    let mut process = Command::new("python3")
        .args(["-c", script])
        .arg(&place)
        .arg(env!("CARGO_BIN_EXE_banger"))
        .env("BANGER_HOME", folder.path().join("home"))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("the socket is there", || place.exists());
    // Before the daemon serves it, the kernel keeps what connects.
    let mut connected = None;
    wait_until("it listens", || {
        connected = std::os::unix::net::UnixStream::connect(&place).ok();
        connected.is_some()
    });
    Peer::connect(&place).call("image.list", &json!({}));
    let pid = rustix::process::Pid::from_child(&process);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(process.wait().unwrap().code(), Some(0));
    assert!(place.exists());
    assert!(!folder.path().join("home/banger.sock").exists());
}

/// The mode of the socket keeps others out; that it is not the only thing that does is shown by opening it.
#[test]
fn another_user_is_refused_whatever_the_mode_of_the_socket() {
    if !super::support::root() || !tool("python3") {
        return;
    }
    let daemon = Daemon::start();
    for path in [
        daemon.folder.path().to_owned(),
        daemon.folder.path().join("home"),
    ] {
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }
    fs::set_permissions(daemon.socket(), Permissions::from_mode(0o666)).unwrap();
    let script = "import os, socket, sys\n\
        os.setgroups([]); os.setgid(65534); os.setuid(65534)\n\
        s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n\
        try: s.sendall(b'{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"image.list\"}\\n')\n\
        except BrokenPipeError: pass\n\
        print(s.makefile().read())\n";
    let mut stranger = Command::new("python3");
    stranger.args(["-c", script]).arg(daemon.socket());
    let (answer, _) = run(&mut stranger, 0);
    assert!(answer.contains("user 65534 is not user 0"), "{answer}");
    assert!(!answer.contains("\"result\""), "{answer}");
    daemon.wait_for_log("refused a connection");
}

#[test]
fn an_interrupted_command_ends_its_operation_in_the_daemon() {
    let daemon = Daemon::start();
    let pipe = super::peer::SilentPipe::new(daemon.folder.path());
    let source = pipe.pull("x")["ref"].as_str().unwrap().to_owned();
    let mut child = banger(daemon.folder.path())
        .args(["--daemon", "image", "pull", &source, "--name", "never"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let is_staged = || {
        daemon
            .stored()
            .iter()
            .any(|name| name.ends_with(".staging"))
    };
    wait_until("staged", is_staged);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    wait_until("gone", || daemon.stored().is_empty());
}

#[test]
fn the_python_client_pulls_and_fails_as_the_command_does() {
    if !tool("python3") {
        return;
    }
    let daemon = Daemon::start();
    let client = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/pull.py");
    let pull = |name: &str| {
        let mut command = Command::new("python3");
        command
            .env("BANGER_HOME", daemon.folder.path().join("home"))
            .args([client, &super::support::sample(), "--name", name])
            .args(["--platform", "linux/amd64"]);
        command
    };
    let (stdout, stderr) = run(&mut pull("sample"), 0);
    assert!(stdout.contains("linux/amd64, 3 layers"), "{stdout}");
    assert!(stdout.contains("layer 3: "), "{stdout}");
    assert!(stderr.contains("does not boot"), "{stderr}");
    let rootfs = stdout.lines().last().unwrap();
    assert!(fs::metadata(rootfs).unwrap().len() > 0);
    let (_, stderr) = run(&mut pull("sample"), 4);
    assert!(stderr.contains("hint: "), "{stderr}");
}
