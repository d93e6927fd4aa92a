//! Which packages a root filesystem holds, as one hash that tells two of them apart.
//!
//! The manifest is text: a line `name version architecture` a package, sorted, each once; then a line
//! `#feature:NAME` for each feature that was asked for. Its SHA-256 is what is recorded.

use std::fmt::{self, Write as _};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::boot::{RootTree, TreeKind};
use crate::error::{Error, ErrorKind};

/// The file in an image's directory that holds the hash as 64 hexadecimal digits and a newline.
pub const PACKAGES_FILE: &str = "rootfs.ext4.packages.sha256";

/// Bytes of package databases that are read into memory, all files together; a full desktop has about 10 MiB.
const DATABASE_LIMIT: u64 = 64 << 20;
/// Bytes of rpm databases that are hashed; a full desktop's has about 500 MiB.
const RPM_LIMIT: u64 = 1 << 30;
/// Packages of one root filesystem; all of Debian has some 70,000.
const PACKAGES_LIMIT: usize = 500_000;
/// The longest line of a manifest: a name, a version and an architecture.
const LINE_LIMIT: usize = 4096;

/// Where a manifest comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum PackageSource {
    /// `var/lib/dpkg/status`, and `status.d` as distroless images have it.
    Dpkg,
    /// `lib/apk/db/installed`.
    Apk,
    /// The rpm database; its files are hashed as they are.
    Rpm,
    /// A list that was given.
    List,
}

impl fmt::Display for PackageSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Dpkg => "dpkg",
            Self::Apk => "apk",
            Self::Rpm => "rpm",
            Self::List => "list",
        })
    }
}

/// What is recorded of an image's packages.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Packages {
    /// Where the manifest comes from.
    pub source: PackageSource,
    /// How many packages there are; an rpm database is not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Features that the root filesystem was made with, such as `docker`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
    /// SHA-256 of the manifest, in hexadecimal.
    pub sha256: String,
}

impl Packages {
    /// What is recorded of the packages found in `tree`; none when it has no package database.
    ///
    /// # Errors
    ///
    /// The tree cannot be read, or its database is beyond the limit.
    pub fn of_tree(tree: &dyn RootTree, features: &[String]) -> Result<Option<Self>, Error> {
        let mut databases = Databases { tree, read: 0 };
        if let Some(lines) = dpkg(&mut databases)? {
            return Ok(Some(Self::new(PackageSource::Dpkg, lines.0, features)));
        }
        if let Some(lines) = apk(&mut databases)? {
            return Ok(Some(Self::new(PackageSource::Apk, lines.0, features)));
        }
        let Some(lines) = rpm(tree)? else {
            return Ok(None);
        };
        let mut packages = Self::new(PackageSource::Rpm, lines, features);
        packages.count = None;
        Ok(Some(packages))
    }

    /// What is recorded of a list: a package a line, blank lines and comments left out, lines
    /// `#feature:NAME` taken as features.
    #[must_use]
    pub fn of_list(text: &str, features: &[String]) -> Self {
        let mut features = features.to_vec();
        let mut lines = Vec::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            match line.strip_prefix('#') {
                Some(comment) => {
                    features.extend(comment.strip_prefix("feature:").map(str::to_owned));
                }
                None => lines.push(line.to_owned()),
            }
        }
        Self::new(PackageSource::List, lines, &features)
    }

    /// What [`PACKAGES_FILE`] holds.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        format!("{}\n", self.sha256).into_bytes()
    }

    fn new(source: PackageSource, mut lines: Vec<String>, features: &[String]) -> Self {
        lines.sort_unstable();
        lines.dedup();
        let mut features = features.to_vec();
        features.sort_unstable();
        features.dedup();
        let mut hash = Sha256::new();
        for line in &lines {
            hash.update(line.as_bytes());
            hash.update(b"\n");
        }
        for feature in &features {
            hash.update(b"#feature:");
            hash.update(feature.as_bytes());
            hash.update(b"\n");
        }
        Self {
            source,
            count: Some(lines.len() as u64),
            features,
            sha256: hex(&hash.finalize()),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The files of a package database, bounded together: a folder may have many names of one file.
struct Databases<'a> {
    tree: &'a dyn RootTree,
    /// Bytes that were read so far.
    read: u64,
}

impl Databases<'_> {
    /// The text of a file; none when there is no such file.
    fn text(&mut self, path: &str) -> Result<Option<String>, Error> {
        let entry = self.tree.entry(path)?;
        let Some(entry) = entry.filter(|entry| entry.kind == TreeKind::File) else {
            return Ok(None);
        };
        self.read = self.read.saturating_add(entry.size);
        if self.read > DATABASE_LIMIT {
            return Err(beyond(format!(
                "the package database is {} bytes with {path} (limit {DATABASE_LIMIT})",
                self.read
            )));
        }
        let bytes = self.tree.read_start(&entry.path, entry.size)?;
        Ok(Some(String::from_utf8(bytes).unwrap_or_else(|error| {
            String::from_utf8_lossy(error.as_bytes()).into_owned()
        })))
    }
}

