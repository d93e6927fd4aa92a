use super::*;
use oci_flatten::testkit::{Checksum, Header};

#[test]
fn header_only_types_have_no_body_whatever_their_size() {
    for flag in *b"123456" {
        let entry = Entry::of_type(flag, "a").header(|header| {
            header
                .number(Header::SIZE, 1 << 20)
                .text(Header::LINK, b"b")
        });
        let lines = read(&layer([entry, Entry::file("next", "x")])).expect("archive reads");
        assert_eq!(lines[1], "next size:1=x");
    }
    // Even a negative size: it is never looked at.
    let entry = Entry::directory("a").header(|header| header.number(Header::SIZE, -1));
    unlike(&[GnuTar, BsdTar], "look at the size").reads(&layer([entry]), &["Directory a"]);
}

#[test]
fn gnu_magic_with_ustar_prefix() {
    let prefixed = |prefix: &[u8]| {
        let prefix = prefix.to_vec();
        Entry::file("name", "").header(move |header| header.gnu().text(Header::PREFIX, &prefix))
    };
    unlike(&[GnuTar, BsdTar], "know no prefix in GNU headers").reads(
        &layer([prefixed(b"a/long/prefix")]),
        &["a/long/prefix/name"],
    );
    // Numbers are times, and a prefix outside ASCII is none.
    unlike(&[Python], "takes times for a prefix")
        .reads(&layer([prefixed(b"12345670123")]), &["name"]);
    unlike(&[Python], "takes what is no ASCII for a prefix")
        .reads(&layer([prefixed("préfixe".as_bytes())]), &["name"]);
    reads(&layer([prefixed(b"")]), &["name"]);
}

#[test]
fn base_256_numbers() {
    let entry =
        |field, value| Entry::char_device("c", 0, 0).header(|header| header.binary(field, value));
    reads(
        &layer([entry(Header::MTIME, -10)]),
        &["CharDevice c mtime:-10"],
    );
    unlike(
        &[Umoci, GnuTar, BsdTar, Python],
        "cannot lay such a time out",
    )
    .reads(
        &layer([entry(Header::MTIME, i64::MAX)]),
        &["CharDevice c mtime:9223372036854775807"],
    );
    reads(
        &layer([entry(Header::UID, 1 << 33)]),
        &["CharDevice c uid:8589934592"],
    );
    reads(&layer([entry(Header::GID, -1)]), &["CharDevice c gid:-1"]);
    reads(
        &layer([entry(Header::DEVICE_MAJOR, 5)]),
        &["CharDevice c major:5"],
    );
    reads(
        &layer([entry(Header::DEVICE_MINOR, 6)]),
        &["CharDevice c minor:6"],
    );
    let body = Entry::file("f", "body").header(|header| header.binary(Header::SIZE, 4));
    reads(&layer([body]), &["f size:4=body"]);
}

#[test]
fn negative_size() {
    let negative =
        |flag| Entry::of_type(flag, "f").header(|header| header.number(Header::SIZE, -1));
    for flag in *b"07SVxgLK\0?" {
        fails(&layer([negative(flag)]), "size is negative");
    }
    fails(
        &layer([Entry::file("f", "").pax("size", "-1")]),
        "size is negative",
    );
}

#[test]
fn numbers_that_are_none() {
    for (field, name) in [
        (Header::MODE, "mode"),
        (Header::UID, "user id"),
        (Header::GID, "group id"),
        (Header::SIZE, "size"),
        (Header::MTIME, "modification time"),
        (Header::DEVICE_MAJOR, "device major"),
        (Header::DEVICE_MINOR, "device minor"),
    ] {
        let entry = Entry::file("f", "").header(|header| header.text(field, b"12x"));
        fails(&layer([entry]), &format!("{name} is not a number"));
        let mut huge = vec![0xbf];
        huge.resize(field.1, 0xff);
        if field.1 > 8 {
            let entry = Entry::file("f", "").header(|header| header.bytes(field, &huge));
            fails(&layer([entry]), &format!("{name} is not a number"));
        }
    }
}

