//! Where a reference is asked for, by the rules of containers-registries.conf(5).

#![allow(clippy::unwrap_used, reason = "tests may")]

use oci_flatten::error::ErrorKind;
use oci_flatten::reference::Reference;
use oci_flatten::registry::RegistryRules;

const RULES: &str = r#"
unqualified-search-registries = ["example.com"]
short-name-mode = "enforcing"

[[registry]]
prefix = "example.com/foo"
location = "internal.example.net/bar"
[[registry.mirror]]
location = "mirror-0.local/mirror-for-foo"
[[registry.mirror]]
location = "mirror-1.local:5000/mirrors/foo/"
insecure = true

[[registry]]
location = "registry.com"
[[registry.mirror]]
location = "mirror.registry.com"
pull-from-mirror = "digest-only"
[[registry.mirror]]
location = "tags.registry.com"
pull-from-mirror = "tag-only"

[[registry]]
prefix = "docker.io"
mirror-by-digest-only = true
[[registry.mirror]]
location = "hub.local/cache"

[[registry]]
prefix = "docker.io/library/alpine"
location = "alpine.local/alpine"

[[registry]]
prefix = "*.wild.org"
location = "ignored.example"
insecure = true
[[registry.mirror]]
location = "wild.local"

[[registry]]
location = "plain.local:5000"
insecure = true

[[registry]]
prefix = "pinned.io/app:v1"
location = "other.io/app-one"

[[registry]]
prefix = "bad.example"
blocked = true
"#;

const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn locate(reference: &str) -> Result<Vec<String>, oci_flatten::error::Error> {
    let rules = RegistryRules::parse(RULES).unwrap();
    let locations = rules.locate(&Reference::parse(reference).unwrap())?;
    Ok(locations
        .iter()
        .map(|place| {
            let scheme = if place.plain_http { "http" } else { "https" };
            format!("{scheme}://{}/{}", place.domain, place.repository)
        })
        .collect())
}

#[test]
fn the_longest_prefix_decides() {
    let table: &[(&str, &[&str])] = &[
        (
            "example.com/foo/image",
            &[
                "https://mirror-0.local/mirror-for-foo/image",
                "http://mirror-1.local:5000/mirrors/foo/image",
                "https://internal.example.net/bar/image",
            ],
        ),
        (
            "example.com/food/image",
            &["https://example.com/food/image"],
        ),
        ("example.com/other", &["https://example.com/other"]),
        (
            "example.com:5000/foo/image",
            &["https://example.com:5000/foo/image"],
        ),
        (
            "registry.com/a:v1",
            &["https://tags.registry.com/a", "https://registry.com/a"],
        ),
        ("registry.com.evil/a", &["https://registry.com.evil/a"]),
        ("registry.com:444/a", &["https://registry.com:444/a"]),
        ("debian", &["https://docker.io/library/debian"]),
        ("alpine:3", &["https://alpine.local/alpine"]),
        ("alpine-git", &["https://docker.io/library/alpine-git"]),
        (
            "a.wild.org/x",
            &["https://wild.local/x", "http://a.wild.org/x"],
        ),
        (
            "a.b.wild.org:5000/x/y",
            &["https://wild.local/x/y", "http://a.b.wild.org:5000/x/y"],
        ),
        ("wild.org/x", &["https://wild.org/x"]),
        ("evilwild.org/x", &["https://evilwild.org/x"]),
        ("plain.local:5000/x", &["http://plain.local:5000/x"]),
        ("plain.local/x", &["https://plain.local/x"]),
        ("pinned.io/app:v1", &["https://other.io/app-one"]),
        ("pinned.io/app:v10", &["https://pinned.io/app"]),
        ("pinned.io/app:v2", &["https://pinned.io/app"]),
    ];
    for (reference, expected) in table {
        assert_eq!(locate(reference).unwrap(), *expected, "{reference}");
    }
    let pinned = format!("registry.com/a@{DIGEST}");
    let expected = ["https://mirror.registry.com/a", "https://registry.com/a"];
    assert_eq!(locate(&pinned).unwrap(), expected);
    let pinned = format!("debian@{DIGEST}");
    let expected = [
        "https://hub.local/cache/library/debian",
        "https://docker.io/library/debian",
    ];
    assert_eq!(locate(&pinned).unwrap(), expected);
}

#[test]
fn blocked_and_nonsensical_places_are_refused() {
    let error = locate("bad.example/x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    for location in [
        "http://x.example",
        "x.example/UPPER",
        "just-a-word",
        "x.example:port",
    ] {
        let text = format!("[[registry]]\nprefix = 'r.io'\nlocation = '{location}'");
        let rules = RegistryRules::parse(&text).unwrap();
        let outcome = rules.locate(&Reference::parse("r.io/app").unwrap());
        let error = outcome.expect_err(location);
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{location}");
        assert!(error.to_string().contains(location), "{error}");
    }
}

#[test]
fn malformed_configurations_are_refused() {
    for text in [
        "[[registry]",
        "registry = 5",
        "[[registry]]\nblocked = 'yes'",
        "[[registry]]\nmirror = [5]",
        "[[registry]]\n[[registry.mirror]]\npull-from-mirror = 'sometimes'",
    ] {
        let error = RegistryRules::parse(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}");
    }
    assert_eq!(RegistryRules::parse("").unwrap(), RegistryRules::default());
}
