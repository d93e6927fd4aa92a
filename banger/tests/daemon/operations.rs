//! Progress, cancellation, and what becomes of operations when a client or the daemon goes.

use std::time::Instant;

use serde_json::{Value, json};

use super::peer::{Daemon, SilentPipe, wait_until};
use super::support::{Layout, sample, tar_of};

fn is_staged(daemon: &Daemon) -> bool {
    daemon
        .stored()
        .iter()
        .any(|name| name.ends_with(".staging"))
}

#[test]
fn a_pull_tells_its_progress_and_then_its_image() {
    let daemon = Daemon::start();
    let mut peer = daemon.connect();
    let params = json!({
        "ref": sample(), "platform": "linux/amd64", "name": "sample", "progress": true,
    });
    let id = peer.begin("image.pull", &params);
    let mut events = Vec::new();
    let answer = loop {
        let message = peer.receive().unwrap();
        if message["id"] == id {
            break message;
        }
        assert_eq!(message["method"], "progress");
        assert_eq!(message["params"]["id"], id);
        assert!(message["params"]["op_id"].is_string());
        events.extend(message["params"]["events"].as_array().unwrap().clone());
    };
    events.retain(|event| event["event"] != "step-started");
    assert_eq!(events[0]["event"], "resolved");
    let finished = |event: &&Value| event["event"] == "layer-finished";
    assert_eq!(events.iter().filter(finished).count(), 3);
    assert_eq!(answer["result"]["image"]["name"], "sample");
    assert!(
        answer["result"]["warnings"][0]
            .as_str()
            .unwrap()
            .contains("does not boot")
    );
    let listed = peer.call("image.list", &json!({}));
    assert_eq!(listed["images"][0]["id"], answer["result"]["image"]["id"]);
}

#[test]
fn progress_comes_ten_times_a_second_at_most() {
    let daemon = Daemon::start();
    let mut layout = Layout::new(&daemon.folder.path().join("layout"));
    for layer in 0..200 {
        let name = format!("file-{layer}");
        layout.plain_layer(&tar_of(&[(&name, &vec![7; 100_000])]));
    }
    let source = layout.finish();
    let mut peer = daemon.connect();
    let begun = Instant::now();
    let params = json!({"ref": source, "name": "many", "progress": true});
    let id = peer.begin("image.pull", &params);
    let (mut notifications, mut finished) = (0_u32, 0);
    loop {
        let message = peer.receive().unwrap();
        if message["id"] == id {
            assert!(message["result"].is_object(), "{message}");
            break;
        }
        notifications += 1;
        let events = message["params"]["events"].as_array().unwrap();
        finished += events
            .iter()
            .filter(|event| event["event"] == "layer-finished")
            .count();
    }
    assert_eq!(finished, 200);
    // The daemon's clock began no later than ours, and the first one comes at once.
    let most = begun.elapsed().as_millis() / 100 + 1;
    assert!(
        u128::from(notifications) <= most,
        "{notifications} > {most}"
    );
}

#[test]
fn a_cancelled_pull_is_answered_and_its_staging_is_gone() {
    let daemon = Daemon::start();
    let pipe = SilentPipe::new(daemon.folder.path());
    let mut peer = daemon.connect();
    let id = peer.begin("image.pull", &pipe.pull("never"));
    wait_until("staged", || is_staged(&daemon));
    let op_id = peer.receive().unwrap()["params"]["op_id"].clone();
    // Another connection may cancel it as well.
    let told = daemon.connect().call("op.cancel", &json!({"op_id": op_id}));
    assert_eq!(told["cancelled"], op_id);
    let answer = peer.answer(id);
    assert_eq!(answer["error"]["code"], 130);
    assert_eq!(answer["error"]["data"]["op_id"], op_id);
    assert!(daemon.stored().is_empty(), "{:?}", daemon.stored());
    let again = peer.fail("op.cancel", &json!({"op_id": op_id}));
    assert_eq!(again["data"]["kind"], "not-found");
    // The name is free again.
    let again = json!({"ref": sample(), "platform": "linux/amd64", "name": "never"});
    peer.call("image.pull", &again);
}