fn beyond(message: String) -> Error {
    Error::new(ErrorKind::Integrity, message)
}

/// Lines of a manifest.
#[derive(Default)]
struct Lines(Vec<String>);

impl Lines {
    fn add(&mut self, name: &str, version: &str, architecture: &str) -> Result<(), Error> {
        let line = format!("{name} {version} {architecture}");
        if line.len() > LINE_LIMIT {
            let (length, start) = (line.len(), line.chars().take(40).collect::<String>());
            return Err(beyond(format!(
                "package {start:?}… takes a line of {length} bytes (limit {LINE_LIMIT})"
            )));
        }
        if self.0.len() >= PACKAGES_LIMIT {
            return Err(beyond(format!("more than {PACKAGES_LIMIT} packages")));
        }
        self.0.push(line);
        Ok(())
    }
}

fn dpkg(databases: &mut Databases<'_>) -> Result<Option<Lines>, Error> {
    let mut lines = Lines::default();
    let status = databases.text("/var/lib/dpkg/status")?;
    let mut found = status.is_some();
    if let Some(text) = status {
        dpkg_stanzas(&text, true, &mut lines)?;
    }
    let tree = databases.tree;
    let folder = "/var/lib/dpkg/status.d";
    let has_folder = tree
        .entry(folder)?
        .is_some_and(|entry| entry.kind == TreeKind::Directory);
    if has_folder {
        for name in tree.names(folder)? {
            // Next to each stanza distroless images keep the checksums of its files.
            if name.ends_with(".md5sums") {
                continue;
            }
            if let Some(text) = databases.text(&format!("{folder}/{name}"))? {
                found = true;
                dpkg_stanzas(&text, false, &mut lines)?;
            }
        }
    }
    Ok(found.then_some(lines))
}

fn dpkg_stanzas(text: &str, only_installed: bool, lines: &mut Lines) -> Result<(), Error> {
    for stanza in text.split("\n\n") {
        let field = |name: &str| {
            let mut values = stanza.lines();
            values.find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim))
        };
        let installed = field("Status").is_some_and(|status| status.ends_with(" installed"));
        if only_installed && !installed {
            continue;
        }
        if let (Some(name), Some(version)) = (field("Package"), field("Version")) {
            lines.add(name, version, field("Architecture").unwrap_or("all"))?;
        }
    }
    Ok(())
}

fn apk(databases: &mut Databases<'_>) -> Result<Option<Lines>, Error> {
    for path in ["/lib/apk/db/installed", "/usr/lib/apk/db/installed"] {
        let Some(text) = databases.text(path)? else {
            continue;
        };
        let mut lines = Lines::default();
        for stanza in text.split("\n\n") {
            let field = |name: &str| stanza.lines().find_map(|line| line.strip_prefix(name));
            if let (Some(name), Some(version)) = (field("P:"), field("V:")) {
                lines.add(name, version, field("A:").unwrap_or("noarch"))?;
            }
        }
        return Ok(Some(lines));
    }
    Ok(None)
}

