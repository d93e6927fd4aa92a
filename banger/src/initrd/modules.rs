//! Which modules of a kernel go into an initrd, and in which order they are loaded.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use banger_init::WANTED_MODULES;

use super::modinfo::{self, ModuleInfo, kernel_name};
use crate::error::{Error, ErrorKind};
use crate::kernel::ModuleDirectory;

/// Bytes of all modules together: a hundred times what they take.
const TOTAL_LIMIT: usize = 256 << 20;

/// A module in an initrd.
#[derive(Debug)]
pub(super) struct Module {
    /// Its name, as the kernel writes it.
    pub(super) name: String,
    /// Its ELF file, decompressed.
    pub(super) bytes: Vec<u8>,
}

/// The modules that the machine's disk, network, console, clock and entropy take, each behind those that it
/// depends on. What the kernel has built in, or has not at all, is not among them.
pub(super) fn collect(directory: &Path) -> Result<Vec<Module>, Error> {
    let directory = ModuleDirectory::open(directory)?;
    let mut collection = Collection {
        directory: &directory,
        dependencies: directory.dependencies()?,
        reached: BTreeSet::new(),
        modules: Vec::new(),
        total: 0,
    };
    for wanted in WANTED_MODULES {
        collection.add(wanted)?;
    }
    Ok(collection.modules)
}

struct Collection<'a> {
    directory: &'a ModuleDirectory,
    /// What `modules.dep` says, where there is one.
    dependencies: BTreeMap<String, Vec<String>>,
    reached: BTreeSet<String>,
    modules: Vec<Module>,
    total: usize,
}

/// What is still to be done, without recursion: a chain of modules can be long.
enum Work {
    Visit(String),
    Load(Module),
}

