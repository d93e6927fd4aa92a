//! Operations of the daemon end soon after they are told to, whatever they are doing, and leave nothing half-made.

use std::fs::{self, File};

use rustix::fs::{FlockOperation, flock};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::peer::{Daemon, Peer, wait_until};
use super::storekit::good_kernel;
use super::support::sample;

/// How an operation is told to end.
#[derive(Clone, Copy, Debug)]
enum End {
    Cancel,
    Close,
    Stop,
}

/// Begins a call, and waits until its progress has `text`. Returns the ids of the call and of the operation.
fn begin(peer: &mut Peer, method: &str, mut params: Value, text: &str) -> (u64, Value) {
    params["progress"] = json!(true);
    let id = peer.begin(method, &params);
    loop {
        let message = peer.receive().unwrap();
        assert!(message["id"].is_null(), "{message}");
        if message["params"]["events"].to_string().contains(text) {
            return (id, message["params"]["op_id"].clone());
        }
    }
}

/// Ends the operation, and sees it answered as interrupted where there is somebody to answer.
fn end(daemon: &mut Daemon, mut peer: Peer, id: u64, op_id: &Value, how: End) {
    match how {
        End::Cancel => {
            daemon.connect().call("op.cancel", &json!({"op_id": op_id}));
        }
        End::Stop => daemon.signal(Signal::TERM),
        End::Close => {
            drop(peer);
            let ended = format!("op_id={} ends interrupted", op_id.as_str().unwrap());
            return daemon.wait_for_log(&ended);
        }
    }
    assert_eq!(peer.answer(id)["error"]["data"]["kind"], "interrupted");
    if let End::Stop = how {
        assert_eq!(daemon.wait().code(), Some(0), "{}", daemon.log());
        assert!(daemon.log().contains("stopped\n"), "{}", daemon.log());
    }
}

#[test]
#[cfg_attr(not(debug_assertions), ignore = "release builds cannot be stalled")]
fn every_step_ends_however_it_is_told_to() {
    for how in [End::Cancel, End::Close, End::Stop] {
        for (step, method) in [
            ("fetch", "image.pull"),
            ("finish", "image.pull"),
            ("stage", "image.pull"),
            ("stage", "kernel.import"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("kernel"), good_kernel()).unwrap();
            let mut daemon = Daemon::start_stalled(folder, step);
            let kernel = daemon.path("kernel");
            let params = match method {
                "image.pull" => {
                    json!({"ref": sample(), "platform": "linux/amd64", "kernel_path": kernel})
                }
                _ => json!({"name": "x", "kernel_path": kernel}),
            };
            let mut peer = daemon.connect();
            let (id, op_id) = begin(&mut peer, method, params, "a test");
            end(&mut daemon, peer, id, &op_id, how);
            assert!(
                daemon.stored().is_empty(),
                "{how:?} {step} {:?}",
                daemon.stored()
            );
            let kernels = fs::read_dir(daemon.path("home/kernels"))
                .into_iter()
                .flatten();
            let left = kernels.filter(|entry| entry.as_ref().unwrap().file_name() != ".lock");
            assert_eq!(left.count(), 0, "{how:?} {step}");
        }
    }
}

#[test]
fn a_wait_for_the_store_is_told_and_ends() {
    for how in [End::Cancel, End::Close, End::Stop] {
        for method in ["image.pull", "image.remove"] {
            let mut daemon = Daemon::start();
            let old = json!({"ref": sample(), "platform": "linux/amd64", "name": "old"});
            daemon.connect().call("image.pull", &old);
            let lock = File::open(daemon.path("home/images/.lock")).unwrap();
            flock(&lock, FlockOperation::LockExclusive).unwrap();
            let params = match method {
                "image.pull" => json!({"ref": sample(), "platform": "linux/amd64", "name": "new"}),
                _ => json!({"images": ["old"]}),
            };
            let before = daemon.stored();
            let mut peer = daemon.connect();
            let (id, op_id) = begin(&mut peer, method, params, "waiting");
            end(&mut daemon, peer, id, &op_id, how);
            assert_eq!(daemon.stored(), before, "{how:?} {method}");
        }
    }
}

#[test]
fn the_daemon_serves_and_stops_while_it_waits_for_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("home/images");
    fs::create_dir_all(&images).unwrap();
    let lock = File::create(images.join(".lock")).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    let mut daemon = Daemon::start_in(folder);
    daemon.wait_for_log("waits for another run, which has locked");
    daemon.connect().call("image.list", &json!({}));
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0));
    wait_until("stopped", || daemon.log().contains("stopped\n"));
}
