use super::*;
use oci_flatten::testkit::{Header, pax_record};

fn extension(flag: u8, body: impl AsRef<[u8]>) -> Entry {
    Entry::of_type(flag, "ext").body(body)
}

#[test]
fn pax_records_override_the_header() {
    let entry = Entry::symlink("a", "b")
        .pax("path", "long path")
        .pax("linkpath", "long link")
        .pax("uid", "5000000")
        .pax("gid", "-6")
        .pax("mtime", "-1.5")
        .pax("atime", "1")
        .pax("ctime", "2.5")
        .pax("uname", "nobody")
        .pax("comment", "x=y\nz");
    reads(
        &layer([entry]),
        &["Symlink long path->long link uid:5000000 gid:-6 mtime:-2 ns:500000000"],
    );
}

#[test]
fn pax_size_overrides_the_header() {
    let entry = Entry::file("f", "body")
        .header(|header| header.number(Header::SIZE, 0))
        .pax("size", "4");
    reads(
        &layer([entry, Entry::file("g", "")]),
        &["f size:4=body", "g"],
    );
    // As in Go a size for a type without body changes nothing.
    unlike(&[BsdTar], "loses the entry that follows").reads(
        &layer([
            Entry::directory("d").pax("size", "1000"),
            Entry::file("g", ""),
        ]),
        &["Directory d", "g"],
    );
}

#[test]
fn the_last_of_duplicate_keys_wins() {
    let entry = Entry::file("f", "")
        .pax("path", "1")
        .pax("path", "2")
        .xattr("user.a", "1")
        .xattr("user.a", "2");
    reads(&layer([entry]), &["2 user.a:2"]);
    // Values that lose are not looked at.
    unlike(&[GnuTar], "looks at values that lose").reads(
        &layer([Entry::file("f", "").pax("mtime", "x").pax("mtime", "1")]),
        &["f mtime:1"],
    );
}

#[test]
fn empty_pax_value_leaves_the_header() {
    let entry = Entry::symlink("a", "b")
        .mtime(5)
        .owner(1, 2)
        .pax("path", "x")
        .pax("path", "")
        .pax("linkpath", "")
        .pax("mtime", "")
        .pax("uid", "")
        .pax("size", "")
        .xattr("user.e", "");
    unlike(&[GnuTar, Python], "take empty values for names and numbers")
        .and(
            &[BsdTar],
            "refuses the attribute, which symbolic links cannot have",
        )
        .reads(
            &layer([entry]),
            &["Symlink a->b uid:1 gid:2 mtime:5 user.e:"],
        );
}

#[test]
fn attributes_come_in_order_of_name() {
    let entry = Entry::file("f", "")
        .xattr("user.c", "1")
        .xattr("user.a", "2")
        .xattr("user.b", "3");
    reads(&layer([entry]), &["f user.a:2 user.b:3 user.c:1"]);
}

#[test]
fn the_last_of_repeated_extension_headers_wins() {
    let x = |path: &str| extension(b'x', pax_record(b"path", path.as_bytes()));
    let archive = Layer::new()
        .entry(x("1"))
        .entry(x("2"))
        .entry(Entry::file("f", ""))
        .finish();
    unlike(&[BsdTar], "warns of repeated headers, and fails")
        .and(&[Python], "takes the first of repeated headers")
        .reads(&archive, &["2"]);
    // The second header replaces the first as a whole.
    let mtime = extension(b'x', pax_record(b"mtime", b"9"));
    let archive = Layer::new()
        .entry(mtime)
        .entry(x("2"))
        .entry(Entry::file("f", ""))
        .finish();
    unlike(&[BsdTar], "warns of repeated headers, and fails")
        .and(&[Python], "takes both of repeated headers")
        .reads(&archive, &["2"]);
    for (flag, line) in [(b'L', "Symlink 2->b"), (b'K', "Symlink a->2")] {
        let archive = Layer::new()
            .entry(extension(flag, "1"))
            .entry(extension(flag, "2"))
            .entry(Entry::symlink("a", "b"))
            .finish();
        unlike(&[Python], "takes the first of repeated headers").reads(&archive, &[line]);
    }
}

#[test]
fn gnu_long_names_beat_pax() {
    let pax = [pax_record(b"path", b"pax"), pax_record(b"linkpath", b"pax")].concat();
    let all = [GnuTar, BsdTar, Python];
    for (order, others) in [(*b"xLK", &all[..]), (*b"LKx", &all[..1]), (*b"KxL", &all)] {
        let archive = order.into_iter().fold(Layer::new(), |layer, flag| {
            layer.entry(extension(
                flag,
                if flag == b'x' {
                    pax.clone()
                } else {
                    format!("gnu {}\0junk", char::from(flag)).into_bytes()
                },
            ))
        });
        unlike(others, "let PAX win, or the header that comes last").reads(
            &archive.entry(Entry::symlink("a", "b")).finish(),
            &["Symlink gnu L->gnu K"],
        );
    }
    // An empty long name is none.
    let archive = Layer::new()
        .entry(extension(b'L', "\0"))
        .entry(Entry::file("f", "").pax("path", "pax"));
    unlike(&[BsdTar, Python], "take the name for empty").reads(&archive.finish(), &["pax"]);
}

