//! A layer of ten million entries, which is what the limits allow, and one entry more.

#![cfg(target_os = "linux")]
#![expect(clippy::print_stdout, reason = "figures are what is looked for")]

#[path = "../tests/support/nowhere.rs"]
mod nowhere;

use nowhere::{Nowhere, resident_bytes};
use oci_flatten::apply::LayerApplier;
use oci_flatten::entry::Timestamp;
use oci_flatten::limits::Limits;
use oci_flatten::rootfs::Rootfs;
use oci_flatten::testkit::{Entry, Layer};

fn entry(index: u64) -> Entry {
    match (index, index % 100) {
        (0, _) => Entry::directory("usr"),
        (1, _) => Entry::directory("usr/share"),
        (_, 2) => Entry::directory(format!("usr/share/{}", index / 100)),
        _ => {
            let directory = (index - 2) / 100;
            Entry::file(format!("usr/share/{directory}/some-file-name-{index}"), "x")
        }
    }
}

#[test]
fn ten_million_entries_merge_within_the_memory_that_is_allowed() {
    let limits = Limits::default();
    let before = resident_bytes();
    let mut rootfs = Rootfs::new(&limits, Timestamp::default());
    let mut sink = Nowhere;
    let mut applier = LayerApplier::new(&mut rootfs, &mut sink).expect("one layer");
    for index in 0..limits.entries {
        applier
            .push(&Layer::new().entry(entry(index)).cut())
            .expect("entry merges");
    }
    applier.finish().expect("layer ends");
    let (counted, taken) = (rootfs.memory_bytes(), resident_bytes() - before);
    println!(
        "{} entries: {counted} bytes counted, {taken} taken",
        rootfs.len()
    );
    assert_eq!(rootfs.len(), limits.entries);
    assert!(counted <= limits.metadata_bytes && taken <= limits.metadata_bytes);

    let mut applier = LayerApplier::new(&mut rootfs, &mut sink).expect("two layers");
    let error = applier
        .push(&Layer::new().entry(Entry::file("usr", "")).cut())
        .expect_err("one entry too many");
    assert_eq!(
        error.to_string(),
        "image is 10000001 entries (limit 10000000)"
    );
}
