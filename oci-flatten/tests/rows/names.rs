use super::*;

#[test]
fn row_27_root_entry_is_ignored() {
    unlike(&[Storage], "refuses any path twice in a layer").merges(
        &[layer([
            Entry::directory("./").mode(0o700).owner(1, 1),
            Entry::directory("/"),
            Entry::directory("a/.."),
            Entry::file("x", "x"),
        ])],
        &["x=x"],
    );
    let (rootfs, _) = merged(&layer([Entry::directory("./")
        .mode(0o700)
        .owner(1, 1)
        .mtime(9)]));
    let root = rootfs.node(rootfs.root()).metadata;
    assert_eq!(
        (root.mode, root.uid, root.gid, root.mtime.seconds),
        (0o755, 0, 0, 7)
    );
}

#[test]
fn row_28_root_of_another_type_is_an_error() {
    for entry in [
        Entry::symlink(".", "etc"),
        Entry::file("/", ""),
        Entry::hard_link("./", "x"),
    ] {
        fails(&[layer([entry])], "root directory cannot be replaced: /");
    }
}

#[test]
fn row_29_names_are_cleaned_before_links_are_followed() {
    merges(
        &[layer([
            Entry::file("./a", "a"),
            Entry::file("/b", "b"),
            Entry::file("d//e", "e"),
            Entry::file("d/../f", "f"),
            Entry::file("g/", "a regular file by its type"),
            Entry::symlink("s", "d/deep"),
            Entry::file("s/../h", "h"),
        ])],
        &[
            "a=a",
            "b=b",
            "d/ mtime=7",
            "d/e=e",
            "f=f",
            "g=a regular file by its type",
            "h=h",
            "s->d/deep",
        ],
    );
}

#[test]
fn row_30_leaving_the_root_is_an_error() {
    unlike(&[Umoci, Storage], "stops at the root").fails(
        &[layer([Entry::file("../esc", "")])],
        "path leaves the root: ../esc",
    );
    unlike(&[Umoci, Storage], "stops at the root").fails(
        &[layer([Entry::file("/../esc", "")])],
        "path leaves the root: /../esc",
    );
    unlike(&[Umoci, Storage], "stops at the root").fails(
        &[layer([Entry::file("a/../../esc", "")])],
        "path leaves the root: a/../../esc",
    );
}

#[test]
fn row_31_empty_name_is_ignored_with_a_warning() {
    let layers = [layer([Entry::file("", "a body"), Entry::file("x", "x")])];
    unlike(&[Umoci, Storage], "takes it for the root").merges(&layers, &["x=x"]);
    assert_eq!(warnings(&layers), [Warning::EmptyName]);
}

#[test]
fn row_32_nul_in_names_is_an_error() {
    for (key, value) in [
        ("path", "x\0y"),
        ("linkpath", "x\0y"),
        ("SCHILY.xattr.user.\0", "v"),
    ] {
        let entry = Entry::symlink("a", "b").pax(key, value);
        let at = 512 + oci_flatten::testkit::pax_record(key.as_bytes(), value.as_bytes()).len();
        fails(
            &[layer([entry])],
            &format!("tar archive at byte {at}: pax record is malformed"),
        );
    }
    let sparse = Entry::file("a", "")
        .pax("GNU.sparse.major", "0")
        .pax("GNU.sparse.minor", "1")
        .pax("GNU.sparse.numblocks", "0")
        .pax("GNU.sparse.size", "0")
        .pax("GNU.sparse.name", "x\0y");
    fails(&[layer([sparse])], "path holds a NUL byte: x\\u{0}y");
}

#[test]
fn row_33_symlink_targets_are_verbatim() {
    merges(
        &[layer([
            Entry::symlink("a", "../../../etc/passwd").mode(0o600),
            Entry::symlink("b", "/x//y/./z/"),
            Entry::symlink("c", [b'\xff', b' ']),
            Entry::symlink("e", "t".repeat(4095)),
        ])],
        &[
            "a->../../../etc/passwd",
            "b->/x//y/./z/",
            "c->\\xff ",
            &format!("e->{}", "t".repeat(4095)),
        ],
    );
    fails(
        &[layer([Entry::symlink("a", "")])],
        "symbolic link without a target: a",
    );
    fails(
        &[layer([Entry::symlink("a", "t".repeat(4096))])],
        "symbolic link target is 4096 bytes (limit 4095): a",
    );
}

#[test]
fn row_57_component_above_255_bytes_is_an_error() {
    let name = "n".repeat(255);
    merges(&[layer([Entry::file(&name, "x")])], &[&format!("{name}=x")]);
    let name = "n".repeat(256);
    let expected = format!("file name is 256 bytes (limit 255): d/{name}/x");
    fails(
        &[layer([Entry::file(format!("d/{name}/x"), "")])],
        &expected,
    );
    fails(
        &[layer([Entry::symlink("l", &name), Entry::file("l/x", "")])],
        "symbolic link on the path names a file of 256 bytes (limit 255): l/x",
    );
}

#[test]
fn row_58_names_are_bytes() {
    merges(
        &[layer([
            Entry::file(b"\xc3\x28\xff", "x"),
            Entry::file("\u{e9}", "y"),
        ])],
        &["\\xc3(\\xff=x", "\u{e9}=y"],
    );
}