#[test]
fn extension_headers_speak_of_one_entry_only() {
    let archive = Layer::new()
        .entry(extension(b'L', "long"))
        .entry(extension(b'K', "link"))
        .entry(Entry::symlink("a", "b").xattr("trusted.a", "1"))
        .entry(Entry::symlink("c", "d"));
    reads(
        &archive.finish(),
        &["Symlink long->link trusted.a:1", "Symlink c->d"],
    );
}

#[test]
fn global_header_is_checked_and_ends_what_came_before() {
    let global = |body: Vec<u8>| extension(b'g', body);
    let archive = Layer::new()
        .entry(extension(b'L', "long"))
        .entry(global(pax_record(b"path", b"global")))
        .entry(Entry::file("f", ""));
    unlike(&[Umoci], "knows no global header")
        .and(&[GnuTar], "gives the long name to the global header")
        .and(
            &[BsdTar, Python],
            "give the long name to the entry behind the global header",
        )
        .reads(&archive.finish(), &["f"]);
    fails(
        &layer([global(b"no record".to_vec())]),
        "pax record is malformed",
    );
}

#[test]
fn extension_header_of_one_mebibyte_at_most() {
    let comment = |size: usize| {
        let overhead = pax_record(b"comment", &vec![b'c'; size]).len() - size;
        extension(b'x', pax_record(b"comment", &vec![b'c'; size - overhead]))
    };
    let archive = |entry| {
        Layer::new()
            .entry(entry)
            .entry(Entry::file("f", ""))
            .finish()
    };
    let in_one_piece = |bytes: &[u8]| super::read_in_pieces(bytes, bytes.len());
    assert_eq!(
        in_one_piece(&archive(comment(1 << 20))).expect("archive reads"),
        ["f"]
    );
    for flag in *b"xgLK" {
        let entry = extension(flag, vec![b'a'; (1 << 20) + 1]);
        let error = in_one_piece(&archive(entry)).expect_err("header is too long");
        assert_eq!(
            error.problem.to_string(),
            "extension header is 1048577 bytes (limit 1048576)"
        );
    }
}

#[test]
fn sixteen_extension_headers_at_most() {
    let archive = |count: usize| {
        let mut layer = Layer::new();
        layer.extend(std::iter::repeat_n(extension(b'L', "long"), count));
        layer.entry(Entry::file("f", "")).finish()
    };
    reads(&archive(16), &["long"]);
    unlike(&[Umoci], "has no limit").fails(
        &archive(17),
        "extension header chain is 17 headers (limit 16)",
    );
}

#[test]
fn malformed_pax_records() {
    for body in [
        "x",
        "5 a=",
        "4 a\n",
        "100 a=b\n",
        "-5 a=b\n",
        "6 a=b ",
        "6 a=b\n6",
        "0 \n",
        " 7 a=b\n",
        "6 ab=\n\0",
        "5 abc\n",
        "5 =\u{1}\n",
    ] {
        fails(&layer([extension(b'x', body)]), "pax record is malformed");
    }
    reads(
        &layer([extension(b'x', "5 a=\n6 a=b\n"), Entry::file("f", "")]),
        &["f"],
    );
}

#[test]
fn nul_in_pax_strings() {
    for key in ["path", "linkpath", "uname", "gname"] {
        fails(
            &layer([Entry::file("f", "").pax(key, "a\0b")]),
            "pax record is malformed",
        );
    }
    fails(
        &layer([Entry::file("f", "").xattr("user.\0", "a")]),
        "pax record is malformed",
    );
    reads(
        &layer([Entry::file("f", "").xattr("user.a", "\0\n=")]),
        &["f user.a:\\u{0}\\n="],
    );
}

#[test]
fn bad_pax_numbers() {
    for (key, name) in [
        ("uid", "user id"),
        ("gid", "group id"),
        ("size", "size"),
        ("mtime", "modification time"),
        ("atime", "access time"),
        ("ctime", "change time"),
    ] {
        for value in ["x", " 1", "0x1", "1e3", "99999999999999999999", "--1", ".5"] {
            fails(
                &layer([Entry::file("f", "").pax(key, value)]),
                &format!("{name} is not a number"),
            );
        }
    }
}
