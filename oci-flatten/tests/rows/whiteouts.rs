use super::*;

fn lower() -> Vec<u8> {
    layer([
        Entry::directory("d").mode(0o700),
        Entry::file("d/low", "low"),
        Entry::directory("d/sub").mode(0o711),
        Entry::file("d/sub/deep", "deep"),
        Entry::file("x", "old"),
        Entry::symlink("ln", "d"),
    ])
}

const LOWER: [&str; 6] = [
    "d/ mode=700",
    "d/low=low",
    "d/sub/ mode=711",
    "d/sub/deep=deep",
    "ln->d",
    "x=old",
];

#[test]
fn row_1_whiteout_removes_lower() {
    merges(&[lower()], &LOWER);
    merges(&[lower(), layer([Entry::file(".wh.x", "")])], &LOWER[..5]);
    merges(
        &[lower(), layer([Entry::file(".wh.d", "")])],
        &["ln->d", "x=old"],
    );
    merges(
        &[lower(), layer([Entry::file(".wh.ln", "")])],
        &[
            "d/ mode=700",
            "d/low=low",
            "d/sub/ mode=711",
            "d/sub/deep=deep",
            "x=old",
        ],
    );
}

#[test]
fn row_2_whiteout_of_missing_path_creates_its_parents() {
    merges(&[lower(), layer([Entry::file(".wh.nothing", "")])], &LOWER);
    unlike(&[Umoci], "makes no parents").merges(
        &[layer([Entry::file("p/q/.wh.nothing", "")])],
        &["p/ mtime=7", "p/q/ mtime=7"],
    );
    unlike(&[Storage], "refuses a path through a file")
        .merges(&[lower(), layer([Entry::file("x/.wh.y", "")])], &LOWER);
}

#[test]
fn row_2_whiteout_parents_are_hidden_by_the_same_layer_in_any_order() {
    let missing = || Entry::file("d/p/.wh.nothing", "");
    let opaque = || Entry::file("d/.wh..wh..opq", "");
    let kept = &["d/ mode=700", "ln->d", "x=old"];
    merges(&[lower(), layer([missing(), opaque()])], kept);
    unlike(
        &[Storage],
        "acts in the order of entries, and so keeps the parent",
    )
    .merges(&[lower(), layer([opaque(), missing()])], kept);
}

#[test]
fn row_3_opaque_marker_before_or_after_siblings() {
    let opaque = || Entry::file("d/.wh..wh..opq", "");
    let directory = || Entry::directory("d").mode(0o750);
    let new = || Entry::file("d/new", "new");
    let expected = &["d/ mode=750", "d/new=new", "ln->d", "x=old"];
    merges(&[lower(), layer([directory(), opaque(), new()])], expected);
    merges(&[lower(), layer([directory(), new(), opaque()])], expected);
    merges(&[lower(), layer([opaque(), new(), directory()])], expected);
}

#[test]
fn row_4_opaque_marker_keeps_children_of_implied_parents() {
    let opaque = || Entry::file("d/.wh..wh..opq", "");
    let new = || Entry::file("d/sub/new", "new");
    let expected = &[
        "d/ mode=700",
        "d/sub/ mtime=7",
        "d/sub/new=new",
        "ln->d",
        "x=old",
    ];
    merges(&[lower(), layer([opaque(), new()])], expected);
    unlike(&[Umoci], "the parent keeps the metadata of the hidden one")
        .and(
            &[Storage],
            "removes what came before the marker, against the specification",
        )
        .merges(&[lower(), layer([new(), opaque()])], expected);
}

#[test]
fn row_5_opaque_marker_at_the_root_hides_all_lower() {
    let opaque = || Entry::file(".wh..wh..opq", "");
    merges(
        &[lower(), layer([opaque(), Entry::file("y", "y")])],
        &["y=y"],
    );
    merges(
        &[lower(), layer([Entry::file("y", "y"), opaque()])],
        &["y=y"],
    );
    merges(&[lower(), layer([Entry::file("./.wh..wh..opq", "")])], &[]);
}

#[test]
fn row_6_whiteout_then_file() {
    let layers = [
        lower(),
        layer([Entry::file(".wh.x", ""), Entry::file("x", "new")]),
    ];
    merges(
        &layers,
        &[
            "d/ mode=700",
            "d/low=low",
            "d/sub/ mode=711",
            "d/sub/deep=deep",
            "ln->d",
            "x=new",
        ],
    );
    assert_eq!(warnings(&layers), []);
}

