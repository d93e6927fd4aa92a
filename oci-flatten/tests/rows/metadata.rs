use super::*;

#[test]
fn row_45_only_permission_bits_count() {
    merges(
        &[layer([
            Entry::file("s", "").mode(0o104_755),
            Entry::directory("t").mode(0o041_777),
            Entry::file("n", "").mode(-1),
        ])],
        &["n= mode=7777", "s= mode=4755", "t/ mode=1777"],
    );
}

#[test]
fn row_46_only_schily_attributes_count() {
    merges(
        &[layer([Entry::file("f", "")
            .pax("LIBARCHIVE.xattr.user.l", "bA==")
            .pax("SCHILY.acl.access", "user::rwx")
            .pax("RHT.security.selinux", "label")
            .pax("SCHILY.xattr.user.s", "s")])],
        &["f= user.s=s"],
    );
}

#[test]
fn row_47_trusted_is_kept_but_overlays_own() {
    let layers = [layer([Entry::file("f", "")
        .xattr("trusted.t", "t")
        .xattr("trusted.overlay.opaque", "y")])];
    unlike(&[Storage], "keeps overlay's own attributes").merges(&layers, &["f= trusted.t=t"]);
    let [Warning::OverlayXattr { path, name }] = &warnings(&layers)[..] else {
        panic!("one warning about the attribute")
    };
    assert_eq!(
        (path.to_string().as_str(), &name[..]),
        ("f", &b"trusted.overlay.opaque"[..])
    );
}

#[test]
fn row_48_selinux_labels_are_kept() {
    merges(
        &[layer([
            Entry::symlink("l", "t").xattr("security.selinux", "label")
        ])],
        &["l->t security.selinux=label"],
    );
}

#[test]
fn row_48_selinux_labels_are_left_out_where_that_is_asked_for() {
    let layer = layer([Entry::file("f", "")
        .xattr("security.selinux", "label")
        .xattr("user.u", "u")]);
    let mut rootfs = Rootfs::new(&Limits::default(), Timestamp::default());
    let mut sink = MemorySink::default();
    let applier = LayerApplier::new(&mut rootfs, &mut sink).unwrap();
    let mut applier = applier.skip_selinux(true);
    applier.push(&layer).unwrap();
    applier.finish().unwrap();
    let listing = oci_flatten::testkit::list(&rootfs, &sink).join("\n");
    assert!(
        listing.contains("user.u=u") && !listing.contains("selinux"),
        "{listing}"
    );
}

#[test]
fn row_49_user_attributes_only_on_files_and_directories() {
    let all = |entry: Entry| entry.xattr("user.u", "u");
    let layers = [layer([
        all(Entry::directory("d")),
        all(Entry::file("f", "")),
        all(Entry::fifo("p")),
        all(Entry::symlink("s", "t")),
        all(Entry::char_device("c", 1, 3)),
        all(Entry::hard_link("s2", "s")),
    ])];
    unlike(&[Umoci, Storage], "fails where Linux refuses the attribute").merges(
        &layers,
        &[
            "c c1:3",
            "d/ user.u=u",
            "f= user.u=u",
            "p|",
            "s->t",
            "s2==s",
        ],
    );
    assert_eq!(warnings(&layers), []);
}

#[test]
fn row_50_empty_attribute_value_is_set() {
    unlike(
        &[Umoci, Storage],
        "reads attributes as Go once did, without empty ones",
    )
    .merges(
        &[layer([Entry::file("f", "").xattr("user.e", "")])],
        &["f= user.e="],
    );
}

#[test]
fn row_51_times_are_kept_within_what_ext4_holds() {
    let layers = [layer([
        Entry::file("a", "").mtime(-10),
        Entry::file("b", "").mtime(-(1 << 31)),
        Entry::file("c", "").mtime(-(1 << 31) - 1),
        Entry::file("d", "").mtime(15_032_385_535),
        Entry::file("e", "").mtime(15_032_385_536),
        Entry::file("f", "").pax("mtime", "-2147483648.5"),
    ])];
    unlike(&[Umoci], "cannot hold times after 2262")
        .and(
            &[Storage],
            "takes times before 1970 and after 2262 for 1970",
        )
        .merges(
            &layers,
            &[
                "a= mtime=-10",
                "b= mtime=-2147483648",
                "c= mtime=-2147483648",
                "d= mtime=15032385535",
                "e= mtime=15032385535+999999999ns",
                "f= mtime=-2147483648",
            ],
        );
    assert_eq!(warnings(&layers).len(), 3);
}

#[test]
fn row_52_fraction_of_a_pax_time_is_kept() {
    merges(
        &[layer([Entry::file("f", "")
            .pax("mtime", "1.000000002")
            .pax("atime", "9.9")])],
        &["f= mtime=1+2ns"],
    );
}

#[test]
fn row_53_access_and_change_times_do_not_count() {
    merges(
        &[layer([Entry::file("f", "")
            .mtime(5)
            .pax("atime", "99")
            .pax("ctime", "98")])],
        &["f= mtime=5"],
    );
}

#[test]
fn row_54_ids_of_32_bits() {
    merges(
        &[layer([
            Entry::file("a", "").owner(65_535, 65_536),
            Entry::file("b", "").owner(4_294_967_294, 3_000_000_000),
            Entry::file("c", "")
                .pax("uid", "4000000000")
                .pax("gid", "1"),
        ])],
        &[
            "a= owner=65535:65536",
            "b= owner=4294967294:3000000000",
            "c= owner=4000000000:1",
        ],
    );
}

#[test]
fn row_55_ids_above_32_bits_are_an_error() {
    unlike(&[Umoci, Storage], "cuts the number off").fails(
        &[layer([Entry::file("f", "").owner(4_294_967_301, 0)])],
        "user id 4294967301 does not fit 32 bits: f",
    );
    unlike(&[Umoci, Storage], "cuts the number off").fails(
        &[layer([Entry::file("f", "").pax("gid", "4294967301")])],
        "group id 4294967301 does not fit 32 bits: f",
    );
}

#[test]
fn row_56_ids_that_mean_no_change_are_an_error() {
    for id in [4_294_967_295, -1] {
        let text = |what| format!("{what} id {id} does not fit 32 bits: f");
        unlike(&[Umoci, Storage], "leaves the file to root")
            .fails(&[layer([Entry::file("f", "").owner(id, 0)])], &text("user"));
        unlike(&[Umoci, Storage], "leaves the file to root").fails(
            &[layer([Entry::file("f", "").owner(0, id)])],
            &text("group"),
        );
    }
}

#[test]
fn unknown_attribute_namespaces_are_left_out_with_a_warning() {
    let layers = [layer([
        Entry::file("f", "")
            .xattr("foo.bar", "1")
            .xattr("user.", "2")
            .xattr("system.nfs4_acl", "3"),
        Entry::directory("d").xattr("system.posix_acl_default", "acl"),
    ])];
    unlike(&[Umoci, Storage], "fails where Linux refuses the attribute")
        .merges(&layers, &["d/ system.posix_acl_default=acl", "f="]);
    assert_eq!(warnings(&layers).len(), 3);
    let long = format!("user.{}", "n".repeat(251));
    unlike(
        &[Umoci, Storage],
        "passes attributes over that the filesystem does not take",
    )
    .fails(
        &[layer([Entry::file("f", "").xattr(&long, "")])],
        "extended attribute name is 256 bytes (limit 255): f",
    );
}
