//! A daemon with eight clients that pull, list, rename, cancel, hang up and remove for five minutes
//! (`SOAK_SECONDS` says otherwise): in the end the store holds what the clients have left in it, and nothing else.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "tests may"
)]

#[path = "../tests/daemon/peer.rs"]
mod peer;
#[path = "../tests/support/mod.rs"]
#[allow(dead_code, reason = "each test binary uses its own part")]
mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use peer::{Daemon, Peer, SilentPipe, wait_until};
use serde_json::{Value, json};

const CLIENTS: u64 = 8;
/// Operations of one client, at most.
const ROUNDS: u64 = 20_000;
/// What the daemon may come to, in MiB.
const MEMORY_LIMIT: u64 = 400;

#[test]
fn the_store_is_consistent_after_minutes_of_everything_at_once() {
    let seconds = std::env::var("SOAK_SECONDS").map_or(300, |text| text.parse().unwrap());
    let daemon = Daemon::start();
    let pipe = SilentPipe::new(daemon.folder.path());
    let never = pipe.pull("never")["ref"].clone();
    let before = daemon.descriptors();
    let end = Instant::now() + Duration::from_secs(seconds);
    let outcomes: Vec<Client> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let socket = daemon.socket();
                let never = never.clone();
                scope.spawn(move || Client::new(&socket, number, never).run(&socket, end))
            })
            .collect();
        clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .collect()
    });
    let mut peer = daemon.connect();
    wait_until("nothing runs", || {
        peer.call("op.list", &json!({}))["operations"] == json!([])
    });
    let expected: BTreeSet<String> = outcomes
        .iter()
        .flat_map(|client| client.kept.clone())
        .collect();
    let listed = peer.call("image.list", &json!({}));
    assert_eq!(listed["unreadable"], json!([]));
    let images = listed["images"].as_array().unwrap();
    let found: BTreeSet<String> = images.iter().map(|image| text(&image["name"])).collect();
    assert_eq!(found, expected);
    let stored: BTreeSet<String> = daemon.stored().into_iter().collect();
    let ids: BTreeSet<String> = images.iter().map(|image| text(&image["id"])).collect();
    assert_eq!(stored, ids);
    for image in images {
        let shown = peer.call("image.show", &json!({"image": image["id"]}));
        assert_eq!(shown["missing"], json!([]));
        support::assert_clean(Path::new(&text(&shown["paths"]["rootfs"])));
    }
    let (peak, rounds) = (
        daemon.peak_memory(),
        outcomes.iter().map(|c| c.rounds).sum::<u64>(),
    );
    let pulls: u64 = outcomes.iter().map(|client| client.pulls).sum();
    println!(
        "{rounds} operations, {pulls} pulls, {} images left, {peak} MiB at most",
        ids.len()
    );
    assert!(peak <= MEMORY_LIMIT, "{peak} MiB (limit {MEMORY_LIMIT})");
    drop((peer, outcomes));
    wait_until("descriptors are given back", || {
        daemon.descriptors() <= before + 1
    });
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// A client that knows what it has left in the store.
struct Client {
    peer: Peer,
    number: u64,
    never: Value,
    kept: BTreeSet<String>,
    rounds: u64,
    pulls: u64,
    state: u64,
}

impl Client {
    fn new(socket: &Path, number: u64, never: Value) -> Self {
        Self {
            peer: Peer::connect(socket),
            number,
            never,
            kept: BTreeSet::new(),
            rounds: 0,
            pulls: 0,
            state: number + 1,
        }
    }

    /// The next of a fixed sequence of numbers below `limit` (xorshift).
    fn choose(&mut self, limit: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state % limit
    }

    fn run(mut self, socket: &Path, end: Instant) -> Self {
        while self.rounds < ROUNDS && Instant::now() < end {
            self.rounds += 1;
            match self.choose(10) {
                0..=3 => self.pull(),
                4 => self.remove(),
                5 => self.rename(),
                6 => self.cancel(),
                7 => self.hang_up(socket),
                _ => drop(self.peer.call("image.list", &json!({}))),
            }
        }
        self
    }

    fn fresh_name(&self) -> String {
        format!("client-{}-{}", self.number, self.rounds)
    }

    /// A pull of its own name, or of one that all clients want: then one wins, and removes it again.
    fn pull(&mut self) {
        if self.kept.len() > 20 {
            return self.remove();
        }
        self.pulls += 1;
        let shared = self.choose(4) == 0;
        let name = match shared {
            true => "shared".to_owned(),
            false => self.fresh_name(),
        };
        let params = json!({"ref": support::sample(), "platform": "linux/amd64", "name": name});
        let id = self.peer.begin("image.pull", &params);
        let answer = self.peer.answer(id);
        if !shared {
            assert!(answer["error"].is_null(), "{answer}");
            self.kept.insert(name);
        } else if answer["error"].is_null() {
            let id = answer["result"]["image"]["id"].clone();
            self.peer.call("image.remove", &json!({"images": [id]}));
        } else {
            assert_eq!(answer["error"]["data"]["kind"], "exists", "{answer}");
        }
    }

    fn remove(&mut self) {
        if let Some(name) = self.kept.pop_first() {
            let gone = self.peer.call("image.remove", &json!({"images": [name]}));
            assert_eq!(gone["removed"].as_array().unwrap().len(), 1);
        }
    }

    fn rename(&mut self) {
        let name = self.fresh_name();
        if let Some(old) = self.kept.pop_first() {
            self.peer
                .call("image.rename", &json!({"image": old, "name": name}));
            self.kept.insert(name);
        }
    }

    /// A pull that hangs, and is cancelled.
    fn cancel(&mut self) {
        let params = json!({"ref": self.never, "name": self.fresh_name(), "progress": true});
        let id = self.peer.begin("image.pull", &params);
        let begun = self.peer.receive().unwrap();
        let op_id = begun["params"]["op_id"].clone();
        self.peer.call("op.cancel", &json!({"op_id": op_id}));
        assert_eq!(self.peer.answer(id)["error"]["data"]["kind"], "interrupted");
    }

    /// A pull that hangs, and a client that goes away.
    fn hang_up(&mut self, socket: &Path) {
        let params = json!({"ref": self.never, "name": self.fresh_name()});
        self.peer.begin("image.pull", &params);
        self.peer = Peer::connect(socket);
    }
}
