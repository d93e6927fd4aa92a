//! Platforms: operating system, architecture, variant; how they are written, matched and ranked.
//!
//! Names follow Go's `GOOS` and `GOARCH`, as
//! [image-index.md](https://github.com/opencontainers/image-spec/blob/main/image-index.md) says.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, excerpt};

/// An operating system, an architecture and perhaps a variant, in normal form.
///
/// The normal form folds synonyms (`x86_64` is `amd64`, `aarch64` is `arm64`) and drops a variant
/// that says nothing (`arm64/v8`, `amd64/v1`); `arm` without a variant is `arm/v7`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform {
    os: Box<str>,
    architecture: Box<str>,
    variant: Option<Box<str>>,
}

impl Platform {
    /// A platform in normal form. Who names an architecture alone means Linux: engines take the system of their host.
    #[must_use]
    pub fn new(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        let os = match os.to_ascii_lowercase().as_str() {
            "macos" => "darwin".into(),
            "" if !architecture.is_empty() => "linux".into(),
            other => other.into(),
        };
        let architecture = architecture.to_ascii_lowercase();
        let variant = variant
            .map(str::to_ascii_lowercase)
            .filter(|text| !text.is_empty());
        let (architecture, variant) = match (architecture.as_str(), variant.as_deref()) {
            ("i386" | "i486" | "i586" | "i686" | "x86", _) => ("386", None),
            ("x86_64" | "x86-64" | "amd64", Some("v1") | None) => ("amd64", None),
            ("x86_64" | "x86-64", Some(variant)) => ("amd64", Some(variant)),
            ("aarch64" | "arm64", Some("8" | "v8") | None) => ("arm64", None),
            ("aarch64", Some(variant)) => ("arm64", Some(variant)),
            ("armhf", _) => ("arm", Some("v7")),
            ("armel", _) => ("arm", Some("v6")),
            ("arm", Some("" | "7") | None) => ("arm", Some("v7")),
            ("arm", Some("5")) => ("arm", Some("v5")),
            ("arm", Some("6")) => ("arm", Some("v6")),
            ("arm", Some("8")) => ("arm", Some("v8")),
            ("loongarch64", variant) => ("loong64", variant),
            ("powerpc64le", variant) => ("ppc64le", variant),
            other => other,
        };
        Self {
            os,
            architecture: architecture.into(),
            variant: variant.map(Into::into),
        }
    }

    /// `linux/` and the architecture this library was built for.
    #[must_use]
    pub fn linux_here() -> Self {
        Self::new("linux", std::env::consts::ARCH, None)
    }

    /// The operating system, such as `linux`.
    #[must_use]
    pub fn os(&self) -> &str {
        &self.os
    }

    /// The architecture, such as `amd64`.
    #[must_use]
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// The variant, such as `v7`.
    #[must_use]
    pub fn variant(&self) -> Option<&str> {
        self.variant.as_deref()
    }

    /// How well an image for `offered` runs where `self` is wanted: 0 is exact, higher is further
    /// below, `None` does not run.
    ///
    /// A variant falls back to lower ones of the same architecture (arm v8 → v7 → v6 → v5, amd64
    /// v3 → v2 → v1), never upwards and never to another architecture: a 32-bit image on a 64-bit
    /// kernel is asked for by name. When `arm64` or `amd64` is wanted without a variant, only the
    /// baseline runs everywhere.
    #[must_use]
    pub fn distance(&self, offered: &Self) -> Option<u32> {
        if self.os != offered.os || self.architecture != offered.architecture {
            return None;
        }
        if self.variant == offered.variant {
            return Some(0);
        }
        self.level()?.checked_sub(offered.level()?)
    }