#[test]
fn row_6b_whiteout_then_directory_shows_only_new_children() {
    let expected = &["d/", "d/new=new", "ln->d", "x=old"];
    let whiteout = || Entry::file(".wh.d", "");
    let directory = || Entry::directory("d");
    let new = || Entry::file("d/new", "new");
    merges(
        &[lower(), layer([whiteout(), directory(), new()])],
        expected,
    );
    unlike(&[Storage], "removes the layer's own files, and then fails").merges(
        &[lower(), layer([directory(), new(), whiteout()])],
        expected,
    );
    merges(
        &[lower(), layer([directory(), whiteout(), new()])],
        expected,
    );
    let implied = &["d/ mtime=7", "d/new=new", "ln->d", "x=old"];
    merges(&[lower(), layer([whiteout(), new()])], implied);
    unlike(&[Umoci], "the parent keeps the metadata of the hidden one")
        .and(
            &[Storage],
            "removes the layer's own files, against the specification",
        )
        .merges(&[lower(), layer([new(), whiteout()])], implied);
}

#[test]
fn row_7_file_then_whiteout_keeps_the_file_with_a_warning() {
    let layers = [
        lower(),
        layer([Entry::file("x", "new"), Entry::file(".wh.x", "")]),
    ];
    unlike(
        &[Storage],
        "removes the layer's own file, against the specification",
    )
    .merges(
        &layers,
        &[
            "d/ mode=700",
            "d/low=low",
            "d/sub/ mode=711",
            "d/sub/deep=deep",
            "ln->d",
            "x=new",
        ],
    );
    let [Warning::WhiteoutOfOwnLayer { path }] = &warnings(&layers)[..] else {
        panic!("one warning about the whiteout")
    };
    assert_eq!(path.to_string(), "x");
}

#[test]
fn row_8_whiteout_below_a_whited_out_directory() {
    let outer = || Entry::file(".wh.d", "");
    let inner = || Entry::file("d/.wh.low", "");
    let deeper = || Entry::file("d/sub/.wh.deep", "");
    let expected = &["ln->d", "x=old"];
    unlike(&[Storage], "makes parents, as those of any missing path")
        .merges(&[lower(), layer([outer(), inner(), deeper()])], expected);
    merges(&[lower(), layer([inner(), deeper(), outer()])], expected);
}

#[test]
fn row_9_whiteout_of_nothing_is_an_error() {
    for name in [".wh.", ".wh..", ".wh..."] {
        fails(
            &[lower(), layer([Entry::file(name, "")])],
            &format!("whiteout names no file: {name}"),
        );
    }
    unlike(&[Storage], "takes it for the directory itself").fails(
        &[lower(), layer([Entry::file("d/.wh.", "")])],
        "whiteout names no file: d/.wh.",
    );
}

#[test]
fn row_10_whiteouts_are_known_by_name_whatever_their_type() {
    for entry in [
        Entry::directory(".wh.x/"),
        Entry::symlink(".wh.x", "y"),
        Entry::fifo(".wh.x"),
        Entry::file(".wh.x", "a body to be passed over"),
        Entry::of_type(b'?', ".wh.x"),
        Entry::char_device(".wh.x", 0, 0),
    ] {
        let layers = [lower(), layer([entry, Entry::file("y", "y")])];
        merges(
            &layers,
            &[
                "d/ mode=700",
                "d/low=low",
                "d/sub/ mode=711",
                "d/sub/deep=deep",
                "ln->d",
                "y=y",
            ],
        );
    }
}

#[test]
fn row_11_whiteout_prefix_of_a_parent_is_literal() {
    merges(
        &[layer([Entry::file(".wh.etc/f", "f")])],
        &[".wh.etc/ mtime=7", ".wh.etc/f=f"],
    );
}

#[test]
fn row_12_aufs_bookkeeping_is_skipped_and_serves_links() {
    unlike(&[Umoci], "knows nothing of AUFS")
        .and(&[Storage], "does not find the target of the link")
        .merges(
            &[layer([
                Entry::directory(".wh..wh.plnk"),
                Entry::file(".wh..wh.plnk/8.1", "body").owner(1, 2),
                Entry::file(".wh..wh.plnk/8.2", "unused"),
                Entry::file(".wh..wh.aufs", "x"),
                Entry::directory(".wh..wh.orph"),
                Entry::hard_link("a", ".wh..wh.plnk/8.1"),
                Entry::hard_link("d/b", "/.wh..wh.plnk/8.1"),
            ])],
            &["a=body owner=1:2", "d/ mtime=7", "d/b==a"],
        );
    fails(
        &[layer([Entry::hard_link("a", ".wh..wh.plnk/8.1")])],
        "hard link to a file that no earlier entry has: a",
    );
}

#[test]
fn row_13_whiteout_through_a_symlinked_parent() {
    merges(
        &[lower(), layer([Entry::file("ln/.wh.low", "")])],
        &[
            "d/ mode=700",
            "d/sub/ mode=711",
            "d/sub/deep=deep",
            "ln->d",
            "x=old",
        ],
    );
}
