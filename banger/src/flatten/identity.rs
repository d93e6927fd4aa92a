//! The UUID of an image's filesystem: one for the same bytes, another for others.

use oci_flatten::digest::Digest;
use uuid::Uuid;

use super::{FsFeature, Options, Profile};

/// The name-based UUID (version 5) of the digest as a URN.
///
/// What makes the filesystem another than the one that the image gives by default follows the digest as a query, since two
/// filesystems of one UUID are a conflict for udev and overlayfs: `sha256:…?profile=read-only&label=root`. Only what had
/// an effect counts.
pub(super) fn uuid_of(digest: &Digest, options: &Options, effects: &Effects) -> Uuid {
    let mut name = digest.as_str().to_owned();
    let mut separator = '?';
    for (key, value) in differences(options, effects) {
        name.push(separator);
        name.push_str(key);
        if let Some(value) = value {
            name.push('=');
            name.push_str(&value);
        }
        separator = '&';
    }
    Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes())
}

/// What options that need not change anything did change.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Effects {
    /// The size in bytes, where it is not the one that the image gets by default.
    pub(super) size: Option<u64>,
    /// Whether a device was left out.
    pub(super) without_devices: bool,
    /// Whether an SELinux label was left out.
    pub(super) without_selinux: bool,
}

/// The label comes last, as it may hold what separates the others.
fn differences(options: &Options, effects: &Effects) -> Vec<(&'static str, Option<String>)> {
    let mut list = Vec::new();
    if let Profile::ReadOnly { verity } = options.profile {
        list.push(("profile", Some("read-only".to_owned())));
        list.extend(verity.then_some(("verity", None)));
    }
    list.extend(effects.size.map(|size| ("size", Some(size.to_string()))));
    for feature in FsFeature::ALL {
        if options.features.contains(&feature) {
            list.push(("feature", Some(feature.name().to_owned())));
        }
    }
    list.extend(effects.without_devices.then_some(("nodev", None)));
    list.extend(
        effects
            .without_selinux
            .then_some(("no-selinux-xattr", None)),
    );
    if let Some(label) = options.label.as_ref().filter(|label| !label.is_empty()) {
        list.push(("label", Some(label.clone())));
    }
    list
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn every_difference_has_a_uuid_of_its_own() {
        let digest: Digest = format!("sha256:{}", "7".repeat(64)).parse().unwrap();
        let plain = Options::default();
        let none = Effects::default();
        let label = |label: &str| Options {
            label: Some(label.into()),
            ..Options::default()
        };
        let features = |features: &[FsFeature]| Options {
            features: features.to_vec(),
            ..Options::default()
        };
        let profile = |verity| Options {
            profile: Profile::ReadOnly { verity },
            ..Options::default()
        };
        let cases = [
            ("plain", plain.clone(), none),
            ("label", label("a"), none),
            ("label like a size", label("&size=4096"), none),
            ("profile", profile(false), none),
            ("verity", profile(true), none),
            ("seed", features(&[FsFeature::MetadataCsumSeed]), none),
            ("both", features(&FsFeature::ALL), none),
            (
                "size",
                plain.clone(),
                Effects {
                    size: Some(4096),
                    ..none
                },
            ),
            (
                "devices",
                plain.clone(),
                Effects {
                    without_devices: true,
                    ..none
                },
            ),
            (
                "selinux",
                plain.clone(),
                Effects {
                    without_selinux: true,
                    ..none
                },
            ),
        ];
        let mut seen = BTreeMap::new();
        for (name, options, effects) in cases {
            let uuid = uuid_of(&digest, &options, &effects);
            if let Some(other) = seen.insert(uuid, name) {
                panic!("{name} and {other} share {uuid}");
            }
        }
        let of_digest = Uuid::new_v5(&Uuid::NAMESPACE_URL, digest.as_str().as_bytes());
        assert_eq!(seen[&of_digest], "plain");
        // Without an effect, and said twice, options are the default's or the same.
        let idle = Options {
            skip_devices: true,
            skip_selinux: true,
            size: Some(1 << 30),
            ..label("")
        };
        assert_eq!(uuid_of(&digest, &idle, &none), of_digest);
        let twice = [
            FsFeature::OrphanFile,
            FsFeature::MetadataCsumSeed,
            FsFeature::OrphanFile,
        ];
        assert_eq!(seen[&uuid_of(&digest, &features(&twice), &none)], "both");
    }
}
