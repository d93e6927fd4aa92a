use super::*;
use oci_flatten::testkit::Header;

/// `ab` at 10, `cde` at 600, the end at 1000.
const DATA: &str = "abcde";
const LINE: &str = "f size:1000={10}ab{588}cde{397}";

fn old_gnu(map: &[(i64, i64)], size: i64, data: &str) -> Entry {
    let mut entry = Entry::of_type(b'S', "f")
        .body(data)
        .header(|header| header.gnu().number((483, 12), size));
    for (index, (offset, length)) in map.iter().enumerate() {
        let at = 386 + 24 * index;
        entry = entry.header(|header| {
            header
                .number((at, 12), *offset)
                .number((at + 12, 12), *length)
        });
    }
    entry
}

#[test]
fn old_gnu_format() {
    unlike(&[Umoci], "reads it, and knows no such type then")
        .and(&[GnuTar], "begins a new block for each piece")
        .reads(
            &layer([old_gnu(&[(10, 2), (600, 3), (1000, 0)], 1000, DATA)]),
            &[LINE],
        );
    unlike(&[Umoci], "reads it, and knows no such type then")
        .reads(&layer([old_gnu(&[], 0, "")]), &["f"]);
    reads(
        &layer([old_gnu(&[], 1 << 40, "")]),
        &["f size:1099511627776={1099511627776}"],
    );
    unlike(&[Umoci], "reads it, and knows no such type then").reads(
        &layer([old_gnu(&[(0, 5)], 5, DATA), Entry::file("g", "")]),
        &["f size:5=abcde", "g"],
    );
}

#[test]
fn old_gnu_format_with_continuation_blocks() {
    let pieces: Vec<_> = (0..50).map(|index| (index * 1000, 1)).collect();
    let data = "x".repeat(50);
    let entry = old_gnu(&pieces[..4], 50_000, &data).header(|header| header.byte(482, 1));
    let whole = layer([entry]);
    let mut archive = whole[..512].to_vec();
    for (index, chunk) in pieces[4..].chunks(21).enumerate() {
        // A raw header serves as a block without a checksum.
        let block = chunk.iter().enumerate().fold(
            Header::new()
                .bytes((0, 512), &[0; 512])
                .checksum(oci_flatten::testkit::Checksum::Raw),
            |block, (at, (offset, length))| {
                block
                    .number((24 * at, 12), *offset)
                    .number((24 * at + 12, 12), *length)
            },
        );
        archive.extend(block.byte(504, u8::from(index < 2)).finish());
    }
    archive.extend(&whole[512..]);
    let expected: String = (0..50).map(|_| "x{999}").collect();
    unlike(&[Umoci], "reads it, and knows no such type then")
        .and(&[GnuTar], "begins a new block for each piece")
        .reads(&archive, &[&format!("f size:50000={expected}")]);
    fails(&archive[..1024], "archive is cut short");
}

#[test]
fn old_gnu_format_needs_a_gnu_header() {
    let entry = old_gnu(&[], 0, "").header(|header| header.bytes(Header::MAGIC, b"ustar\x0000"));
    fails(&layer([entry]), "sparse map is malformed");
}

fn pax_sparse(major: &str, minor: &str) -> Entry {
    Entry::file("GNUSparseFile.1/f", DATA)
        .pax("GNU.sparse.major", major)
        .pax("GNU.sparse.minor", minor)
}

#[test]
fn pax_format_0_0() {
    let entry = Entry::file("f", DATA)
        .pax("GNU.sparse.size", "1000")
        .pax("GNU.sparse.numblocks", "2")
        .pax("GNU.sparse.offset", "10")
        .pax("GNU.sparse.numbytes", "2")
        .pax("GNU.sparse.offset", "600")
        .pax("GNU.sparse.numbytes", "3");
    unlike(&[GnuTar], "begins a new block for each piece").reads(&layer([entry]), &[LINE]);
    for keys in [
        &["numbytes"][..],
        &["offset", "offset"],
        &["offset", "numbytes", "numbytes"],
    ] {
        let entry = keys.iter().fold(Entry::file("f", ""), |entry, key| {
            entry.pax(format!("GNU.sparse.{key}"), "0")
        });
        fails(&layer([entry]), "pax record is malformed");
    }
    fails(
        &layer([Entry::file("f", "").pax("GNU.sparse.offset", "1,2")]),
        "pax record is malformed",
    );
}

#[test]
fn pax_format_0_1() {
    let others = [GnuTar, BsdTar];
    for (entry, others) in [
        (Entry::file("x", DATA), &others[..1]),
        (pax_sparse("0", "1"), &others),
        (pax_sparse("0", "0"), &others),
    ] {
        let entry = entry
            .pax("GNU.sparse.name", "f")
            .pax("GNU.sparse.size", "1000")
            .pax("GNU.sparse.numblocks", "2")
            .pax("GNU.sparse.map", "10,2,600,3");
        unlike(
            others,
            "begin new blocks for pieces, or know no number of this version",
        )
        .reads(&layer([entry]), &[LINE]);
    }
    for (blocks, map) in [
        ("1", "10,2,600,3"),
        ("3", "10,2,600,3"),
        ("2", "10,2,600"),
        ("x", "10,2"),
        ("", "10,2"),
        ("-1", "10,2"),
    ] {
        let entry = pax_sparse("0", "1")
            .pax("GNU.sparse.size", "1000")
            .pax("GNU.sparse.numblocks", blocks)
            .pax("GNU.sparse.map", map);
        assert!(read(&layer([entry])).is_err(), "{blocks} {map}");
    }
}

