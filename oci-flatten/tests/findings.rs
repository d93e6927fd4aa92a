//! What fuzzing found, replayed: every file in `checks/findings/TARGET/` goes through that target's check, and so do the
//! seeds that fuzzing starts from.

#![expect(clippy::print_stdout, reason = "a failing file is told by name")]

use std::fs;
use std::path::Path;

mod checks {
    pub(crate) mod image_documents;
    pub(crate) mod layer_stack;
    pub(crate) mod layer_stream;
    #[path = "../../tar/tests/checks/repair.rs"]
    mod repair;
    pub(crate) mod seeds;
}

use checks::{image_documents, layer_stack, layer_stream, seeds};

fn replay(target: &str, check: impl Fn(&[u8])) {
    for (name, seed) in seeds::of(target) {
        println!("{target}: seed {name}");
        check(&seed);
    }
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/checks/findings")
        .join(target);
    let Ok(files) = fs::read_dir(directory) else {
        return;
    };
    for file in files {
        let path = file.expect("directory is readable").path();
        println!("{target}: {}", path.display());
        check(&fs::read(path).expect("finding is readable"));
    }
}

#[test]
fn layer_stream() {
    replay("layer_stream", layer_stream::check);
}

#[test]
fn layer_stack() {
    replay("layer_stack", layer_stack::check);
}

#[test]
fn image_documents() {
    replay("image_documents", image_documents::check);
}

/// Seeds that only ever led to errors would check little.
#[test]
fn seeds_lead_to_images() {
    let seeds = seeds::of("image_documents");
    let lead = seeds
        .iter()
        .filter(|(_, seed)| image_documents::leads_to_an_image(seed));
    let names: Vec<_> = lead.map(|(name, _)| &name[..]).collect();
    assert_eq!(
        names,
        [
            "manifest",
            "index",
            "index-without-platform",
            "nested",
            "docker"
        ]
    );
}