    /// The variant as a number, where variants of the architecture are ordered.
    fn level(&self) -> Option<u32> {
        let baseline = match &*self.architecture {
            "amd64" => 1,
            "arm64" => 80,
            "arm" => 7,
            _ => return None,
        };
        let Some(variant) = &self.variant else {
            return Some(baseline);
        };
        let number = variant.strip_prefix('v')?;
        if &*self.architecture != "arm64" {
            return number.parse().ok().filter(|level| *level < 100);
        }
        // v8.2 is 82, and v9 stands on v8.5.
        let (major, minor) = number.split_once('.').unwrap_or((number, "0"));
        match (
            major,
            minor.parse::<u32>().ok().filter(|minor| *minor < 10)?,
        ) {
            ("8", minor) => Some(80 + minor),
            ("9", minor) => Some(85 + minor),
            _ => None,
        }
    }

    /// Whether neither an operating system nor an architecture is known, as attestations say.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        let unknown = |text: &str| text.is_empty() || text == "unknown";
        unknown(&self.os) && unknown(&self.architecture)
    }
}

impl FromStr for Platform {
    type Err = Error;

    /// Parses `os/arch` or `os/arch/variant`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let parts: Vec<&str> = text.split('/').collect();
        let plain = |part: &&str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
        };
        match parts.as_slice() {
            [os, architecture] if parts.iter().all(plain) => Ok(Self::new(os, architecture, None)),
            [os, architecture, variant] if parts.iter().all(plain) => {
                Ok(Self::new(os, architecture, Some(variant)))
            }
            _ => Err(Error::new(
                ErrorKind::InvalidInput,
                format!("platform is not os/arch[/variant]: {}", excerpt(text)),
            )),
        }
    }
}

/// As `os/arch[/variant]`; escaped, and cut where a part is too long to be honest.
impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", excerpt(&self.os), excerpt(&self.architecture))?;
        match &self.variant {
            Some(variant) => write!(f, "/{}", excerpt(variant)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        text.parse().unwrap()
    }

    #[test]
    fn folds_synonyms_into_one_normal_form() {
        for (text, normal) in [
            ("linux/x86_64", "linux/amd64"),
            ("Linux/AMD64/v1", "linux/amd64"),
            ("linux/amd64/v3", "linux/amd64/v3"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm64/v9", "linux/arm64/v9"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/armhf", "linux/arm/v7"),
            ("linux/armel", "linux/arm/v6"),
            ("linux/arm/6", "linux/arm/v6"),
            ("linux/i686", "linux/386"),
            ("linux/riscv64", "linux/riscv64"),
            ("macos/arm64", "darwin/arm64"),
        ] {
            assert_eq!(platform(text).to_string(), normal, "{text}");
        }
    }

    #[test]
    fn refuses_what_is_not_a_platform() {
        for text in [
            "",
            "linux",
            "linux/",
            "/amd64",
            "linux//v8",
            "linux/a/b/c",
            "linux/a b",
        ] {
            let error = text.parse::<Platform>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}");
        }
    }

    #[test]
    fn variants_fall_back_downwards_only() {
        for (wanted, offered, distance) in [
            ("linux/arm/v7", "linux/arm", Some(0)),
            ("linux/arm/v8", "linux/arm/v7", Some(1)),
            ("linux/arm/v8", "linux/arm/v6", Some(2)),
            ("linux/arm/v6", "linux/arm/v7", None),
            ("linux/amd64", "linux/amd64/v2", None),
            ("linux/amd64/v3", "linux/amd64", Some(2)),
            ("linux/amd64/v3", "linux/amd64/v2", Some(1)),
            ("linux/arm64", "linux/arm64/v8", Some(0)),
            ("linux/arm64/v9", "linux/arm64", Some(5)),
            ("linux/arm64", "linux/arm/v7", None),
            ("linux/amd64", "linux/386", None),
            ("linux/amd64", "windows/amd64", None),
            ("linux/riscv64", "linux/riscv64", Some(0)),
            ("linux/riscv64/rva23", "linux/riscv64", None),
        ] {
            let found = platform(wanted).distance(&platform(offered));
            assert_eq!(found, distance, "{offered} for {wanted}");
        }
    }
}