impl Collection<'_> {
    fn add(&mut self, wanted: &str) -> Result<(), Error> {
        let mut waiting = vec![Work::Visit(kernel_name(wanted))];
        while let Some(work) = waiting.pop() {
            match work {
                Work::Load(module) => self.modules.push(module),
                Work::Visit(name) => {
                    if self.reached.insert(name.clone()) {
                        self.visit(&name, &mut waiting)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn visit(&mut self, name: &str, waiting: &mut Vec<Work>) -> Result<(), Error> {
        let Some(path) = self.directory.file(name) else {
            // Some names stand for several modules: "crc32c" for crc32c_generic and crc32c_intel.
            if !self.directory.is_built_in(name) {
                let variants = self.directory.variants(name);
                waiting.extend(variants.into_iter().rev().map(Work::Visit));
            }
            return Ok(());
        };
        let (bytes, info) = self.read(&path)?;
        let after = info.after.into_iter().rev();
        waiting.extend(after.map(Work::Visit));
        waiting.push(Work::Load(Module {
            name: name.to_owned(),
            bytes,
        }));
        // The last one pushed is the first one loaded.
        let listed = self.dependencies.get(name).cloned();
        waiting.extend(info.before.into_iter().rev().map(Work::Visit));
        waiting.extend(
            listed
                .unwrap_or(info.depends)
                .into_iter()
                .rev()
                .map(Work::Visit),
        );
        Ok(())
    }

    fn read(&mut self, path: &Path) -> Result<(Vec<u8>, ModuleInfo), Error> {
        let bytes = self.directory.read(path)?;
        self.total = self.total.saturating_add(bytes.len());
        if self.total > TOTAL_LIMIT {
            return Err(Error::new(
                ErrorKind::Integrity,
                format!("the modules of the initrd take more than {TOTAL_LIMIT} bytes"),
            ));
        }
        let info = modinfo::parse(&bytes).ok_or_else(|| {
            Error::new(
                ErrorKind::Integrity,
                format!("{} is not a kernel module", path.display()),
            )
        })?;
        Ok((bytes, info))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::super::modinfo::testing::module;
    use super::*;

    /// A module directory with these files and indexes.
    fn directory(files: &[(&str, &str)], indexes: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, info) in files {
            let path = folder.path().join("kernel").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let bytes = module(info);
            let bytes = match path.extension().and_then(|extension| extension.to_str()) {
                Some("gz") => {
                    let level = flate2::Compression::fast();
                    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
                    encoder.write_all(&bytes).unwrap();
                    encoder.finish().unwrap()
                }
                Some("zst") => zstd::encode_all(bytes.as_slice(), 1).unwrap(),
                _ => bytes,
            };
            fs::write(path, bytes).unwrap();
        }
        for (name, text) in indexes {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    fn collected(folder: &tempfile::TempDir) -> Vec<String> {
        let modules = collect(folder.path()).unwrap();
        assert!(
            modules
                .iter()
                .all(|module| module.bytes.starts_with(b"\x7fELF"))
        );
        modules.into_iter().map(|module| module.name).collect()
    }

    const FILES: [(&str, &str); 9] = [
        ("drivers/virtio/virtio.ko", "depends="),
        ("drivers/virtio/virtio_ring.ko.gz", "depends=virtio"),
        (
            "drivers/virtio/virtio_pci.ko.zst",
            "depends=virtio_ring,virtio",
        ),
        ("drivers/block/virtio_blk.ko", "depends=virtio-ring"),
        (
            "fs/ext4/ext4.ko",
            "depends=jbd2\nsoftdep=pre: crc32c post: post-one",
        ),
        ("fs/jbd2/jbd2.ko", "depends="),
        ("crypto/crc32c_generic.ko", "depends="),
        ("misc/post_one.ko", "depends="),
        ("sound/unrelated.ko", "depends=virtio"),
    ];

    #[test]
    fn dependencies_come_first_and_what_is_not_needed_stays_out() {
        let folder = directory(
            &FILES,
            &[("modules.builtin", "kernel/drivers/char/nvme.ko\n")],
        );
        let order = collected(&folder);
        let at = |name: &str| order.iter().position(|one| one == name).unwrap();
        assert_eq!(order.len(), 8, "{order:?}");
        assert!(at("virtio") < at("virtio_ring"));
        assert!(at("virtio_ring") < at("virtio_pci") && at("virtio_ring") < at("virtio_blk"));
        assert!(at("jbd2") < at("ext4") && at("crc32c_generic") < at("ext4"));
        assert!(at("ext4") < at("post_one"));
    }

    #[test]
    fn an_index_says_the_same_as_the_modules_themselves() {
        let index = "kernel/drivers/virtio/virtio.ko:\n\
            kernel/drivers/virtio/virtio_ring.ko.gz: kernel/drivers/virtio/virtio.ko\n\
            kernel/drivers/virtio/virtio_pci.ko.zst: kernel/drivers/virtio/virtio_ring.ko.gz kernel/drivers/virtio/virtio.ko\n\
            kernel/drivers/block/virtio_blk.ko: kernel/drivers/virtio/virtio_ring.ko.gz kernel/drivers/virtio/virtio.ko\n\
            kernel/fs/ext4/ext4.ko: kernel/fs/jbd2/jbd2.ko\nkernel/fs/jbd2/jbd2.ko:\n";
        let plain = collected(&directory(&FILES, &[]));
        assert_eq!(
            collected(&directory(&FILES, &[("modules.dep", index)])),
            plain
        );
    }

    #[test]
    fn what_is_built_in_is_not_looked_for_and_circles_end() {
        let files = [
            ("a/ext4.ko", "depends=jbd2\nsoftdep=pre: crc32c"),
            ("a/jbd2.ko", "depends=ext4"),
            ("a/crc32c_intel.ko", "depends="),
        ];
        let folder = directory(&files, &[("modules.builtin", "kernel/lib/crc32c.ko\n")]);
        assert_eq!(collected(&folder), ["jbd2", "ext4"]);
    }

    #[test]
    fn a_file_that_is_no_module_is_named() {
        let folder = directory(&[], &[("modules.builtin", "")]);
        fs::create_dir(folder.path().join("kernel")).unwrap();
        fs::write(folder.path().join("kernel/ext4.ko"), b"#!/bin/sh").unwrap();
        let error = collect(folder.path()).unwrap_err().to_string();
        assert!(error.ends_with("ext4.ko is not a kernel module"), "{error}");
    }
}
