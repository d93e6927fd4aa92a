//! JSON-RPC 2.0, its standard codes, and the document that describes the methods.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::peer::Daemon;

#[test]
fn what_is_wrong_with_a_request_has_its_standard_code_and_an_op_id() {
    let daemon = Daemon::start();
    let mut peer = daemon.connect();
    for (line, code) in [
        (&b"{"[..], -32700),
        (b"\xff\xfe\xfd", -32700),
        (b"[]", -32600),
        (br#"{"jsonrpc":"1.0","id":1,"method":"image.list"}"#, -32600),
        (br#"{"jsonrpc":"2.0","id":1,"method":"image.lst"}"#, -32601),
        (br#"{"jsonrpc":"2.0","id":1,"method":"image.show"}"#, -32602),
        (br#"{"jsonrpc":"2.0","id":1,"method":"image.pull"}"#, -32602),
        (
            br#"{"jsonrpc":"2.0","id":1,"method":"image.register","params":{"name":"a"}}"#,
            -32602,
        ),
        (
            br#"{"jsonrpc":"2.0","id":1,"method":"image.list","params":{"all":true}}"#,
            -32602,
        ),
        (
            br#"{"jsonrpc":"2.0","id":1,"method":"image.show","params":{"image":1}}"#,
            -32602,
        ),
        (
            br#"{"jsonrpc":"2.0","id":1,"method":"image.show","params":["a"]}"#,
            -32602,
        ),
    ] {
        peer.send(line);
        peer.send(b"\n");
        let answer = peer.receive().unwrap();
        let text = String::from_utf8_lossy(line);
        assert_eq!(answer["error"]["code"], code, "{text}");
        assert_eq!(answer["error"]["data"]["kind"], "usage", "{text}");
        assert_eq!(answer["error"]["data"]["exit_code"], 2, "{text}");
        assert!(answer["error"]["data"]["op_id"].is_string(), "{text}");
    }
    let error = peer.fail("image.list", &json!({"al": 1}));
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("no parameter \"al\"")
    );
}

#[test]
fn a_failure_has_the_kind_and_exit_code_of_the_command_and_a_hint() {
    let daemon = Daemon::start();
    let mut peer = daemon.connect();
    let error = peer.fail("image.show", &json!({"image": "nobody"}));
    assert_eq!(error["code"], 3);
    assert_eq!(error["data"]["kind"], "not-found");
    assert_eq!(error["data"]["exit_code"], 3);
    assert!(
        error["data"]["hint"]
            .as_str()
            .unwrap()
            .contains("image list")
    );
    let both = json!({"ref": "debian", "kernel_ref": "a", "kernel_path": "/k"});
    assert_eq!(peer.fail("image.pull", &both)["data"]["kind"], "usage");
    // What means something else in another process is refused.
    for params in [
        json!({"ref": "oci:layout", "name": "a"}),
        json!({"ref": "tar:-", "name": "a"}),
        json!({"ref": "debian", "kernel_path": "vmlinux"}),
    ] {
        let error = peer.fail("image.pull", &params);
        assert_eq!(error["code"], 2, "{params}");
    }
    for (memory, cpus) in [(15, 1), (512, 0), (512, 1025)] {
        let machine = json!({"image": "a", "vmm": "qemu", "memory_mib": memory, "cpus": cpus});
        assert_eq!(peer.fail("image.boot_config", &machine)["code"], 2);
    }
}

#[test]
fn every_answer_and_every_line_of_the_log_has_an_op_id() {
    let daemon = Daemon::start();
    let mut peer = daemon.connect();
    let mut seen = HashSet::new();
    for (method, params) in [
        ("image.list", json!({})),
        ("kernel.list", json!({})),
        ("cache.show", json!({})),
        ("cache.verify", json!({})),
        ("cache.prune", json!({"dry_run": true})),
        ("system.info", json!({})),
        ("op.list", json!({})),
        ("rpc.discover", json!({})),
    ] {
        let result = peer.call(method, &params);
        let op_id = result["op_id"].as_str().expect(method).to_owned();
        daemon.wait_for_log(&format!("op_id={op_id} begins {method}"));
        assert!(seen.insert(op_id), "{method}");
    }
    for line in daemon.log().lines() {
        assert!(line.starts_with("op_id="), "{line}");
    }
}

#[test]
fn calls_of_one_connection_overlap_and_a_notification_gets_no_answer() {
    let daemon = Daemon::start();
    let mut peer = daemon.connect();
    peer.send(b"{\"jsonrpc\":\"2.0\",\"method\":\"image.list\"}\n");
    peer.send(b"{\"jsonrpc\":\"2.0\",\"method\":\"image.list\",\"id\":null}\n");
    assert_eq!(peer.receive().unwrap()["id"], Value::Null);
    let pipe = super::peer::SilentPipe::new(daemon.folder.path());
    let pull = peer.begin("image.pull", &pipe.pull("slow"));
    // The pull hangs, and others are answered.
    let names: Vec<u64> = (0..20)
        .map(|_| peer.begin("image.list", &json!({})))
        .collect();
    for id in names {
        assert!(peer.answer(id)["result"].is_object());
    }
    let mut running = json!(null);
    super::peer::wait_until("the pull runs", || {
        running = peer.call("op.list", &json!({}));
        running["operations"][0]["state"] == "running"
    });
    assert_eq!(running["operations"][0]["method"], "image.pull");
    let op_id = running["operations"][0]["op_id"].clone();
    peer.call("op.cancel", &json!({"op_id": op_id}));
    assert_eq!(peer.answer(pull)["error"]["data"]["kind"], "interrupted");
}

/// `docs/rpc.json` is what clients are written against. To accept a change, run with `UPDATE_GOLDEN` set and
/// read the difference.
#[test]
fn the_description_is_the_one_in_the_documentation() {
    let daemon = Daemon::start();
    let mut found = daemon.connect().call("rpc.discover", &json!({}));
    found.as_object_mut().unwrap().remove("op_id");
    found["info"]["version"] = json!("");
    let text = format!("{found:#}\n");
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/rpc.json");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&place, &text).unwrap();
    }
    let golden = fs::read_to_string(&place).unwrap();
    assert!(golden == text, "rpc.discover differs from docs/rpc.json");
    // Every reference in it leads somewhere.
    let schemas = found["components"]["schemas"].as_object().unwrap();
    for part in text.split("\"#/components/schemas/").skip(1) {
        let name = part.split('"').next().unwrap();
        assert!(schemas.contains_key(name), "{name}");
    }
}
