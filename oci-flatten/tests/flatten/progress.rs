//! The events of a flattening.

use std::sync::{Arc, Mutex};

use oci_flatten::flatten::{CancellationToken, FlattenOptions};
use oci_flatten::progress::Event;
use oci_flatten::testkit::{Entry, Layer, MemorySink};

use crate::memory::Memory;
use crate::support::{OCI_GZIP, gzip, layer};

#[tokio::test]
async fn events_tell_the_image_and_then_each_layer() {
    let big = Layer::new()
        .entry(Entry::file("big", vec![1; 1 << 20]))
        .finish();
    let layers = [layer("a", "1"), big];
    let blobs: Vec<_> = layers.iter().map(|layer| gzip(layer)).collect();
    let source = Arc::new(Memory::stored(&layers, &blobs, OCI_GZIP));
    let events = Arc::new(Mutex::new(Vec::new()));
    let kept = events.clone();
    let observer = Arc::new(move |event| kept.lock().unwrap().push(event));
    let (options, token) = (FlattenOptions::default(), CancellationToken::new());
    let sink = MemorySink::default();
    oci_flatten::flatten::flatten(source.clone(), sink, options, observer, token)
        .await
        .unwrap();
    let events = events.lock().unwrap();

    let Event::Resolved {
        digest,
        platform,
        layers: described,
        ..
    } = &events[0]
    else {
        panic!("{events:?}");
    };
    assert_eq!(*digest, source.image.digest);
    assert_eq!(platform.to_string(), "linux/amd64");
    let sizes: Vec<_> = described.iter().map(|(_, size)| size.unwrap()).collect();
    assert_eq!(
        sizes,
        blobs
            .iter()
            .map(|blob| blob.len() as u64)
            .collect::<Vec<_>>()
    );
    for (number, tar) in layers.iter().enumerate() {
        let of_layer: Vec<_> = events
            .iter()
            .filter(|event| match event {
                Event::LayerStarted { layer }
                | Event::LayerProgress { layer, .. }
                | Event::LayerFinished { layer, .. } => *layer == number,
                _ => false,
            })
            .collect();
        let (first, last) = (of_layer[0], of_layer[of_layer.len() - 1]);
        assert_eq!(*first, Event::LayerStarted { layer: number });
        let expanded = tar.len() as u64;
        assert_eq!(
            *last,
            Event::LayerFinished {
                layer: number,
                expanded,
                entries: 1
            }
        );
        let mut before = 0;
        for event in &of_layer[1..of_layer.len() - 1] {
            let Event::LayerProgress { expanded, read, .. } = event else {
                panic!("{event:?}")
            };
            assert!(*expanded >= before && *read <= sizes[number]);
            before = *expanded;
        }
        assert_eq!(before, expanded, "the last progress is the whole");
    }
}
