//! What fuzzing found, replayed: every file in `checks/findings/tar_differential/` is read by this reader and by its
//! peers, and so are the seeds that fuzzing starts from.

use std::fs;
use std::path::Path;

mod checks {
    mod repair;
    pub(crate) mod seeds;
    pub(crate) mod tar_differential;
}

use checks::{seeds, tar_differential};

#[test]
fn seeds_and_findings() {
    for (name, archive) in seeds::archives() {
        println!("seed {name}");
        tar_differential::check(&[vec![1], archive].concat());
    }
    let findings =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/checks/findings/tar_differential");
    for file in fs::read_dir(findings).expect("directory is readable") {
        let path = file.expect("directory is readable").path();
        println!("{}", path.display());
        tar_differential::check(&fs::read(path).expect("finding is readable"));
    }
}
