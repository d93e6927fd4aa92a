//! Mending what keeps a cache from being opened, and removing what does not belong there.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::index::{DamagedIndex, descriptor_of, digest_of, manifests_of};
use super::{
    ALGORITHMS, Cache, DOCUMENT_LIMIT, EMPTY_INDEX, INDEX_FILE, LAYOUT, LAYOUT_FILE, LAYOUT_LIMIT,
};
use crate::digest::Digest;
use crate::directory::{Directory, Entry, FileKind};
use crate::error::{Error, Result};
use crate::lock::Waiter;

/// Something that was mended or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repair {
    /// Where, from the cache's folder.
    pub path: PathBuf,
    /// What was found there, and what was done.
    pub outcome: String,
}

impl Cache {
    /// Opens the cache in `root` when there is one, after mending what keeps other commands from using it: a
    /// damaged `oci-layout` or `index.json`, and links, pipes or other things among the blobs.
    ///
    /// Of an index that cannot be read, the names are lost; the images go by their digests from then on.
    ///
    /// # Errors
    ///
    /// As [`open_as`](Self::open_as).
    pub fn repair(root: impl AsRef<Path>, waiter: Waiter) -> Result<Option<(Self, Vec<Repair>)>> {
        let root = root.as_ref();
        let failed = |error| Error::io(format!("repair cache {}", root.display()), error);
        let directory = match Directory::open(root) {
            Ok(directory) if directory.contains(LAYOUT_FILE).map_err(failed)? => directory,
            Ok(_) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut repairs = Vec::new();
        let lock = directory.reopen().map_err(failed)?;
        waiter.lock(&lock, root)?;
        mend_folders(&directory, &mut repairs).map_err(failed)?;
        mend_layout(&directory, &mut repairs).map_err(failed)?;
        drop(lock);
        let cache = Self::open_as(root, waiter)?;
        let lock = cache.lock()?;
        remove_foreign(&cache.root, &mut repairs).map_err(failed)?;
        cache.mend_index(&mut repairs)?;
        drop(lock);
        Ok(Some((cache, repairs)))
    }

    /// Drops entries that stand for nothing, or makes the whole index anew.
    fn mend_index(&self, repairs: &mut Vec<Repair>) -> Result<()> {
        let mut index = match self.read_index() {
            Ok(index) => index,
            Err(error)
                if std::error::Error::source(&error)
                    .is_some_and(|cause| cause.is::<DamagedIndex>()) =>
            {
                let entries = self.list_top_documents()?;
                let count = entries.len();
                let mut index: Value = serde_json::from_slice(EMPTY_INDEX).unwrap_or_default();
                index["manifests"] = json!(entries);
                let removed = self.root.remove(INDEX_FILE);
                removed.map_err(|error| self.failed("remove", INDEX_FILE, error))?;
                self.write_index(&index)?;
                repairs.push(Repair {
                    path: INDEX_FILE.into(),
                    outcome: format!("{error}; made anew, with {count} images by their digests"),
                });
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let manifests = manifests_of(&mut index);
        let before = manifests.len();
        manifests.retain(|manifest| digest_of(manifest).is_some());
        let dropped = before - manifests.len();
        if dropped > 0 {
            self.write_index(&index)?;
            repairs.push(Repair {
                path: INDEX_FILE.into(),
                outcome: format!("{dropped} entries without a digest, removed"),
            });
        }
        Ok(())
    }

    /// Index entries for every manifest and index among the blobs that no other one refers to.
    fn list_top_documents(&self) -> Result<Vec<Value>> {
        let mut entries = Vec::new();
        let mut inner = BTreeSet::new();
        for (digest, facts) in self.list_blobs()? {
            if facts.length > DOCUMENT_LIMIT {
                continue;
            }
            let Some(bytes) = self.peek(&digest)? else {
                continue;
            };
            if let Some(entry) = descriptor_of(&digest, &bytes) {
                entries.push((digest.clone(), entry));
                inner.extend(self.children(&digest)?.documents);
            }
        }
        entries.retain(|(digest, _)| !inner.contains(digest));
        Ok(entries.into_iter().map(|(_, entry)| entry).collect())
    }
}

/// Removes what is in the place of a folder.
fn mend_folders(root: &Directory, repairs: &mut Vec<Repair>) -> io::Result<()> {
    for name in ["blobs", "ingest"] {
        remove_unless(
            root,
            name.as_ref(),
            FileKind::Directory,
            Path::new(""),
            repairs,
        )?;
    }
    let blobs = root.directory_or_create("blobs")?;
    for algorithm in ALGORITHMS {
        let name = OsStr::new(algorithm.name());
        remove_unless(
            &blobs,
            name,
            FileKind::Directory,
            Path::new("blobs"),
            repairs,
        )?;
    }
    Ok(())
}

/// Writes `oci-layout` anew where it cannot be read. One of another version is left alone.
fn mend_layout(root: &Directory, repairs: &mut Vec<Repair>) -> io::Result<()> {
    let found = root.read(LAYOUT_FILE, LAYOUT_LIMIT).ok();
    let layout = found.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    let version = layout
        .as_ref()
        .and_then(|layout| layout.get("imageLayoutVersion"));
    if version.is_some_and(Value::is_string) {
        return Ok(());
    }
    root.remove(LAYOUT_FILE)?;
    root.replace(LAYOUT_FILE, LAYOUT)?;
    repairs.push(Repair {
        path: LAYOUT_FILE.into(),
        outcome: "damaged, written anew".into(),
    });
    Ok(())
}

/// Removes what is among the blobs and the arriving blobs and cannot be one.
fn remove_foreign(root: &Directory, repairs: &mut Vec<Repair>) -> io::Result<()> {
    let blobs = root.directory("blobs")?;
    for algorithm in ALGORITHMS {
        let folder = match blobs.directory(algorithm.name()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened?,
        };
        let place = Path::new("blobs").join(algorithm.name());
        let is_ours = |entry: &Entry| {
            let hex = entry.name.to_string_lossy();
            let digest = format!("{}:{hex}", algorithm.name()).parse::<Digest>();
            entry.facts.kind == FileKind::File && digest.is_ok()
        };
        sweep(&folder, &place, is_ours, repairs)?;
    }
    let is_ours = |entry: &Entry| {
        let name = entry.name.to_string_lossy();
        let stem = name.strip_suffix(".part").unwrap_or_default();
        let digest = stem.replacen('-', ":", 1).parse::<Digest>();
        entry.facts.kind == FileKind::File && entry.facts.links == 1 && digest.is_ok()
    };
    sweep(
        &root.directory("ingest")?,
        Path::new("ingest"),
        is_ours,
        repairs,
    )
}

fn sweep(
    folder: &Directory,
    place: &Path,
    is_ours: impl Fn(&Entry) -> bool,
    repairs: &mut Vec<Repair>,
) -> io::Result<()> {
    for entry in folder.entries()? {
        if !is_ours(&entry) {
            folder.remove(&entry.name)?;
            repairs.push(Repair {
                path: place.join(&entry.name),
                outcome: format!("{}, removed", entry.facts.kind),
            });
        }
    }
    Ok(())
}

fn remove_unless(
    folder: &Directory,
    name: &OsStr,
    kind: FileKind,
    place: &Path,
    repairs: &mut Vec<Repair>,
) -> io::Result<()> {
    match folder.facts(name) {
        Ok(facts) if facts.kind != kind => {
            folder.remove(name)?;
            repairs.push(Repair {
                path: place.join(name),
                outcome: format!("{}, removed", facts.kind),
            });
            Ok(())
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
