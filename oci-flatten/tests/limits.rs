//! Hostile layers: each ends in an error that names its limit, or in a right tree within its memory.

use std::convert::Infallible;

use oci_flatten::apply::{ApplyError, ContentSink, LayerApplier};
use oci_flatten::entry::Timestamp;
use oci_flatten::limits::Limits;
use oci_flatten::rootfs::Rootfs;
use oci_flatten::testkit::{Entry, Header, Layer};

/// Counts what it is given and keeps nothing.
#[derive(Debug, Default)]
struct Counting {
    bytes: u64,
    holes: u64,
    released: u64,
}

impl ContentSink for Counting {
    type Content = u32;
    type Error = Infallible;

    fn begin(&mut self, _size: u64) -> Result<(), Infallible> {
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn hole(&mut self, length: u64) -> Result<(), Infallible> {
        self.holes += length;
        Ok(())
    }

    fn end(&mut self) -> Result<u32, Infallible> {
        Ok(0)
    }

    fn release(&mut self, _content: u32) -> Result<(), Infallible> {
        self.released += 1;
        Ok(())
    }
}

fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

/// Applies layers given entry by entry, so that no layer is ever in memory as a whole.
fn apply<L>(
    limits: &Limits,
    layers: impl IntoIterator<Item = L>,
) -> Result<(Rootfs<u32>, Counting), ApplyError<Infallible>>
where
    L: IntoIterator<Item = Entry>,
{
    let mut rootfs = Rootfs::new(limits, Timestamp::default());
    let mut sink = Counting::default();
    for layer in layers {
        let mut applier = LayerApplier::new(&mut rootfs, &mut sink)?;
        for entry in layer {
            applier.push(&Layer::new().entry(entry).cut())?;
        }
        applier.finish()?;
    }
    Ok((rootfs, sink))
}

/// The error's text; it must be known as a limit that was passed.
#[track_caller]
fn exceeds<L: IntoIterator<Item = Entry>>(
    limits: &Limits,
    layers: impl IntoIterator<Item = L>,
) -> String {
    let error = apply(limits, layers).expect_err("a limit must be passed");
    assert!(error.limit().is_some(), "{error} is a limit");
    error.to_string()
}

#[test]
fn entries_over_all_layers() {
    let limits = limits(|limits| limits.entries = 100);
    let layer = |count: usize| (0..count).map(|_| Entry::file("same", ""));
    assert!(apply(&limits, [layer(50), layer(50)]).is_ok());
    assert_eq!(
        exceeds(&limits, [layer(50), layer(51)]),
        "image is 101 entries (limit 100)"
    );
}

#[test]
fn entries_that_paths_imply() {
    let limits = limits(|limits| limits.entries = 100);
    let deep = (0..50).map(|index| Entry::file(format!("{index}/b/c/d"), ""));
    assert_eq!(
        exceeds(&limits, [deep]),
        "merged tree is 104 entries (limit 100)"
    );
}

#[test]
fn path_depth_and_length() {
    let path = |depth: usize| "d/".repeat(depth - 1) + "f";
    // As many as the longest path can have.
    assert_eq!(path(2048).len(), 4095);
    assert!(apply(&Limits::default(), [[Entry::file(path(2048), "")]]).is_ok());
    let limits = limits(|limits| limits.path_depth = 100);
    assert!(apply(&limits, [[Entry::file(path(100), "")]]).is_ok());
    let error = exceeds(&limits, [[Entry::file(path(101), "")]]);
    assert!(error.starts_with("path is 101 components (limit 100): d/d/"));
    let long = format!("{}/", "n".repeat(99)).repeat(40) + &"n".repeat(96);
    assert!(apply(&Limits::default(), [[Entry::file(&long[..4095], "")]]).is_ok());
    let error = exceeds(&Limits::default(), [[Entry::file(&long, "")]]);
    assert!(error.starts_with("path is 4096 bytes (limit 4095): nnn"));
}

#[test]
fn deep_trees_are_walked_and_dropped_without_recursion() {
    let limits = limits(|limits| {
        limits.path_depth = 200_000;
        limits.path_bytes = 400_000;
    });
    let (mut rootfs, mut sink) =
        apply(&limits, [[Entry::file("d/".repeat(100_000) + "f", "x")]]).expect("deep tree merges");
    assert_eq!(rootfs.len(), 100_001);
    let mut applier = LayerApplier::new(&mut rootfs, &mut sink).expect("two layers");
    applier
        .push(&Layer::new().entry(Entry::file(".wh.d", "")).finish())
        .expect("whiteout applies");
    applier.finish().expect("layer ends");
    assert_eq!((rootfs.len(), sink.released), (0, 1));
}

#[test]
fn decoded_bytes_over_all_layers() {
    let limits = limits(|limits| limits.expanded_bytes = 1 << 20);
    let bomb = (0..3).map(|index| Entry::file(format!("{index}"), vec![0; 500_000]));
    assert_eq!(
        exceeds(&limits, [bomb]),
        "image is 1502208 decoded bytes (limit 1048576)"
    );
}

#[test]
fn memory_of_names_attributes_targets_and_whiteouts() {
    let limits = limits(|limits| limits.metadata_bytes = 4 << 20);
    let (start, end) = ("merged tree is 4", " bytes of memory (limit 4194304)");
    type Make = fn(u32) -> Entry;
    let bombs: [Make; 5] = [
        |index| Entry::file(format!("{index:0>255}"), ""),
        |index| Entry::file(format!("{index}"), "").xattr("user.x", [b'x'; 1000]),
        |index| Entry::symlink(format!("{index}"), "t".repeat(4000)),
        |index| Entry::file(format!(".wh.{index:0>200}"), ""),
        |index| Entry::file(format!("missing/{index}/.wh..wh..opq"), ""),
    ];
    for bomb in bombs {
        let error = exceeds(&limits, [(0..200_000).map(bomb)]);
        assert!(error.starts_with(start) && error.ends_with(end), "{error}");
    }
}

/// Their ids are not used again within the layer, so that what it remembers of them stays right.
#[test]
fn memory_of_directories_that_a_layer_makes_and_removes() {
    let limits = limits(|limits| limits.metadata_bytes = 4 << 20);
    let round = [
        Entry::file("d/".repeat(1000) + "f", ""),
        Entry::file("d", ""),
    ];
    let error = exceeds(&limits, [round.iter().cycle().take(1000).cloned()]);
    assert!(error.starts_with("merged tree is 4"), "{error}");
}

#[test]
fn memory_of_holes() {
    let limits = limits(|limits| limits.metadata_bytes = 1 << 20);
    let pieces: u64 = 20_000;
    let map: Vec<String> = (0..pieces)
        .map(|piece| format!("{},1", piece * 8192))
        .collect();
    let sparse = |index: usize| {
        Entry::file(format!("sparse-{index}"), vec![b'x'; pieces as usize])
            .pax("GNU.sparse.size", (pieces * 8192).to_string())
            .pax("GNU.sparse.numblocks", pieces.to_string())
            .pax("GNU.sparse.map", map.join(","))
    };
    assert!(apply(&limits, [(0..2).map(sparse)]).is_ok());
    let error = exceeds(&limits, [(0..6).map(sparse)]);
    assert!(error.starts_with("merged tree is 12"), "{error}");
}

#[test]
fn depth_behind_symbolic_links() {
    let chain = |components: usize| {
        [
            Entry::symlink("a", "d/".repeat(2000)),
            Entry::symlink("l", "a/".to_owned() + &"d/".repeat(components - 2000)),
            Entry::file("l/f", ""),
        ]
    };
    assert!(apply(&Limits::default(), [chain(2048)]).is_ok());
    let error = exceeds(&Limits::default(), [chain(2049)]);
    let expected = "path behind symbolic links is 2049 components (limit 2048): l/f";
    assert_eq!(error, expected);
}

#[test]
fn attributes_of_one_file() {
    let many = |count: usize| {
        let file = Entry::file("etc/f", "");
        (0..count).fold(file, |file, index| {
            file.xattr(format!("user.{index:0>58}"), "")
        })
    };
    assert!(apply(&Limits::default(), [[many(1024)]]).is_ok());
    let expected = "extended attributes have 65600 bytes of names (limit 65536): etc/f";
    assert_eq!(refused([[many(1025)]]), expected);
    let value = |length: usize| Entry::file("etc/f", "").xattr("user.x", vec![b'x'; length]);
    assert!(apply(&Limits::default(), [[value(65_536)]]).is_ok());
    let expected = "extended attribute \"user.x\" is 65537 bytes (limit 65536): etc/f";
    assert_eq!(refused([[value(65_537)]]), expected);
}

/// The error of layers that pass a limit of Linux, rather than one of ours.
fn refused<L: IntoIterator<Item = Entry>>(layers: impl IntoIterator<Item = L>) -> String {
    let error = apply(&Limits::default(), layers).expect_err("layers are refused");
    error.to_string()
}

#[test]
fn replaced_entries_take_no_memory() {
    let limits = limits(|limits| limits.metadata_bytes = 1 << 20);
    let layers = (0..200).map(|layer: u32| {
        (0..500).flat_map(move |index| {
            let name = format!("{index}-{}", "n".repeat((layer % 200) as usize));
            [
                Entry::file(
                    format!(".wh.{index}-{}", "n".repeat(((layer + 199) % 200) as usize)),
                    "",
                ),
                Entry::file(name, "x").xattr("user.x", "y"),
            ]
        })
    });
    let (rootfs, sink) = apply(&limits, layers).expect("layers merge within their memory");
    assert_eq!((rootfs.len(), sink.released), (500, 199 * 500));
}

#[test]
fn pax_header_of_768_mebibytes_is_refused_by_its_header() {
    let bomb = Entry::of_type(b'x', "pax").header(|header| header.number(Header::SIZE, 768 << 20));
    assert_eq!(
        exceeds(&Limits::default(), [[bomb]]),
        "tar archive at byte 512: extension header is 805306368 bytes (limit 1048576)"
    );
}

#[test]
fn endless_extension_headers() {
    let pax = || Entry::of_type(b'x', "pax").body(b"6 a=b\n");
    assert_eq!(
        exceeds(&Limits::default(), [std::iter::repeat_with(pax)]),
        "tar archive at byte 16896: extension header chain is 17 headers (limit 16)"
    );
}

#[test]
fn limits_of_the_reader_can_be_changed() {
    let sizes = limits(|limits| limits.file_bytes = 10);
    assert!(apply(&sizes, [[Entry::file("f", [b'x'; 10])]]).is_ok());
    let error = exceeds(&sizes, [[Entry::file("f", [b'x'; 11])]]);
    assert!(error.ends_with("file is 11 bytes (limit 10)"), "{error}");

    let comment = |length| Entry::file("f", "").pax("comment", vec![b'c'; length]);
    let lengths = limits(|limits| limits.extension_bytes = 100);
    assert!(apply(&lengths, [[comment(80)]]).is_ok());
    let error = exceeds(&lengths, [[comment(100)]]);
    let expected = "extension header is 113 bytes (limit 100)";
    assert!(error.ends_with(expected), "{error}");
    let lengths = limits(|limits| limits.extension_bytes = 4 << 20);
    assert!(apply(&lengths, [[comment(3 << 20)]]).is_ok());

    let long = |count| {
        let name = || Entry::of_type(b'L', "long").body("name");
        (0..count).fold(Entry::file("f", ""), |entry, _| entry.preceded_by(name()))
    };
    for most in [1, 20] {
        let headers = limits(|limits| limits.extension_headers = most);
        assert!(apply(&headers, [[long(most)]]).is_ok());
        let error = exceeds(&headers, [[long(most + 1)]]);
        let expected = format!("is {} headers (limit {most})", most + 1);
        assert!(error.ends_with(&expected), "{error}");
    }
}

#[test]
fn sparse_file_of_tebibytes_is_a_hole() {
    let sparse = |size: i64| {
        Entry::file("f", "")
            .pax("GNU.sparse.major", "0")
            .pax("GNU.sparse.minor", "1")
            .pax("GNU.sparse.numblocks", "0")
            .pax("GNU.sparse.size", size.to_string())
    };
    let (_, sink) = apply(&Limits::default(), [[sparse(15 << 40)]]).expect("a hole is small");
    assert_eq!((sink.bytes, sink.holes), (0, 15 << 40));
    let error = exceeds(&Limits::default(), [[sparse(i64::MAX)]]);
    assert!(
        error.ends_with("file is 9223372036854775807 bytes (limit 17592186040320)"),
        "{error}"
    );
}

#[test]
fn warnings_of_a_hostile_layer_are_counted_but_not_kept() {
    let mut rootfs = Rootfs::new(&Limits::default(), Timestamp::default());
    let mut sink = Counting::default();
    let mut applier = LayerApplier::new(&mut rootfs, &mut sink).expect("one layer");
    for _ in 0..1000 {
        applier
            .push(&Layer::new().entry(Entry::file("", "")).cut())
            .expect("entry is passed over");
    }
    let report = applier.finish().expect("layer ends");
    assert_eq!(
        (report.warnings.total(), report.warnings.iter().len()),
        (1000, 100)
    );
}

#[test]
fn more_layers_than_can_be_told_apart() {
    let empty = || std::iter::empty::<Entry>();
    assert!(
        apply(
            &Limits::default(),
            std::iter::repeat_with(empty).take(65_535)
        )
        .is_ok()
    );
    let error = exceeds(
        &Limits::default(),
        std::iter::repeat_with(empty).take(65_536),
    );
    assert_eq!(error, "image is 65536 layers (limit 65535)");
}

/// Steps over a whole layer grow with its entries only: a quadratic one would not end here.
#[test]
fn markers_and_links_in_great_number() {
    let limits = Limits::default();
    let files = || (0..50_000).map(|index| Entry::file(format!("d/{index}"), ""));
    let markers = || (0..50_000).map(|_| Entry::file("d/.wh..wh..opq", ""));
    let whiteouts = || (0..50_000).map(|_| Entry::file(".wh.d", ""));
    let links = || (0..50_000).map(|index| Entry::hard_link(format!("e/{index}"), "d/0"));
    let upper = files().chain(markers()).chain(whiteouts()).chain(links());
    let (rootfs, _) = apply(
        &limits,
        [
            Box::new(files()) as Box<dyn Iterator<Item = Entry>>,
            Box::new(upper),
        ],
    )
    .expect("layers merge");
    assert_eq!(rootfs.len(), 100_002);
}
