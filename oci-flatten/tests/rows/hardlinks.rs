use super::*;

fn lower() -> Vec<u8> {
    layer([
        Entry::file("f", "f").xattr("user.c", "cap"),
        Entry::directory("d"),
        Entry::symlink("ln", "d"),
    ])
}

#[test]
fn row_34_link_entry_gives_its_metadata_to_the_file() {
    unlike(&[Umoci], "passes the link's own metadata over").merges(
        &[layer([
            Entry::file("f", "f")
                .xattr("user.a", "1")
                .xattr("user.b", "1"),
            Entry::hard_link("g", "f")
                .mode(0o600)
                .owner(5, 6)
                .mtime(99)
                .xattr("user.b", "2"),
        ])],
        &["f=f mode=600 owner=5:6 mtime=99 user.a=1 user.b=2", "g==f"],
    );
}

#[test]
fn row_35_link_to_a_lower_file() {
    merges(
        &[lower(), layer([Entry::hard_link("d/g", "f")])],
        &["d/", "d/g=f user.c=cap", "f==d/g", "ln->d"],
    );
    merges(
        &[
            lower(),
            layer([Entry::hard_link("g", "f")]),
            layer([Entry::file(".wh.f", "")]),
        ],
        &["d/", "g=f user.c=cap", "ln->d"],
    );
}

#[test]
fn row_36_link_to_a_symlink_links_the_symlink() {
    merges(
        &[lower(), layer([Entry::hard_link("ln2", "ln").mode(0o644)])],
        &["d/", "f=f user.c=cap", "ln->d", "ln2==ln"],
    );
}

#[test]
fn row_36_parents_of_the_target_are_resolved_and_absolute_targets_clamped() {
    merges(
        &[
            lower(),
            layer([Entry::file("d/x", "x"), Entry::hard_link("y", "/ln/x")]),
        ],
        &["d/", "d/x=x", "f=f user.c=cap", "ln->d", "y==d/x"],
    );
    unlike(
        &[Umoci, Storage],
        "stops at the root, as in a link's target",
    )
    .fails(
        &[lower(), layer([Entry::hard_link("y", "../f")])],
        "hard link target: path leaves the root: ../f: y",
    );
}

#[test]
fn row_37_forward_reference() {
    fails(
        &[layer([Entry::hard_link("g", "f"), Entry::file("f", "f")])],
        "hard link to a file that no earlier entry has: g",
    );
}

#[test]
fn row_38_link_to_a_path_that_this_layer_whites_out() {
    fails(
        &[
            lower(),
            layer([Entry::file(".wh.f", ""), Entry::hard_link("g", "f")]),
        ],
        "hard link to a file that this layer removes: g",
    );
}

#[test]
fn row_39_target_replaced_keeps_the_old_file_at_the_link() {
    let link = || Entry::hard_link("g", "f");
    let replaced = || Entry::file("f", "new");
    let expected = &["d/", "f=new", "g=f user.c=cap", "ln->d"];
    merges(&[lower(), layer([link(), replaced()])], expected);
    merges(&[lower(), layer([link()]), layer([replaced()])], expected);
}

#[test]
fn row_40_link_to_a_directory_or_to_itself() {
    fails(
        &[lower(), layer([Entry::hard_link("g", "d")])],
        "hard link to a directory: g",
    );
    fails(
        &[lower(), layer([Entry::hard_link("g", "/")])],
        "hard link to a directory: g",
    );
    fails(
        &[lower(), layer([Entry::hard_link("f", "f")])],
        "hard link to itself: f",
    );
    fails(
        &[lower(), layer([Entry::hard_link("ln/f", "d/f")])],
        "hard link to itself: ln/f",
    );
    let below = layer([Entry::file("d/e/f", "f")]);
    for target in ["d/e/f", "ln/e/f"] {
        fails(
            &[
                lower(),
                below.clone(),
                layer([Entry::hard_link("d", target)]),
            ],
            "hard link replaces the directory that its target is in: d",
        );
    }
}

#[test]
fn row_41_chain_of_links_is_one_file() {
    let layers = [layer([
        Entry::file("f", "f"),
        Entry::hard_link("g", "f"),
        Entry::hard_link("h", "g"),
        Entry::hard_link("h", "f"),
    ])];
    unlike(&[Storage], "refuses any path twice in a layer")
        .merges(&layers, &["f=f", "g==f", "h==f"]);
}
