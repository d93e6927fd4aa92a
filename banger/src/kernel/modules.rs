//! A module directory (`/lib/modules/RELEASE`): its release, and which drivers it has or names as built in.

#![expect(
    clippy::disallowed_methods,
    reason = "the user names the module directory, and builds link to others"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use memchr::memmem;
use oci_flatten::compression::{Compression, DecompressOptions, Decompressor};

use super::facts::{DriverState, Drivers};
use super::scan::release_at;
use crate::artifact::{failed, open_regular};
use crate::error::{Error, ErrorKind};

/// Bytes of `modules.builtin` or `modules.dep` that are read; Debian's have about 700 KiB.
const INDEX_LIMIT: u64 = 64 << 20;
/// Bytes of a decompressed module.
const MODULE_LIMIT: u64 = 64 << 20;

/// The modules of one kernel, by name.
#[derive(Debug)]
pub(crate) struct ModuleDirectory {
    directory: PathBuf,
    built_in: BTreeSet<String>,
    files: BTreeMap<String, PathBuf>,
}

impl ModuleDirectory {
    /// Looks through a module directory.
    pub(crate) fn open(directory: &Path) -> Result<Self, Error> {
        let mut paths = Vec::new();
        each_module(directory, |path| {
            paths.push(path.to_path_buf());
            true
        })?;
        // Of two files of one module depmod takes the one in "updates".
        let is_update = |path: &PathBuf| {
            path.strip_prefix(directory)
                .is_ok_and(|path| path.starts_with("updates"))
        };
        paths.sort_by_key(|path| (is_update(path), path.clone()));
        let names = paths.into_iter().filter_map(|path| {
            let name = module_name(path.file_name()?.to_str()?)?;
            Some((name, path))
        });
        Ok(Self {
            directory: directory.to_path_buf(),
            built_in: read_index(directory, "modules.builtin")?.unwrap_or_default(),
            files: names.collect(),
        })
    }

    /// The file of a module.
    pub(crate) fn file(&self, name: &str) -> Option<PathBuf> {
        self.files.get(name).cloned()
    }

    /// Whether the kernel has it built in.
    pub(crate) fn is_built_in(&self, name: &str) -> bool {
        self.built_in.contains(name)
    }

    /// The modules whose names are this one with something behind it, such as `crc32c_intel` for `crc32c`.
    pub(crate) fn variants(&self, name: &str) -> Vec<String> {
        let prefix = format!("{name}_");
        let names = self.files.keys();
        names
            .filter(|name| name.starts_with(&prefix))
            .cloned()
            .collect()
    }

    /// What `modules.dep` says of each module; nothing where there is none.
    pub(crate) fn dependencies(&self) -> Result<BTreeMap<String, Vec<String>>, Error> {
        let text = index_text(&self.directory, "modules.dep")?.unwrap_or_default();
        let lines = text.lines().filter_map(|line| {
            let (path, needed) = line.split_once(':')?;
            // The index has what is needed last at the end, and all that is needed.
            let needed = needed.split_whitespace().rev().filter_map(module_name);
            Some((module_name(path)?, needed.collect()))
        });
        Ok(lines.collect())
    }

    /// A module's ELF file, decompressed.
    pub(crate) fn read(&self, path: &Path) -> Result<Vec<u8>, Error> {
        let told = |error| failed("read", path, error);
        let mut bytes = Vec::new();
        open_module(path)?.read_to_end(&mut bytes).map_err(told)?;
        Ok(bytes)
    }
}

/// What a module directory tells.
#[derive(Debug)]
pub(super) struct Modules {
    /// The directory itself: the one given, or the release's below it.
    pub(super) directory: PathBuf,
    /// The release its modules are made for; none when that cannot be told.
    pub(super) release: Option<String>,
    /// Where the drivers are, by this directory alone.
    pub(super) drivers: Drivers,
}

/// Reads a module directory. `given` may also be a folder that has it as `lib/modules/RELEASE` or
/// `RELEASE`, when `release` is known.
pub(super) fn read(given: &Path, release: Option<&str>) -> Result<Option<Modules>, Error> {
    let metadata = fs::metadata(given).map_err(|error| failed("read", given, error))?;
    if !metadata.is_dir() {
        return Ok(None);
    }
    let Some(directory) = locate(given, release) else {
        return Ok(None);
    };
    let built_in = read_index(&directory, "modules.builtin")?;
    let loadable = match read_index(&directory, "modules.dep")? {
        Some(names) => names,
        None => walk(&directory)?,
    };
    let state = |module: &str| {
        if built_in
            .as_ref()
            .is_some_and(|names| names.contains(module))
        {
            DriverState::BuiltIn
        } else if loadable.contains(module) {
            DriverState::Module
        } else if built_in.is_some() {
            DriverState::Absent
        } else {
            DriverState::Unknown
        }
    };
    let drivers = Drivers {
        ext4: state("ext4"),
        virtio_blk: state("virtio_blk"),
        virtio_pci: state("virtio_pci"),
        virtio_mmio: state("virtio_mmio"),
        nvme: state("nvme"),
    };
    let release = release_of(&directory)?;
    Ok(Some(Modules {
        directory,
        release,
        drivers,
    }))
}