#[test]
fn closing_the_connection_cancels_and_leaves_nothing() {
    let daemon = Daemon::start();
    let pipe = SilentPipe::new(daemon.folder.path());
    let mut peer = daemon.connect();
    peer.begin("image.pull", &pipe.pull("never"));
    wait_until("staged", || is_staged(&daemon));
    drop(peer);
    wait_until("gone", || daemon.stored().is_empty());
    let running = daemon.connect().call("op.list", &json!({}));
    assert_eq!(running["operations"], json!([]));
}

#[test]
fn a_client_that_has_said_all_still_gets_its_answers() {
    let daemon = Daemon::start();
    let mut peer = daemon.connect();
    let params = json!({"ref": sample(), "platform": "linux/amd64", "name": "sample"});
    let id = peer.begin("image.pull", &params);
    peer.finish();
    assert_eq!(peer.answer(id)["result"]["image"]["name"], "sample");
    assert_eq!(peer.receive(), None);
}

#[test]
fn when_the_daemon_is_stopped_what_runs_is_cancelled_answered_and_cleaned() {
    let mut daemon = Daemon::start();
    let pipe = SilentPipe::new(daemon.folder.path());
    let mut peer = daemon.connect();
    let idle = daemon.connect();
    let id = peer.begin("image.pull", &pipe.pull("never"));
    wait_until("staged", || is_staged(&daemon));
    daemon.signal(rustix::process::Signal::TERM);
    assert_eq!(peer.answer(id)["error"]["data"]["kind"], "interrupted");
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(daemon.stored().is_empty());
    assert!(!daemon.socket().exists());
    drop(idle);
}

#[test]
fn one_name_is_pulled_once_and_other_names_side_by_side() {
    let daemon = Daemon::start();
    let mut peers: Vec<_> = (0..8).map(|_| daemon.connect()).collect();
    let ids: Vec<u64> = peers
        .iter_mut()
        .enumerate()
        .map(|(index, peer)| {
            let name = format!("image-{}", index / 2);
            let params = json!({"ref": sample(), "platform": "linux/amd64", "name": name});
            peer.begin("image.pull", &params)
        })
        .collect();
    let answers: Vec<Value> = peers
        .iter_mut()
        .zip(ids)
        .map(|(peer, id)| peer.answer(id))
        .collect();
    for pair in answers.chunks(2) {
        let won = pair
            .iter()
            .filter(|answer| answer["result"].is_object())
            .count();
        assert_eq!(won, 1, "{pair:?}");
        let lost = pair
            .iter()
            .find(|answer| answer["error"].is_object())
            .unwrap();
        assert_eq!(lost["error"]["code"], 4);
    }
    assert_eq!(daemon.stored().len(), 4);
}

#[test]
fn a_connection_has_a_limit_of_long_operations_and_can_still_cancel_them() {
    let daemon = Daemon::start();
    let pipe = SilentPipe::new(daemon.folder.path());
    let mut peer = daemon.connect();
    let ids: Vec<u64> = (0..70)
        .map(|index| peer.begin("image.pull", &pipe.pull(&format!("image-{index}"))))
        .collect();
    for id in &ids[64..] {
        let error = peer.answer(*id)["error"].clone();
        assert_eq!(error["code"], -32000);
        assert!(
            error["message"].as_str().unwrap().contains("64 operations"),
            "{error}"
        );
    }
    let mut running = Vec::new();
    // A call that was taken may not have begun.
    wait_until("all that were taken are listed", || {
        let listed = peer.call("op.list", &json!({}));
        running = listed["operations"].as_array().unwrap().clone();
        running.len() == 64
    });
    let waiting = running
        .iter()
        .filter(|operation| operation["state"] == "waiting");
    assert!(waiting.count() >= 48);
    for operation in &running {
        peer.begin("op.cancel", &json!({"op_id": operation["op_id"]}));
    }
    wait_until("all have ended", || {
        let mut other = daemon.connect();
        other.call("op.list", &json!({}))["operations"] == json!([])
    });
    assert!(daemon.stored().is_empty());
}
