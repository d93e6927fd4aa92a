//! Source names: what a user types for an image.

use std::fmt;
use std::path::PathBuf;

use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::reference::Reference;

/// An image's whereabouts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceName {
    /// In a registry: `debian:bookworm`, `docker://…`.
    Registry(Reference),
    /// On this machine.
    Local(LocalName),
}

/// An image on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocalName {
    /// `oci:DIR[:TAG|@DIGEST]`: an OCI image layout.
    Layout {
        /// The directory that holds `index.json`.
        directory: PathBuf,
        /// Which of its images.
        image: ImageChoice,
    },
    /// `oci-archive:FILE[:TAG|@DIGEST]`: an OCI image layout in a tar.
    OciArchive {
        /// The tar.
        file: TarInput,
        /// Which of its images.
        image: ImageChoice,
    },
    /// `docker-archive:FILE[:REF]`: what `docker save` writes.
    DockerArchive {
        /// The tar.
        file: TarInput,
        /// Which of its images, as `NAME:TAG`.
        image: Option<String>,
    },
    /// `tar:FILE`: one plain root filesystem.
    RootfsTar(TarInput),
}

/// Which image of an OCI image layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageChoice {
    /// The only one there is.
    Only,
    /// The one whose `org.opencontainers.image.ref.name` this is.
    Tag(String),
    /// The one whose manifest or index has this digest.
    Digest(Digest),
}

/// A tar to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TarInput {
    /// A file; a pipe is as good.
    File(PathBuf),
    /// Standard input, `-`.
    Stdin,
}

impl LocalName {
    /// The path of the layout or archive; none where it is standard input.
    pub fn path_mut(&mut self) -> Option<&mut PathBuf> {
        match self {
            Self::Layout { directory, .. } => Some(directory),
            Self::OciArchive { file, .. }
            | Self::DockerArchive { file, .. }
            | Self::RootfsTar(file) => match file {
                TarInput::File(path) => Some(path),
                TarInput::Stdin => None,
            },
        }
    }
}

impl SourceName {
    /// Parses what a user typed.
    ///
    /// A name that starts with `oci:`, `oci-archive:`, `docker-archive:`, `tar:` or `docker://` is
    /// that; every other one is a registry reference. The path ends at the first colon (or at the
    /// last `@` before a digest), as with skopeo; only `tar:` takes all that follows as the path.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`].
    pub fn parse(text: &str) -> Result<Self> {
        let local = match text.split_once(':') {
            Some(("oci", rest)) => {
                let (path, image) = split_choice(text, rest)?;
                LocalName::Layout {
                    directory: path.into(),
                    image,
                }
            }
            Some(("oci-archive", rest)) => {
                let (path, image) = split_choice(text, rest)?;
                LocalName::OciArchive {
                    file: tar_input(path),
                    image,
                }
            }
            Some(("docker-archive", rest)) => {
                let (path, image) = split_path(text, rest)?;
                LocalName::DockerArchive {
                    file: tar_input(path),
                    image: image.map(Into::into),
                }
            }
            Some(("tar", rest)) => LocalName::RootfsTar(tar_input(non_empty(text, rest, "file")?)),
            _ => {
                let reference = text.strip_prefix("docker://").unwrap_or(text);
                return Reference::parse(reference)
                    .map(Self::Registry)
                    .map_err(|error| {
                        Error::new(ErrorKind::InvalidInput, error.to_string())
                            .context(escaped(text))
                    });
            }
        };
        Ok(Self::Local(local))
    }
}

fn split_choice<'a>(text: &str, rest: &'a str) -> Result<(&'a str, ImageChoice)> {
    if let Some((path, digest)) = rest.rsplit_once('@')
        && is_meant_as_digest(digest)
    {
        let digest = digest.parse::<Digest>();
        let digest = digest.map_err(|error| error.context(escaped(text)))?;
        return Ok((non_empty(text, path, "path")?, ImageChoice::Digest(digest)));
    }
    let (path, tag) = split_path(text, rest)?;
    Ok((
        path,
        tag.map_or(ImageChoice::Only, |tag| ImageChoice::Tag(tag.into())),
    ))
}

/// Whether what follows an `@` starts as a digest does, with the name of an algorithm.
fn is_meant_as_digest(text: &str) -> bool {
    let Some((algorithm, _)) = text.split_once(':') else {
        return false;
    };
    let algorithm = algorithm.to_ascii_lowercase();
    ["sha", "md5", "blake"]
        .iter()
        .any(|name| algorithm.starts_with(name))
}

