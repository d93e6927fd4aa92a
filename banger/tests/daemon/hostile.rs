//! Peers that break rules: memory stays bounded, other clients notice nothing, and nothing leaks.

use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use super::peer::{Daemon, Peer, SilentPipe, wait_until};

/// What the daemon may come to, in MiB; a pull alone takes some 40.
const MEMORY_LIMIT: u64 = 160;

/// Others are served as if nothing were, and nothing has been left behind.
#[track_caller]
fn assert_sound(daemon: &Daemon) {
    let listed = daemon.connect().call("image.list", &json!({}));
    assert_eq!(listed["images"], json!([]));
    let peak = daemon.peak_memory();
    assert!(peak <= MEMORY_LIMIT, "{peak} MiB (limit {MEMORY_LIMIT})");
    wait_until("only the asking connection is open", || {
        daemon.connect().call("system.info", &json!({}))["connections"] == 1
    });
}

#[test]
fn half_a_line_and_then_nothing() {
    let daemon = Daemon::start();
    for half in [
        &b"{\"jsonrpc\":\"2.0\",\"id\":1,\"meth"[..],
        b"\xf0\x9f",
        b"",
    ] {
        let mut peer = daemon.connect();
        peer.send(half);
        drop(peer);
    }
    // One that only says no more is told what is wrong.
    let mut peer = daemon.connect();
    peer.send(b"{\"jsonrpc\":");
    peer.finish();
    assert_eq!(peer.receive().unwrap()["error"]["code"], -32700);
    assert_eq!(peer.receive(), None);
    assert_sound(&daemon);
}

#[test]
fn a_line_without_an_end_is_refused_at_its_limit() {
    let daemon = Daemon::start();
    let mut peer = daemon.connect();
    let block = vec![b'x'; 64 << 10];
    // It hangs up in the middle, so writing fails at some time.
    for _ in 0..1024 {
        if peer.try_send(&block).is_err() {
            break;
        }
    }
    let answer = peer.receive().unwrap();
    assert_eq!(answer["error"]["code"], -32600);
    let message = answer["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("1048576 bytes"), "{message}");
    assert_sound(&daemon);
}

#[test]
fn a_line_at_the_limit_is_read() {
    let daemon = Daemon::start();
    let mut peer = daemon.connect();
    let mut line = br#"{"jsonrpc":"2.0","id":1,"method":"image.list"}"#.to_vec();
    line.resize(1 << 20, b' ');
    line.push(b'\n');
    peer.send(&line);
    assert!(peer.answer(1)["result"].is_object());
}

#[test]
fn deep_and_strange_documents() {
    let daemon = Daemon::start();
    let mut peer = daemon.connect();
    let deep = "[".repeat(500_000);
    let many = format!("{{{}}}", vec!["\"a\":1"; 100_000].join(","));
    let number = format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"x\"}}",
        "9".repeat(1000)
    );
    for line in [
        deep.as_str(),
        &many,
        &number,
        "\u{0}",
        "null",
        "\"\u{1b}[31m\"",
    ] {
        peer.send(line.as_bytes());
        peer.send(b"\n");
        assert!(peer.receive().unwrap()["error"].is_object());
    }
    drop(peer);
    assert_sound(&daemon);
}

#[test]
fn ten_thousand_requests_at_once_are_all_answered() {
    let daemon = Daemon::start();
    let mut peer = daemon.connect();
    let mut sender = Peer::connect(&daemon.socket());
    let mut requests = String::new();
    for id in 0..10_000 {
        requests += &format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"image.list\"}}\n");
    }
    // Answers must be read while requests are written: the daemon keeps few of either.
    std::thread::scope(|scope| {
        let mut writing = sender.writer();
        scope.spawn(move || std::io::Write::write_all(&mut writing, requests.as_bytes()).unwrap());
        let mut answered = [false; 10_000];
        for _ in 0..10_000 {
            let answer = sender.receive().unwrap();
            assert!(answer["result"].is_object(), "{answer}");
            let id = usize::try_from(answer["id"].as_u64().unwrap()).unwrap();
            assert!(!std::mem::replace(&mut answered[id], true));
        }
        // Meanwhile, and after it, others are answered.
        peer.call("image.list", &json!({}));
    });
    drop((peer, sender));
    assert_sound(&daemon);
}

#[test]
fn ten_thousand_pulls_at_once_are_refused_but_for_a_few() {
    let daemon = Daemon::start();
    let pipe = SilentPipe::new(daemon.folder.path());
    let mut peer = daemon.connect();
    let mut writing = peer.writer();
    let pull = pipe.pull("same")["ref"].clone();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for id in 0..10_000 {
                let params = json!({"ref": pull, "name": format!("image-{id}")});
                let request = json!({
                    "jsonrpc": "2.0", "id": id, "method": "image.pull", "params": params,
                });
                std::io::Write::write_all(&mut writing, format!("{request}\n").as_bytes()).unwrap();
            }
        });
        for _ in 0..10_000 - 64 {
            assert_eq!(peer.receive().unwrap()["error"]["code"], -32000);
        }
    });
    drop(peer);
    wait_until("all are cancelled", || daemon.stored().is_empty());
    assert_sound(&daemon);
}

