//! Archives that fuzzing starts from: one small example of everything that the formats can say.

use tar_events::testkit::{Archive, Checksum, Entry, Header, pax_record};

pub(crate) type Seeds = Vec<(&'static str, Vec<u8>)>;

fn archive(entries: impl IntoIterator<Item = Entry>) -> Vec<u8> {
    entries
        .into_iter()
        .fold(Archive::new(), Archive::entry)
        .finish()
}

/// Names and bytes.
pub(crate) fn archives() -> Seeds {
    let gnu = |entry: Entry| entry.header(Header::gnu);
    let long =
        |flag, name: &str| gnu(Entry::of_type(flag, "././@LongLink").body(format!("{name}\0")));
    let sparse = |major, minor| {
        Entry::file("f", "abcde")
            .pax("GNU.sparse.major", major)
            .pax("GNU.sparse.minor", minor)
            .pax("GNU.sparse.name", "s")
    };
    let mut map = b"2\n10\n2\n600\n3\n".to_vec();
    map.resize(512, 0);
    map.extend_from_slice(b"abcde");
    vec![
        ("empty", archive([])),
        (
            "kinds",
            archive([
                Entry::directory("d/"),
                Entry::file("d/f", "body").mode(0o4755).owner(1, 2).mtime(3),
                Entry::symlink("s", "d"),
                Entry::hard_link("s/h", "d/f"),
                Entry::char_device("c", 1, 3),
                Entry::block_device("b", 8, 1),
                Entry::fifo("p"),
                Entry::file("d/.wh.f", ""),
                Entry::file("d/.wh..wh..opq", ""),
                Entry::file(".wh..wh.plnk/1", "x"),
                Entry::of_type(b'V', "label"),
            ]),
        ),
        (
            "pax",
            archive([Entry::file("f", "body")
                .pax("path", "long")
                .pax("mtime", "-1.5")
                .pax("uid", "5")
                .pax("size", "4")
                .xattr("security.capability", [1, 0, 0, 2])]),
        ),
        (
            "gnu",
            archive([
                gnu(Entry::symlink("a", "b"))
                    .preceded_by(long(b'L', "name"))
                    .preceded_by(long(b'K', "link")),
                gnu(Entry::file("n", "").header(|header| header.text(Header::PREFIX, b"pre/fix"))),
                gnu(Entry::file("m", "").header(|header| header.binary(Header::MTIME, -10))),
            ]),
        ),
        (
            "global",
            archive([
                Entry::of_type(b'g', "g").body(pax_record(b"path", b"x")),
                Entry::file("f", ""),
            ]),
        ),
        (
            "sparse-old",
            archive([
                gnu(Entry::of_type(b'S', "f").body("abcde")).header(|header| {
                    header
                        .number((386, 12), 10)
                        .number((398, 12), 2)
                        .number((410, 12), 600)
                        .number((422, 12), 3)
                        .number((483, 12), 1000)
                }),
            ]),
        ),
        (
            "sparse-0.0",
            archive([Entry::file("f", "abcde")
                .pax("GNU.sparse.size", "1000")
                .pax("GNU.sparse.numblocks", "1")
                .pax("GNU.sparse.offset", "10")
                .pax("GNU.sparse.numbytes", "5")]),
        ),
        (
            "sparse-0.1",
            archive([sparse("0", "1")
                .pax("GNU.sparse.size", "1000")
                .pax("GNU.sparse.numblocks", "2")
                .pax("GNU.sparse.map", "10,2,600,3")]),
        ),
        (
            "sparse-1.0",
            archive([sparse("1", "0")
                .pax("GNU.sparse.realsize", "1000")
                .body(map)]),
        ),
        (
            "odd",
            Archive::new()
                .entry(Entry::file("\u{e9}", "").header(|header| header.checksum(Checksum::Signed)))
                .entry(Entry::of_type(0, "d/").header(Header::v7))
                .entry(Entry::directory("e").header(|header| header.number(Header::SIZE, 512)))
                .raw(&[0; 512])
                .entry(Entry::file("../f", ""))
                .cut(),
        ),
    ]
}
