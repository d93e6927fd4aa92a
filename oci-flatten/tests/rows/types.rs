use super::*;

#[test]
fn row_43_devices_and_pipes() {
    merges(
        &[layer([
            Entry::char_device("c", 1, 3),
            Entry::block_device("b", 4095, 1_048_575),
            Entry::fifo("p"),
        ])],
        &["b b4095:1048575", "c c1:3", "p|"],
    );
    for (major, minor) in [(4096, 0), (0, 1_048_576), (-1, 0), (1 << 40, 0)] {
        unlike(&[Umoci, Storage], "cuts the number off").fails(
            &[layer([Entry::block_device("b", major, minor)])],
            &format!("device number {major}:{minor} is beyond 4095:1048575: b"),
        );
    }
}

#[test]
fn row_44_character_device_zero_is_a_device_with_a_warning() {
    let layers = [
        layer([Entry::file("x", "low")]),
        layer([Entry::char_device("x", 0, 0)]),
    ];
    merges(&layers, &["x c0:0"]);
    let [Warning::ZeroDevice { path }] = &warnings(&layers)[..] else {
        panic!("one warning about the device")
    };
    assert_eq!(path.to_string(), "x");
}

#[test]
fn row_59_contiguous_file_is_a_file() {
    unlike(&[Umoci, Storage], "knows no such type").merges(
        &[layer([Entry::of_type(b'7', "f").body("body")])],
        &["f=body"],
    );
}

#[test]
fn row_60_volume_label_is_skipped_with_a_warning() {
    let layers = [layer([
        Entry::of_type(b'V', "label"),
        Entry::file("x", "x"),
    ])];
    unlike(&[Umoci, Storage], "knows no such type").merges(&layers, &["x=x"]);
    assert_eq!(
        warnings(&layers),
        [Warning::VolumeLabel {
            label: b"label".to_vec()
        }]
    );
}

#[test]
fn row_60_unknown_types_are_an_error() {
    for flag in *b"MNDXZ\xff" {
        fails(
            &[layer([Entry::of_type(flag, "x")])],
            &format!("tar entry type {:?} is not supported: x", char::from(flag)),
        );
    }
}

#[test]
fn row_61_global_headers_are_ignored() {
    let global = || {
        let records = oci_flatten::testkit::pax_record(b"path", b"keep");
        Entry::of_type(b'g', "pax_global_header").body(records)
    };
    unlike(&[Umoci], "knows no such type")
        .and(
            &[Storage],
            "takes two headers of one name for a path twice in a layer",
        )
        .merges(
            &[
                layer([Entry::file("keep", "k")]),
                layer([global(), Entry::file("x", "x"), global()]),
            ],
            &["keep=k", "x=x"],
        );
}

#[test]
fn row_62_sockets_have_no_tar_type() {
    // POSIX has no type flag for a socket; star's private ones are refused with all that is unknown.
    fails(
        &[layer([Entry::of_type(b's', "x")])],
        "tar entry type 's' is not supported: x",
    );
}