/// The rpm database in whichever of its formats: a hash of the file stands for its packages.
fn rpm(tree: &dyn RootTree) -> Result<Option<Vec<String>>, Error> {
    let mut lines = Vec::new();
    let mut total = 0_u64;
    for folder in ["/usr/lib/sysimage/rpm", "/var/lib/rpm"] {
        for file in ["rpmdb.sqlite", "Packages.db", "Packages"] {
            let found = tree.entry(&format!("{folder}/{file}"))?;
            let Some(entry) = found.filter(|entry| entry.kind == TreeKind::File) else {
                continue;
            };
            total = total.saturating_add(entry.size);
            if total > RPM_LIMIT {
                let path = &entry.path;
                return Err(beyond(format!(
                    "the rpm database is {total} bytes with {path} (limit {RPM_LIMIT})"
                )));
            }
            let mut hash = Sha256::new();
            tree.read(&entry.path, entry.size, &mut |piece| hash.update(piece))?;
            lines.push(format!("{file} {}", hex(&hash.finalize())));
        }
    }
    Ok((!lines.is_empty()).then_some(lines))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::testing::MapTree;

    const STATUS: &[u8] = b"Package: zlib1g\nStatus: install ok installed\nVersion: 1:1.2\n\
        Architecture: amd64\nDescription: text\n Version: 9\n\n\
        Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n\
        Package: base-files\nStatus: install ok installed\nArchitecture: amd64\nVersion: 12\n";

    fn sha256(text: &str) -> String {
        hex(&Sha256::digest(text))
    }

    #[test]
    fn dpkg_lists_what_is_installed_sorted() {
        let tree = MapTree::default().file("/var/lib/dpkg/status", 0o644, STATUS);
        let packages = Packages::of_tree(&tree, &[]).unwrap().unwrap();
        assert_eq!(packages.source, PackageSource::Dpkg);
        assert_eq!(packages.count, Some(2));
        assert_eq!(
            packages.sha256,
            sha256("base-files 12 amd64\nzlib1g 1:1.2 amd64\n")
        );
    }

    #[test]
    fn distroless_stanzas_count_without_a_status() {
        let stanza = b"Package: tzdata\nVersion: 2024a\nArchitecture: all\n";
        let tree = MapTree::default()
            .file("/var/lib/dpkg/status.d/tzdata", 0o644, stanza)
            .file("/var/lib/dpkg/status.d/tzdata.md5sums", 0o644, b"x");
        let packages = Packages::of_tree(&tree, &[]).unwrap().unwrap();
        assert_eq!(packages.sha256, sha256("tzdata 2024a all\n"));
    }

    #[test]
    fn many_names_of_one_database_are_bounded_together() {
        let stanza = "Package: a\nVersion: 1\n\n".repeat(2_000_000);
        let mut tree = MapTree::default();
        for name in ["a", "b", "c"] {
            let path = format!("/var/lib/dpkg/status.d/{name}");
            tree = tree.file(&path, 0o644, &stanza.as_bytes()[..25 << 20]);
        }
        let error = Packages::of_tree(&tree, &[]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Integrity);
        let told = error.to_string();
        assert!(
            told.contains("500000 packages") || told.contains("(limit 67108864)"),
            "{told}"
        );
        let long = format!("Package: {}\nVersion: 1\n", "x".repeat(5000));
        let tree = MapTree::default().file("/var/lib/dpkg/status.d/a", 0o644, long.as_bytes());
        let error = Packages::of_tree(&tree, &[]).unwrap_err();
        assert!(error.to_string().contains("(limit 4096)"), "{error}");
    }

    #[test]
    fn apk_and_rpm_are_found() {
        let installed = b"C:Q1x\nP:musl\nV:1.2.5-r0\nA:x86_64\n\nP:busybox\nV:1.36\nA:x86_64\n\n";
        let apk = MapTree::default().file("/lib/apk/db/installed", 0o644, installed);
        let packages = Packages::of_tree(&apk, &[]).unwrap().unwrap();
        assert_eq!(
            packages.sha256,
            sha256("busybox 1.36 x86_64\nmusl 1.2.5-r0 x86_64\n")
        );
        let rpm = MapTree::default()
            .file("/usr/lib/sysimage/rpm/rpmdb.sqlite", 0o644, b"database")
            .link("/var/lib/rpm", "/usr/lib/sysimage/none");
        let packages = Packages::of_tree(&rpm, &[]).unwrap().unwrap();
        assert_eq!(
            (packages.source, packages.count),
            (PackageSource::Rpm, None)
        );
        assert!(
            Packages::of_tree(&MapTree::default(), &[])
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn features_are_part_of_the_hash() {
        let asked = Packages::of_list("b\na\n\n# comment\na\n", &["docker".into()]);
        assert_eq!(asked.sha256, sha256("a\nb\n#feature:docker\n"));
        assert_eq!(asked.count, Some(2));
        let listed = Packages::of_list("#feature:docker\na\nb\n", &[]);
        assert_eq!(listed, asked);
    }
}
