//! Content digests: `sha256:…`, `sha384:…`, `sha512:…`.
//!
//! The grammar and the registered algorithms are those of the OCI image specification,
//! [descriptor.md](https://github.com/opencontainers/image-spec/blob/main/descriptor.md#digests).

use std::fmt;
use std::str::FromStr;

use sha2::Digest as _;

use crate::error::{Error, ErrorKind, excerpt};

/// A registered digest algorithm.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// SHA-256, the canonical one.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// The name before the colon.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// The count of lower-case hex digits after the colon.
    #[must_use]
    pub const fn hex_length(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha384 => 96,
            Self::Sha512 => 128,
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Sha256, Self::Sha384, Self::Sha512]
            .into_iter()
            .find(|known| known.name() == name)
    }
}

/// A validated digest: a known algorithm and exactly its count of lower-case hex digits.
///
/// That makes both parts safe as file names.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    algorithm: Algorithm,
    text: Box<str>,
}

impl Digest {
    /// The SHA-256 of `bytes`.
    #[must_use]
    pub fn sha256(bytes: &[u8]) -> Self {
        Self::of(Algorithm::Sha256, bytes)
    }

    /// The digest of `bytes`.
    #[must_use]
    pub fn of(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    /// The algorithm.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The lower-case hex digits.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.text[self.algorithm.name().len() + 1..]
    }

    /// The whole text, `algorithm:hex`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// A hasher that gives digests of this one's algorithm.
    #[must_use]
    pub fn hasher(&self) -> Hasher {
        Hasher::new(self.algorithm)
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = |why: String| Error::new(ErrorKind::InvalidInput, why);
        let (name, hex) = text.split_once(':').ok_or_else(|| {
            invalid(format!(
                "digest has no algorithm (as in sha256:…): {}",
                excerpt(text)
            ))
        })?;
        let algorithm = Algorithm::parse(name).ok_or_else(|| {
            let known = "sha256, sha384 and sha512 are known";
            invalid(format!(
                "unknown digest algorithm ({known}): {}",
                excerpt(text)
            ))
        })?;
        if hex.len() != algorithm.hex_length() {
            let (found, wanted) = (hex.len(), algorithm.hex_length());
            let name = algorithm.name();
            return Err(invalid(format!(
                "{name} digest has {found} hex digits (needs {wanted}): {}",
                excerpt(text)
            )));
        }
        if !hex
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        {
            let what = "digest holds something else than lower-case hex digits";
            return Err(invalid(format!("{what}: {}", excerpt(text))));
        }
        Ok(Self {
            algorithm,
            text: text.into(),
        })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl serde::Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> serde::Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Hashes a stream as it passes.
///
/// A clone continues from the same point, so a resumed download need not hash again what it has.
#[derive(Clone, Debug)]
pub struct Hasher(State);

#[derive(Clone, Debug)]
enum State {
    Sha256(sha2::Sha256),
    Sha384(sha2::Sha384),
    Sha512(sha2::Sha512),
}

impl Hasher {
    /// A hasher that has seen nothing.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha256 => State::Sha256(sha2::Sha256::new()),
            Algorithm::Sha384 => State::Sha384(sha2::Sha384::new()),
            Algorithm::Sha512 => State::Sha512(sha2::Sha512::new()),
        })
    }

    /// Takes in the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(state) => state.update(bytes),
            State::Sha384(state) => state.update(bytes),
            State::Sha512(state) => state.update(bytes),
        }
    }

    /// The digest of all that was taken in.
    #[must_use]
    pub fn finish(self) -> Digest {
        match self.0 {
            State::Sha256(state) => digest_of(Algorithm::Sha256, &state.finalize()),
            State::Sha384(state) => digest_of(Algorithm::Sha384, &state.finalize()),
            State::Sha512(state) => digest_of(Algorithm::Sha512, &state.finalize()),
        }
    }
}

fn digest_of(algorithm: Algorithm, hash: &[u8]) -> Digest {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(algorithm.name().len() + 1 + algorithm.hex_length());
    text.push_str(algorithm.name());
    text.push(':');
    for byte in hash {
        text.push(char::from(HEX[usize::from(byte >> 4)]));
        text.push(char::from(HEX[usize::from(byte & 15)]));
    }
    Digest {
        algorithm,
        text: text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180 example values for "abc".
    const ABC: [&str; 3] = [
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "sha384:cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed\
         8086072ba1e7cc2358baeca134c825a7",
        "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
         2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
    ];

    #[test]
    fn hashes_the_published_examples() {
        for text in ABC {
            let digest: Digest = text.parse().unwrap();
            assert_eq!(digest.as_str(), text);
            let mut hasher = digest.hasher();
            hasher.update(b"a");
            let mut clone = hasher.clone();
            hasher.update(b"bc");
            clone.update(b"bd");
            assert_eq!(hasher.finish(), digest);
            assert_ne!(clone.finish(), digest);
        }
    }

    #[test]
    fn refuses_all_that_is_not_a_registered_digest() {
        let long = format!("sha256:{}", "a".repeat(1 << 20));
        let upper = ABC[0].to_uppercase().replace("SHA256", "sha256");
        for (text, why) in [
            ("", "no algorithm"),
            (
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
                "no algorithm",
            ),
            (
                "md5:d41d8cd98f00b204e9800998ecf8427e",
                "unknown digest algorithm",
            ),
            ("SHA256:00", "unknown digest algorithm"),
            ("sha256:", "0 hex digits"),
            ("sha256:abc", "3 hex digits (needs 64)"),
            (&upper, "lower-case"),
            (&ABC[0].replace("ba78", "../."), "lower-case"),
            (
                &ABC[0].replace("sha256", "sha512"),
                "64 hex digits (needs 128)",
            ),
            (&long, "1048576 hex digits"),
        ] {
            let error = text.parse::<Digest>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.message().contains(why), "{why}: {error}");
            assert!(error.message().len() < 300, "{}", error.message().len());
        }
    }
}
