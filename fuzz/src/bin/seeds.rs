//! Writes the seeds of every target into `corpus/TARGET/`: `cargo run --bin seeds`.

use std::fs;
use std::path::Path;

#[path = "../../../oci-flatten/tests/checks/seeds.rs"]
mod layers;
#[path = "../../../ext4-writer/tests/checks/seeds.rs"]
mod trees;

fn main() -> std::io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for target in [
        "layer_stream",
        "layer_stack",
        "tar_differential",
        "image_documents",
        "tree_to_image",
        "tar_to_image",
    ] {
        let directory = corpus.join(target);
        fs::create_dir_all(&directory)?;
        for (name, bytes) in layers::of(target).into_iter().chain(trees::of(target)) {
            fs::write(directory.join(name), bytes)?;
        }
    }
    Ok(())
}