#[test]
fn a_client_that_does_not_read_stops_nobody_but_itself() {
    let daemon = Daemon::start();
    let deaf = daemon.connect();
    let mut writing = deaf.writer();
    writing
        .set_write_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let request = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"rpc.discover\"}\n";
    let mut sent = 0;
    // At some time nothing more is taken: the daemon waits for its answers to be read.
    while sent < 1_000_000 && std::io::Write::write_all(&mut writing, request).is_ok() {
        sent += 1;
    }
    assert!(sent < 1_000_000, "everything was taken");
    daemon.connect().call("image.list", &json!({}));
    drop((deaf, writing));
    assert_sound(&daemon);
}

#[test]
fn five_hundred_idle_connections() {
    let daemon = Daemon::start();
    let before = daemon.descriptors();
    let idle: Vec<UnixStream> = (0..500)
        .map(|_| UnixStream::connect(daemon.socket()).unwrap())
        .collect();
    let mut peer = daemon.connect();
    wait_until("all are counted", || {
        peer.call("system.info", &json!({}))["connections"] == 501
    });
    drop((idle, peer));
    assert_sound(&daemon);
    wait_until("descriptors are given back", || {
        daemon.descriptors() <= before + 1
    });
}

#[test]
fn disconnects_in_mid_pull_leave_nothing() {
    let daemon = Daemon::start();
    let pipe = SilentPipe::new(daemon.folder.path());
    let before = daemon.descriptors();
    for round in 0..10 {
        let mut peer = daemon.connect();
        peer.begin("image.pull", &pipe.pull(&format!("image-{round}")));
        if round % 2 == 0 {
            wait_until("staged", || !daemon.stored().is_empty());
        }
    }
    wait_until("gone", || daemon.stored().is_empty());
    let running: Value = daemon.connect().call("op.list", &json!({}));
    assert_eq!(running["operations"], json!([]));
    assert_sound(&daemon);
    // No thread is left that waits for the pipe.
    wait_until("descriptors are given back", || {
        daemon.descriptors() <= before + 1
    });
}

#[test]
fn pulls_of_one_client_that_hang_do_not_stop_the_operations_of_others() {
    let daemon = Daemon::start();
    let pipe = SilentPipe::new(daemon.folder.path());
    let mut hanging = daemon.connect();
    for number in 0..64 {
        hanging.begin("image.pull", &pipe.pull(&format!("image-{number}")));
    }
    wait_until("some run", || daemon.stored().len() >= 4);
    let mut other = daemon.connect();
    other.call("cache.verify", &json!({}));
    let source = super::support::sample();
    let params = json!({"ref": source, "platform": "linux/amd64", "name": "good"});
    let pulled = other.call("image.pull", &params);
    other.call("image.remove", &json!({"images": [pulled["image"]["id"]]}));
    drop((hanging, other));
    wait_until("all are cancelled", || daemon.stored().is_empty());
    assert_sound(&daemon);
}

#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start_with(folder, Stdio::piped());
    let mut peer = daemon.connect();
    for _ in 0..3000 {
        peer.call("kernel.list", &json!({}));
    }
    drop(peer);
    daemon.signal(rustix::process::Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn a_client_that_does_not_read_does_not_hold_up_the_end() {
    let mut daemon = Daemon::start();
    let deaf = daemon.connect();
    let mut writing = deaf.writer();
    writing
        .set_write_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let request = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"rpc.discover\"}\n";
    while std::io::Write::write_all(&mut writing, request).is_ok() {}
    daemon.signal(rustix::process::Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0));
    let log = daemon.log();
    assert!(
        log.trim_end().ends_with(" stopped"),
        "{}",
        log.lines().last().unwrap()
    );
}

#[test]
fn long_texts_of_a_client_are_not_repeated() {
    let daemon = Daemon::start();
    let mut peer = daemon.connect();
    let long = "\u{7f}".repeat(500_000);
    peer.fail(&long, &json!({}));
    peer.fail("image.show", &json!({"image": long}));
    peer.fail("image.list", &json!({long.as_str(): 1}));
    let error = peer.fail("image.remove", &json!({"images": vec!["a"; 2000]}));
    assert!(
        error["message"].as_str().unwrap().contains("limit 1000"),
        "{error}"
    );
    daemon.wait_for_log("limit 1000");
    assert!(daemon.log().len() < 20_000, "{} bytes", daemon.log().len());
    drop(peer);
    assert_sound(&daemon);
}