fn locate(given: &Path, release: Option<&str>) -> Option<PathBuf> {
    let below = release.into_iter().flat_map(|release| {
        [
            given.join(release),
            given.join("lib/modules").join(release),
            given.join("usr/lib/modules").join(release),
        ]
    });
    std::iter::once(given.to_path_buf())
        .chain(below)
        .find(|path| is_module_directory(path))
}

fn is_module_directory(path: &Path) -> bool {
    ["modules.builtin", "modules.dep", "modules.order", "kernel"]
        .iter()
        .any(|entry| path.join(entry).exists())
}

/// The module names in an index: each line begins with the path of a module, ended by a colon or not.
fn read_index(directory: &Path, name: &str) -> Result<Option<BTreeSet<String>>, Error> {
    let names = |text: String| {
        let lines = text.lines();
        lines
            .filter_map(|line| module_name(line.split(':').next()?))
            .collect()
    };
    Ok(index_text(directory, name)?.map(names))
}

fn index_text(directory: &Path, name: &str) -> Result<Option<String>, Error> {
    let path = directory.join(name);
    let file = match open_regular(&path) {
        Ok((file, _)) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut text = Vec::new();
    file.take(INDEX_LIMIT)
        .read_to_end(&mut text)
        .map_err(|error| failed("read", &path, error))?;
    Ok(Some(String::from_utf8_lossy(&text).into_owned()))
}

/// The name of the module in the file at `path`, as the kernel writes it.
pub(super) fn module_name(path: &str) -> Option<String> {
    let file = path.rsplit('/').next()?;
    let (stem, _compression) = file.split_once(".ko")?;
    Some(stem.replace('-', "_"))
}

/// The modules found by looking: packages ship their directories before `depmod` has written an index.
fn walk(directory: &Path) -> Result<BTreeSet<String>, Error> {
    let mut modules = BTreeSet::new();
    each_module(directory, |path| {
        let name = path.file_name().and_then(|name| name.to_str());
        modules.extend(name.and_then(module_name));
        true
    })?;
    Ok(modules)
}

/// Shows every module file to `visit` until it returns false.
fn each_module(directory: &Path, mut visit: impl FnMut(&Path) -> bool) -> Result<(), Error> {
    let mut waiting = vec![directory.to_path_buf()];
    while let Some(folder) = waiting.pop() {
        let entries = fs::read_dir(&folder).map_err(|error| failed("read", &folder, error))?;
        for entry in entries {
            let entry = entry.map_err(|error| failed("read", &folder, error))?;
            let kind = entry
                .file_type()
                .map_err(|error| failed("read", &entry.path(), error))?;
            let is_module = entry.file_name().to_string_lossy().contains(".ko");
            if kind.is_dir() {
                waiting.push(entry.path());
            } else if kind.is_file() && is_module && !visit(&entry.path()) {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The release by the directory's name, or where it has been given another, by a module's `vermagic`.
fn release_of(directory: &Path) -> Result<Option<String>, Error> {
    let name = directory.file_name().and_then(|name| name.to_str());
    let by_name = name.and_then(|name| release_at(format!("{name}\0").as_bytes()));
    if by_name.is_some() {
        return Ok(by_name);
    }
    let mut release = None;
    let mut tries = 8;
    each_module(directory, |path| {
        tries -= 1;
        release = vermagic(path).unwrap_or_default();
        release.is_none() && tries > 0
    })?;
    Ok(release)
}

fn vermagic(module: &Path) -> Result<Option<String>, Error> {
    const KEY: &[u8] = b"vermagic=";
    let mut bytes = Vec::new();
    open_module(module)?
        .read_to_end(&mut bytes)
        .map_err(|error| failed("read", module, error))?;
    Ok(memmem::find(&bytes, KEY).and_then(|start| release_at(&bytes[start + KEY.len()..])))
}

/// The code of a module, decompressed.
fn open_module(path: &Path) -> Result<Decompressor<BufReader<File>>, Error> {
    let told = |error| failed("read", path, error);
    let (file, _) = open_regular(path)?;
    let mut reader = BufReader::new(file);
    let compression = Compression::sniff(reader.fill_buf().map_err(told)?);
    Decompressor::new(reader, compression, DecompressOptions::new(MODULE_LIMIT))
        .map_err(|error| told(error.into()))
}
