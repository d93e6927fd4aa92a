//! What the merged tree takes, as the kernel counts it; alone in its process, so that nothing else is counted.

#![cfg(target_os = "linux")]

#[path = "support/nowhere.rs"]
mod nowhere;

use nowhere::{Nowhere, resident_bytes};
use oci_flatten::apply::LayerApplier;
use oci_flatten::entry::Timestamp;
use oci_flatten::limits::Limits;
use oci_flatten::rootfs::{OwnedKind, Rootfs};
use oci_flatten::testkit::{Entry, Layer};

#[test]
fn an_entry_takes_less_than_200_bytes() {
    let count = 400_000;
    let before = resident_bytes();
    let mut rootfs = Rootfs::new(&Limits::default(), Timestamp::default());
    let mut sink = Nowhere;
    let mut applier = LayerApplier::new(&mut rootfs, &mut sink).expect("one layer");
    for index in 0..count {
        let path = format!("usr/share/{}/some-file-name-{index}.txt", index / 100);
        applier
            .push(&Layer::new().entry(Entry::file(path, "x")).cut())
            .expect("entry merges");
    }
    applier.finish().expect("layer ends");
    let (counted, taken) = (
        rootfs.memory_bytes() / count,
        (resident_bytes() - before) / count,
    );
    assert!(counted < 160, "{counted} bytes counted for each");
    assert!(taken < 200, "{taken} bytes taken for each");
    // A limit on memory would be worth little if the count were far below the truth.
    assert!(
        taken < 2 * counted,
        "{taken} bytes taken for each, {counted} counted"
    );
    memory_comes_back_while_a_tree_is_taken_apart(rootfs, count, taken * count);
}

/// Here, since it counts the same process' memory.
fn memory_comes_back_while_a_tree_is_taken_apart<C>(rootfs: Rootfs<C>, count: u64, taken: u64) {
    let whole = resident_bytes();
    let (root, mut tree) = rootfs.drain();
    let mut pending = vec![root.kind];
    let mut left = count / 2;
    while let Some(kind) = pending.pop().filter(|_| left > 0) {
        if let OwnedKind::Directory(entries) = kind {
            for child in tree.children(entries) {
                let entry = tree.take(child).expect("nobody took it before");
                pending.extend(entry.file.map(|file| file.kind));
                left = left.saturating_sub(1);
            }
        }
    }
    let back = whole - resident_bytes();
    assert!(
        back > taken / 5,
        "{back} bytes of {taken} with half of the tree"
    );
}