fn format_1_0(map: &str, data: &str) -> Entry {
    let mut body = map.as_bytes().to_vec();
    body.resize(body.len().next_multiple_of(512), 0);
    body.extend_from_slice(data.as_bytes());
    pax_sparse("1", "0")
        .pax("GNU.sparse.name", "f")
        .pax("GNU.sparse.realsize", "1000")
        .body(body)
}

#[test]
fn pax_format_1_0() {
    unlike(&[GnuTar], "begins a new block for each piece").reads(
        &layer([format_1_0("2\n10\n2\n600\n3\n", DATA), Entry::file("g", "")]),
        &[LINE, "g"],
    );
    unlike(&[GnuTar], "ends a file with its last piece")
        .reads(&layer([format_1_0("0\n", "")]), &["f size:1000={1000}"]);
    let pieces: String = (0..300)
        .map(|index| format!("{}\n1\n", index * 2))
        .collect();
    let expected: String = (0..300).map(|_| "x{1}").collect();
    let entry = format_1_0(&format!("300\n{pieces}"), &"x".repeat(300));
    unlike(&[GnuTar], "begins a new block for each piece").reads(
        &layer([entry]),
        &[&format!("f size:1000={expected}{{400}}").replace("{1}{400}", "{401}")],
    );
    for map in [
        "x\n",
        "-1\n",
        "\n",
        "2\n10\n2\n600\n",
        "1\n10\nx\n",
        "9223372036854775807\n",
    ] {
        assert!(read(&layer([format_1_0(map, "")])).is_err(), "{map:?}");
    }
}

#[test]
fn unknown_pax_sparse_version_is_a_plain_file() {
    let entry = pax_sparse("2", "0")
        .pax("GNU.sparse.name", "f")
        .pax("GNU.sparse.size", "1000");
    unlike(&[GnuTar, BsdTar, Python], "guess what the version may mean")
        .reads(&layer([entry]), &["GNUSparseFile.1/f size:5=abcde"]);
    unlike(
        &[GnuTar, BsdTar, Python],
        "take the size alone for a sparse format",
    )
    .reads(
        &layer([Entry::file("f", DATA).pax("GNU.sparse.size", "1000")]),
        &["f size:5=abcde"],
    );
}

#[test]
fn maps_that_overlap_go_back_or_leave_the_file() {
    for map in [
        &[(10, 2), (11, 3)][..],
        &[(600, 3), (10, 2)],
        &[(999, 2)],
        &[(1001, 0)],
        &[(-1, 5)],
        &[(0, -5)],
        &[(i64::MAX, i64::MAX)],
    ] {
        fails(
            &layer([old_gnu(map, 1000, DATA)]),
            "sparse map is malformed",
        );
    }
    fails(&layer([old_gnu(&[], -1, "")]), "size is negative");
}

#[test]
fn more_or_less_data_than_the_map() {
    fails(
        &layer([old_gnu(&[(10, 4)], 1000, DATA)]),
        "sparse file has more data than its map",
    );
    fails(
        &layer([old_gnu(&[(10, 6)], 1000, DATA)]),
        "sparse file has less data than its map",
    );
    fails(
        &layer([old_gnu(&[], 1000, DATA)]),
        "sparse file has more data than its map",
    );
}

#[test]
fn sparse_type_without_body() {
    for entry in [
        Entry::directory("d"),
        Entry::symlink("s", "t"),
        Entry::hard_link("h", "f"),
    ] {
        let entry = entry
            .pax("GNU.sparse.major", "0")
            .pax("GNU.sparse.minor", "1");
        fails(&layer([entry]), "sparse map is malformed");
    }
}

#[test]
fn sparse_map_of_one_mebibyte_at_most() {
    let in_one_piece = |entry: Entry| {
        let archive = layer([entry]);
        super::read_in_pieces(&archive, archive.len())
            .expect_err("map is too long")
            .problem
            .to_string()
    };
    let map = format!("262144\n{}", "0\n0\n".repeat(262_144));
    assert_eq!(
        in_one_piece(format_1_0(&map, "")),
        "sparse map is 1049088 bytes (limit 1048576)"
    );
    assert_eq!(
        in_one_piece(format_1_0("262145\n", "")),
        "sparse map is 262145 pieces (limit 262144)"
    );
    let mut archive = layer([old_gnu(&[], 0, "").header(|header| header.byte(482, 1))]);
    let mut block = [0; 512];
    block[504] = 1;
    archive.truncate(512);
    archive.extend(std::iter::repeat_n(block, 2049).flatten());
    let error = super::read_in_pieces(&archive, archive.len()).expect_err("map is too long");
    assert_eq!(
        error.problem.to_string(),
        "sparse map is 1049088 bytes (limit 1048576)"
    );
}

#[test]
fn logical_size_beyond_the_limit() {
    fails(
        &layer([old_gnu(&[], 16 << 40, "")]),
        "file is 17592186044416 bytes (limit 17592186040320)",
    );
    assert!(read(&layer([old_gnu(&[], (16 << 40) - 4096, "")])).is_ok());
}
