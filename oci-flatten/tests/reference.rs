//! The reference grammar, row by row.

use oci_flatten::reference::{Reference, is_loopback};
use proptest::prelude::*;

const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// `(typed, canonical)`; `{}` stands for 64 hexadecimal digits.
const VALID: &[(&str, &str)] = &[
    ("debian", "docker.io/library/debian:latest"),
    ("debian:bookworm", "docker.io/library/debian:bookworm"),
    ("library/debian", "docker.io/library/debian:latest"),
    ("docker.io/debian", "docker.io/library/debian:latest"),
    (
        "docker.io/library/debian",
        "docker.io/library/debian:latest",
    ),
    ("index.docker.io/debian:12", "docker.io/library/debian:12"),
    (
        "index.docker.io/library/debian",
        "docker.io/library/debian:latest",
    ),
    ("org/app", "docker.io/org/app:latest"),
    ("docker.io/org/app:v1", "docker.io/org/app:v1"),
    ("org/team/app", "docker.io/org/team/app:latest"),
    ("ghcr.io/org/app", "ghcr.io/org/app:latest"),
    ("ghcr.io/app", "ghcr.io/app:latest"),
    ("quay.io/a/b/c/d/e:tag", "quay.io/a/b/c/d/e:tag"),
    ("ghcr.io/org/app@sha256:{}", "ghcr.io/org/app@sha256:{}"),
    (
        "ghcr.io/org/app:v1@sha256:{}",
        "ghcr.io/org/app:v1@sha256:{}",
    ),
    ("debian@sha256:{}", "docker.io/library/debian@sha256:{}"),
    (
        "debian:12@sha256:{}",
        "docker.io/library/debian:12@sha256:{}",
    ),
    ("localhost/app", "localhost/app:latest"),
    ("localhost:5000/app", "localhost:5000/app:latest"),
    ("localhost", "docker.io/library/localhost:latest"),
    ("localhost:5000", "docker.io/library/localhost:5000"),
    ("127.0.0.1:5000/a/b:tag", "127.0.0.1:5000/a/b:tag"),
    ("127.0.0.1/a", "127.0.0.1/a:latest"),
    ("10.0.0.1:443/x@sha256:{}", "10.0.0.1:443/x@sha256:{}"),
    ("[::1]/x", "[::1]/x:latest"),
    ("[::1]:5000/x", "[::1]:5000/x:latest"),
    (
        "[::1]:5000/x/y:1.0@sha256:{}",
        "[::1]:5000/x/y:1.0@sha256:{}",
    ),
    ("[2001:db8::1]:5000/repo", "[2001:db8::1]:5000/repo:latest"),
    (
        "[2001:db8:1:2:3:4:5:6]/repo:tag",
        "[2001:db8:1:2:3:4:5:6]/repo:tag",
    ),
    ("[2001:DB8::A]:80/repo", "[2001:DB8::A]:80/repo:latest"),
    ("LOCALDOMAIN/x", "LOCALDOMAIN/x:latest"),
    ("Foo/bar", "Foo/bar:latest"),
    ("Foo/bar/baz:1", "Foo/bar/baz:1"),
    (
        "REGISTRY.example.com/app",
        "REGISTRY.example.com/app:latest",
    ),
    ("foo.com:8080/app:UPPER", "foo.com:8080/app:UPPER"),
    ("xn--n3h.com/myimage", "xn--n3h.com/myimage:latest"),
    (
        "xn--7o8h.com/myimage:xn--7o8h.com@sha256:{}",
        "xn--7o8h.com/myimage:xn--7o8h.com@sha256:{}",
    ),
    ("a.b/c", "a.b/c:latest"),
    ("a-b.c-d/e", "a-b.c-d/e:latest"),
    ("aa/asdf$$^/aa-placeholder", ""),
    ("foo_bar.com/x", ""),
    ("foo_bar/x", "docker.io/foo_bar/x:latest"),
    ("foo__bar/x", "docker.io/foo__bar/x:latest"),
    ("foo.bar--baz/x.y", "foo.bar--baz/x.y:latest"),
    ("a--------b/c---d", "docker.io/a--------b/c---d:latest"),
    ("a_b__c.d-e", "docker.io/library/a_b__c.d-e:latest"),
    ("0/1/2", "docker.io/0/1/2:latest"),
    ("x:_tag", "docker.io/library/x:_tag"),
    ("x:0.1-rc_2.A", "docker.io/library/x:0.1-rc_2.A"),
    ("host.tld:65535/x", "host.tld:65535/x:latest"),
    ("host.tld:00080/x", "host.tld:00080/x:latest"),
    ("1.2.3.4.5/x", "1.2.3.4.5/x:latest"),
    ("deadbeef/x", "docker.io/deadbeef/x:latest"),
    (
        "0123456789abcdef",
        "docker.io/library/0123456789abcdef:latest",
    ),
    ("docker.io/{}", "docker.io/library/{}:latest"),
    ("{}:tag", "docker.io/library/{}:tag"),
];