#[test]
fn empty_and_padded_numbers() {
    let entry = Entry::file("f", "").header(|header| {
        header
            .text(Header::SIZE, b"")
            .text(Header::UID, b" 12 ")
            .bytes(Header::GID, b"\0\0 7\0   ")
            .text(Header::MTIME, b"00000000017 ")
    });
    unlike(&[GnuTar, BsdTar, Python], "end a number at its first NUL")
        .reads(&layer([entry]), &["f uid:10 gid:7 mtime:15"]);
}

#[test]
fn checksum_is_the_unsigned_or_the_signed_sum() {
    let with = |checksum| Entry::file("caf\u{e9}", "").header(|header| header.checksum(checksum));
    reads(&layer([with(Checksum::Unsigned)]), &["caf\u{e9}"]);
    reads(&layer([with(Checksum::Signed)]), &["caf\u{e9}"]);
    fails(
        &layer([with(Checksum::Raw)]),
        "header checksum does not match",
    );
    let spoilt = Entry::file("a", "").header(|header| {
        let sum = header.clone().finish();
        header
            .bytes(Header::CHECKSUM, &sum[148..156])
            .checksum(Checksum::Raw)
            .byte(0, b'b')
    });
    fails(&layer([spoilt]), "header checksum does not match");
}

#[test]
fn magic_of_v7_ustar_gnu_and_star() {
    let prefixed = |header: Header| header.text(Header::PREFIX, b"p");
    let with = |change: fn(Header) -> Header| layer([Entry::file("f", "").header(change)]);
    // Version 7 has neither prefix nor device numbers, and what lies there is no number.
    unlike(
        &[BsdTar, Python],
        "look at device numbers that version 7 has not",
    )
    .reads(
        &with(|header| {
            header
                .v7()
                .text(Header::PREFIX, b"p")
                .text(Header::DEVICE_MAJOR, b"x")
        }),
        &["f"],
    );
    reads(&layer([Entry::file("f", "").header(prefixed)]), &["p/f"]);
    for version in [*b"00", *b"\0\0", *b"  ", *b"xy"] {
        let entry =
            Entry::file("f", "").header(|header| prefixed(header).bytes((263, 2), &version));
        reads(&layer([entry]), &["p/f"]);
    }
    reads(&with(|header| header.gnu()), &["f"]);
    // Star's prefix ends where its times begin.
    let star = |header: Header| {
        header
            .text((345, 131), &[b'p'; 131])
            .text((476, 12), b"1")
            .text((488, 12), b"2")
            .bytes((508, 4), b"tar\0")
    };
    unlike(
        &[GnuTar, BsdTar, Python],
        "read on into the times where the prefix fills its field",
    )
    .reads(
        &layer([Entry::file("f", "").header(star)]),
        &[&format!("{}/f", "p".repeat(131))],
    );
    let broken = |header: Header| star(header).text((476, 12), b"x");
    fails(
        &layer([Entry::file("f", "").header(broken)]),
        "access time is not a number",
    );
}

#[test]
fn v7_directory_is_a_file_with_a_trailing_slash() {
    let old = |name| Entry::of_type(0, name).header(|header| header.v7().number(Header::SIZE, 512));
    reads(
        &layer([old("d/"), Entry::file("f", "")]),
        &["Directory d/", "f"],
    );
    let entry = Entry::of_type(0, "f").body("body");
    reads(&layer([entry]), &["f size:4=body"]);
    unlike(&[GnuTar, BsdTar], "take the slash for a directory's")
        .reads(&layer([Entry::file("f/", "body")]), &["f/ size:4=body"]);
    // The slash may come from an extension header as well.
    unlike(&[Python], "sees the slash in the header only").reads(
        &layer([Entry::of_type(0, "d").pax("path", "long/")]),
        &["Directory long/"],
    );
}
