//! The name of an image whose user gave none.

use std::path::Path;

use oci_flatten::reference::Reference;
use oci_flatten::source::{ImageChoice, LocalName, SourceName, TarInput};

use crate::store::Name;

/// Hexadecimal digits of a digest that become part of a name.
const DIGEST_DIGITS: usize = 12;

/// The name that an image from `source` gets: the last component of the repository or the file's stem,
/// then the tag unless it is `latest`, or the first digits of the digest. None when nothing of it can
/// be part of a name.
#[must_use]
pub fn default_name(source: &SourceName) -> Option<Name> {
    match source {
        SourceName::Registry(reference) => of_reference(reference),
        SourceName::Local(LocalName::Layout { directory, image }) => {
            joined(&stem(directory)?, image)
        }
        SourceName::Local(LocalName::OciArchive { file, image }) => {
            joined(&file_stem(file)?, image)
        }
        SourceName::Local(LocalName::DockerArchive { file, image }) => {
            let by_reference = image
                .as_deref()
                .and_then(|text| Reference::parse(text).ok());
            match by_reference {
                Some(reference) => of_reference(&reference),
                None => Name::from_free_text(&file_stem(file)?),
            }
        }
        SourceName::Local(LocalName::RootfsTar(file)) => Name::from_free_text(&file_stem(file)?),
    }
}

fn of_reference(reference: &Reference) -> Option<Name> {
    let repository = reference.repository();
    let last = repository.rsplit('/').next().unwrap_or(repository);
    let choice = match (reference.digest(), reference.tag()) {
        (Some(digest), _) => ImageChoice::Digest(digest.clone()),
        (None, Some(tag)) => ImageChoice::Tag(tag.to_owned()),
        (None, None) => ImageChoice::Only,
    };
    joined(last, &choice)
}

fn joined(stem: &str, choice: &ImageChoice) -> Option<Name> {
    match choice {
        ImageChoice::Tag(tag) if tag != "latest" => Name::from_free_text(&format!("{stem}-{tag}")),
        ImageChoice::Only | ImageChoice::Tag(_) => Name::from_free_text(stem),
        ImageChoice::Digest(digest) => {
            let digits: String = digest.hex().chars().take(DIGEST_DIGITS).collect();
            Name::from_free_text(&format!("{stem}-{digits}"))
        }
    }
}

fn file_stem(file: &TarInput) -> Option<String> {
    match file {
        TarInput::File(path) => stem(path),
        TarInput::Stdin => None,
    }
}

/// The file name without the endings of archives.
fn stem(path: &Path) -> Option<String> {
    let mut name = path.file_name()?.to_str()?;
    for ending in [".gz", ".zst", ".xz", ".bz2", ".tgz", ".tar"] {
        name = name
            .strip_suffix(ending)
            .filter(|rest| !rest.is_empty())
            .unwrap_or(name);
    }
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_source() {
        let digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        let by_digest = format!("ghcr.io/org/app@{digest}");
        let tag_and_digest = format!("ghcr.io/org/app:v1@{digest}");
        for (source, name) in [
            ("debian:bookworm", Some("debian-bookworm")),
            ("debian", Some("debian")),
            ("docker://debian:latest", Some("debian")),
            ("ghcr.io/org/app:v1.2", Some("app-v1.2")),
            ("127.0.0.1:5000/a/b:tag", Some("b-tag")),
            (by_digest.as_str(), Some("app-0123456789ab")),
            (tag_and_digest.as_str(), Some("app-0123456789ab")),
            ("img:A", Some("img-a")),
            ("img:B", Some("img-b")),
            ("oci:images/debian-min", Some("debian-min")),
            ("oci:images/debian-min:v2", Some("debian-min-v2")),
            ("oci-archive:/tmp/My_App.tar:latest", Some("my_app")),
            ("docker-archive:/tmp/saved.tar", Some("saved")),
            ("docker-archive:/tmp/saved.tar:org/app:v3", Some("app-v3")),
            ("tar:/tmp/rootfs.tar.gz", Some("rootfs")),
            ("tar:-", None),
        ] {
            let source = SourceName::parse(source).unwrap();
            let made = default_name(&source);
            assert_eq!(made.as_ref().map(Name::as_str), name, "{source}");
        }
    }
}