const INVALID: &[&str] = &[
    "",
    "{}",
    "Debian",
    "Debian:12",
    "org/App",
    "ghcr.io/Org/app",
    "ghcr.io/org/APP:tag",
    "localhost/Foo",
    ":tag",
    "@sha256:{}",
    "x:",
    "x@",
    "x:tag:tag",
    "x:tag/more",
    "x:-tag",
    "x:.tag",
    "x:tag!",
    "x:tag with space",
    "x:tä",
    " debian",
    "debian ",
    "debian\n",
    "deb\0ian",
    "dé",
    "a//b",
    "/a",
    "a/",
    "a/b/",
    "ghcr.io/",
    "ghcr.io//a",
    "-a/b",
    "a-/b",
    "a/-b",
    "a/b-",
    "a/_b",
    "a/b_",
    "a/.b",
    "a/b.",
    "a/b..c",
    "a/b.-c",
    "a/b___c",
    "a/b._c",
    "a/../b",
    "./a",
    "../a",
    "http://ghcr.io/a",
    "https://ghcr.io/a",
    "-host.com/a",
    "host-.com/a",
    "host..com/a",
    ".host.com/a",
    "host.com./a",
    "host_x.com/a",
    "host.com:/a",
    "host.com:port/a",
    "host.com:0/a",
    "host.com:65536/a",
    "host.com:-1/a",
    "host.com:+80/a",
    "host.com:80:80/a",
    "user@host.com/a",
    "user:pw@host.com/a",
    "[::1/x",
    "::1]/x",
    "[]/x",
    "[::g]/x",
    "[fe80::1%eth0]/x",
    "[fe80::1%25eth0]:5000/x",
    "[127.0.0.1]/x",
    "[::1]:/x",
    "[::1]5000/x",
    "::1/x",
    "x@sha256",
    "x@sha256:",
    "x@sha256:abc",
    "x@sha256:{}0",
    "x@sha256:0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF",
    "x@SHA256:{}",
    "x@md5:d41d8cd98f00b204e9800998ecf8427e",
    "x@sha256:../../../../etc/passwd/0123456789abcdef0123456789abcdef01234567",
    "x@sha256:{}@sha256:{}",
    "x@sha256:{}:tag",
];

#[test]
fn valid_references_are_normalised() {
    for (typed, canonical) in VALID {
        let (typed, canonical) = (typed.replace("{}", HEX), canonical.replace("{}", HEX));
        match Reference::parse(&typed) {
            Ok(reference) => assert_eq!(reference.to_string(), canonical, "{typed}"),
            Err(error) => assert!(canonical.is_empty(), "{typed}: {error}"),
        }
    }
}

#[test]
fn invalid_references_are_refused() {
    for typed in INVALID {
        let typed = typed.replace("{}", HEX);
        if let Ok(reference) = Reference::parse(&typed) {
            panic!("{typed:?} was taken for {reference}");
        }
    }
}

#[test]
fn a_url_is_told_from_a_reference() {
    let error = Reference::parse("https://ghcr.io/org/app:v1").expect_err("a URL");
    assert_eq!(error.to_string(), "reference is a URL: leave https:// out");
}

#[test]
fn the_tables_are_long_enough() {
    assert!(VALID.len() + INVALID.len() >= 80);
}

#[test]
fn lengths_are_limited() {
    let longest = "a".repeat(255);
    assert!(Reference::parse(&format!("h.io/{longest}")).is_ok());
    let error = Reference::parse(&format!("h.io/{longest}a")).expect_err("too long");
    assert_eq!(
        error.to_string(),
        "repository name is 256 bytes (limit 255)"
    );
    let tag = "t".repeat(128);
    assert!(Reference::parse(&format!("h.io/a:{tag}")).is_ok());
    let error = Reference::parse(&format!("h.io/a:{tag}t")).expect_err("too long");
    assert_eq!(error.to_string(), "tag is 129 bytes (limit 128)");
}

#[test]
fn parts_are_told_apart() {
    let text = format!("docker.io/org/app:v1@sha256:{HEX}");
    let reference: Reference = text.parse().expect("valid");
    assert_eq!(reference.domain(), "docker.io");
    assert_eq!(reference.registry(), "registry-1.docker.io");
    assert_eq!(reference.repository(), "org/app");
    assert_eq!(reference.tag(), Some("v1"));
    assert_eq!(
        reference.digest().map(ToString::to_string),
        Some(format!("sha256:{HEX}"))
    );
    assert_eq!(reference.name(), "docker.io/org/app");
    assert_eq!(reference.familiar(), format!("org/app:v1@sha256:{HEX}"));
}

#[test]
fn familiar_names_are_short() {
    for (typed, familiar) in [
        ("docker.io/library/debian:12", "debian:12"),
        ("docker.io/org/app", "org/app:latest"),
        ("docker.io/library/a/b", "library/a/b:latest"),
        ("ghcr.io/library/debian", "ghcr.io/library/debian:latest"),
    ] {
        assert_eq!(Reference::parse(typed).expect("valid").familiar(), familiar);
    }
}

#[test]
fn loopback_hosts_are_known() {
    for domain in [
        "localhost",
        "localhost:5000",
        "127.0.0.1",
        "127.9.8.7:80",
        "[::1]",
        "[::1]:5000",
    ] {
        assert!(is_loopback(domain), "{domain}");
    }
    for domain in [
        "localhost.example.com",
        "128.0.0.1",
        "127.0.0.1.nip.io:80",
        "[::2]:5000",
        "ghcr.io",
    ] {
        assert!(!is_loopback(domain), "{domain}");
    }
}

proptest! {
    #[test]
    fn printed_references_parse_to_themselves(
        text in "(([A-Za-z0-9.]{1,8}|\\[::[0-9a-f]{1,4}\\])(:[0-9]{1,5})?/)?[a-z0-9._/-]{1,20}(:[A-Za-z0-9._-]{1,8})?",
    ) {
        if let Ok(reference) = Reference::parse(&text) {
            prop_assert_eq!(&Reference::parse(&reference.to_string()).expect("canonical"), &reference);
            prop_assert_eq!(&Reference::parse(&reference.familiar()).expect("familiar"), &reference);
        }
    }

    #[test]
    fn any_text_is_answered(text in "\\PC{0,80}") {
        let _ = Reference::parse(&text);
    }
}
