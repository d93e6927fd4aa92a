use super::*;

fn one() -> Layer {
    Layer::new().entry(Entry::file("f", "body"))
}

const LINE: &str = "f size:4=body";

#[test]
fn end_is_two_zero_blocks_one_or_none() {
    reads(&one().finish(), &[LINE]);
    reads(&one().raw(&[0; 512]).cut(), &[LINE]);
    reads(&one().cut(), &[LINE]);
}

#[test]
fn padding_may_be_missing_at_the_end() {
    let cut = Layer::new().entry(Entry::file("f", "body").unpadded());
    unlike(&[GnuTar, BsdTar, Python], "want the padding").reads(&cut.clone().cut(), &[LINE]);
    unlike(&[GnuTar, BsdTar, Python], "want the padding").reads(&cut.raw(&[0; 100]).cut(), &[LINE]);
}

#[test]
fn lone_zero_block_then_data() {
    let archive = one().raw(&[0; 512]).entry(Entry::file("g", "")).finish();
    fails(&archive, "single zero block between entries");
    fails(
        &one().raw(&[0; 512]).raw(b"x").raw(&[0; 511]).cut(),
        "single zero block between entries",
    );
}

#[test]
fn data_after_the_end_is_taken_and_ignored() {
    let archive = one()
        .raw(&[0; 1024])
        .raw(b"junk")
        .entry(Entry::file("g", ""))
        .cut();
    reads(&archive, &[LINE]);
    let mut reader = TarReader::new(&Limits::default().tar());
    let mut rest = &archive[..];
    while reader
        .next_event(&mut rest)
        .expect("archive reads")
        .is_some()
    {}
    assert!(rest.is_empty());
}

#[test]
fn truncated_archive() {
    let archive = one().cut();
    for length in [1, 100, 511, 512, 515] {
        fails(&archive[..length], "archive is cut short");
    }
    fails(
        &one().raw(&[0; 512]).raw(&[0; 100]).cut(),
        "archive is cut short",
    );
    let extension = Layer::new()
        .entry(Entry::of_type(b'L', "x").body("long name"))
        .cut();
    fails(&extension[..515], "archive is cut short");
    // An extension header without an entry is no error in Go either.
    unlike(&[BsdTar, Python], "want an entry after an extension header").reads(&extension, &[]);
}

#[test]
fn empty_blob_is_an_empty_layer() {
    unlike(&[GnuTar, Python], "refuse an archive without a block").reads(&[], &[]);
    reads(&[0; 1024], &[]);
}

#[test]
fn garbage_is_no_archive() {
    fails(&[b'x'; 512], "header checksum does not match");
    let error = read(&[&one().cut()[..], &[b'x'; 512]].concat()).expect_err("garbage");
    assert_eq!(error.offset, 1536);
    assert_eq!(
        error.to_string(),
        "tar archive at byte 1536: header checksum does not match"
    );
}