fn split_path<'a>(text: &str, rest: &'a str) -> Result<(&'a str, Option<&'a str>)> {
    match rest.split_once(':') {
        None => Ok((non_empty(text, rest, "path")?, None)),
        Some((path, image)) => Ok((
            non_empty(text, path, "path")?,
            Some(non_empty(text, image, "tag")?),
        )),
    }
}

fn non_empty<'a>(text: &str, part: &'a str, what: &str) -> Result<&'a str> {
    if part.is_empty() {
        let message = format!("source name has an empty {what}: {}", escaped(text));
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    Ok(part)
}

fn tar_input(path: &str) -> TarInput {
    match path {
        "-" => TarInput::Stdin,
        path => TarInput::File(path.into()),
    }
}

fn escaped(text: &str) -> impl fmt::Display {
    text.escape_debug()
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(reference) => reference.fmt(f),
            Self::Local(name) => name.fmt(f),
        }
    }
}

impl fmt::Display for LocalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Layout { directory, image } => write!(f, "oci:{}{image}", directory.display()),
            Self::OciArchive { file, image } => write!(f, "oci-archive:{file}{image}"),
            Self::DockerArchive { file, image: None } => write!(f, "docker-archive:{file}"),
            Self::DockerArchive {
                file,
                image: Some(image),
            } => {
                write!(f, "docker-archive:{file}:{image}")
            }
            Self::RootfsTar(file) => write!(f, "tar:{file}"),
        }
    }
}

impl fmt::Display for ImageChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Only => Ok(()),
            Self::Tag(tag) => write!(f, ":{tag}"),
            Self::Digest(digest) => write!(f, "@{digest}"),
        }
    }
}

impl fmt::Display for TarInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Stdin => f.write_str("-"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn parses_every_form_and_prints_it_back() {
        let digest = ImageChoice::Digest(DIGEST.parse().unwrap());
        let tag = |tag: &str| ImageChoice::Tag(tag.into());
        let file = |path: &str| TarInput::File(path.into());
        let layout = |directory: &str, image| LocalName::Layout {
            directory: directory.into(),
            image,
        };
        let oci = |file, image| LocalName::OciArchive { file, image };
        let docker = |file, image: Option<&str>| LocalName::DockerArchive {
            file,
            image: image.map(Into::into),
        };
        for (text, name) in [
            ("oci:dir", layout("dir", ImageChoice::Only)),
            ("oci:/a/b:v1", layout("/a/b", tag("v1"))),
            ("oci:a@b", layout("a@b", ImageChoice::Only)),
            ("oci:a@b:v1", layout("a@b", tag("v1"))),
            (
                "oci:dir:docker.io/library/x:v1",
                layout("dir", tag("docker.io/library/x:v1")),
            ),
            (&format!("oci:dir@{DIGEST}"), layout("dir", digest.clone())),
            ("oci-archive:x.tar", oci(file("x.tar"), ImageChoice::Only)),
            ("oci-archive:-:v1", oci(TarInput::Stdin, tag("v1"))),
            (
                &format!("oci-archive:x.tar@{DIGEST}"),
                oci(file("x.tar"), digest),
            ),
            ("docker-archive:x.tar", docker(file("x.tar"), None)),
            ("docker-archive:-", docker(TarInput::Stdin, None)),
            (
                "docker-archive:x.tar:a/b:c",
                docker(file("x.tar"), Some("a/b:c")),
            ),
            ("tar:a:b.tar", LocalName::RootfsTar(file("a:b.tar"))),
            ("tar:-", LocalName::RootfsTar(TarInput::Stdin)),
        ] {
            let parsed = SourceName::parse(text).unwrap();
            assert_eq!(parsed, SourceName::Local(name), "{text}");
            assert_eq!(parsed.to_string(), text);
        }
        for text in [
            "debian:bookworm",
            "docker://debian:bookworm",
            "docker://oci:v1",
            "ocii:v1",
        ] {
            assert!(
                matches!(SourceName::parse(text), Ok(SourceName::Registry(_))),
                "{text}"
            );
        }
    }

    #[test]
    fn refuses_what_names_nothing() {
        for text in [
            "",
            "oci:",
            "oci::v1",
            "oci:dir:",
            "oci-archive:",
            "docker-archive:",
            "tar:",
            "A B",
            "oci:dir@sha256:abc",
            "oci:dir@sha256:",
            "oci:dir@SHA256:abc",
            "oci:dir@md5:d41d8cd98f00b204e9800998ecf8427e",
            "oci-archive:x.tar@sha256:abc",
        ] {
            let error = SourceName::parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}");
        }
    }
}
