use super::*;

fn lower() -> Vec<u8> {
    layer([
        Entry::directory("a").mode(0o700).mtime(3),
        Entry::symlink("ln", "a"),
    ])
}

#[test]
fn row_19_symlink_of_a_lower_layer_is_followed() {
    merges(
        &[lower(), layer([Entry::file("ln/new", "new")])],
        &["a/ mode=700 mtime=3", "a/new=new", "ln->a"],
    );
}

#[test]
fn row_20_symlinks_are_followed_as_chroot_would() {
    for (target, link) in [
        ("a", "ln"),
        ("/a", "ln"),
        ("../../a", "ln"),
        ("./a/../a/.", "ln"),
        ("//a//", "ln"),
    ] {
        merges(
            &[layer([
                Entry::directory("a"),
                Entry::symlink(link, target),
                Entry::file("ln/b/new", "new"),
            ])],
            &[
                "a/",
                "a/b/ mtime=7",
                "a/b/new=new",
                &format!("ln->{target}"),
            ],
        );
    }
    merges(
        &[layer([
            Entry::directory("a"),
            Entry::symlink("a/up", ".."),
            Entry::symlink("chain", "a/up/a"),
            Entry::file("chain/new", "new"),
        ])],
        &["a/", "a/new=new", "a/up->..", "chain->a/up/a"],
    );
}

/// A name behind which `..` leads back need not be there, and is not made.
#[test]
fn row_20_parent_of_what_is_not_there() {
    let kernel = || {
        unlike(
            &[Storage],
            "asks the kernel, for which nothing leads on from there",
        )
    };
    for target in [
        "nothere/../../etc",
        "/nothere/deeper/../../etc",
        "nothere/./../etc/also/not/../../.",
    ] {
        let link = format!("localetc->{target}");
        kernel().merges(
            &[layer([
                Entry::directory("etc"),
                Entry::file("etc/passwd", "root"),
                Entry::symlink("localetc", target),
                Entry::hard_link("copy", "localetc/passwd"),
            ])],
            &["copy=root", "etc/", "etc/passwd==copy", &link],
        );
        kernel().merges(
            &[
                layer([
                    Entry::directory("etc"),
                    Entry::file("etc/passwd", "root"),
                    Entry::file("etc/group", "root"),
                    Entry::symlink("localetc", target),
                ]),
                layer([
                    Entry::file("localetc/.wh.group", ""),
                    Entry::file("localetc/new", "new"),
                ]),
            ],
            &["etc/", "etc/new=new", "etc/passwd=root", &link],
        );
    }
    // Where the way ends at something new, only that is made.
    kernel().merges(
        &[layer([
            Entry::symlink("ln", "not/../new/../here"),
            Entry::file("ln/f", "f"),
        ])],
        &["here/ mtime=7", "here/f=f", "ln->not/../new/../here"],
    );
    // Nor is a file that is on the way replaced.
    kernel().merges(
        &[layer([
            Entry::file("file", "stays"),
            Entry::directory("etc"),
            Entry::symlink("ln", "file/../etc"),
            Entry::file("ln/f", "f"),
        ])],
        &["etc/", "etc/f=f", "file=stays", "ln->file/../etc"],
    );
}

#[test]
fn row_21_dangling_symlink_parent_creates_its_target() {
    unlike(&[Storage], "makes no parents behind a dangling link").merges(
        &[layer([
            Entry::symlink("ln", "newdir/deep"),
            Entry::file("ln/new", "new"),
        ])],
        &[
            "ln->newdir/deep",
            "newdir/ mtime=7",
            "newdir/deep/ mtime=7",
            "newdir/deep/new=new",
        ],
    );
}

#[test]
fn row_22_symlink_loop_in_parents() {
    fails(
        &[layer([
            Entry::symlink("a", "b"),
            Entry::symlink("b", "a"),
            Entry::file("a/x", "x"),
        ])],
        "too many symbolic links on the path: a/x",
    );
    fails(
        &[layer([
            Entry::symlink("a", "a"),
            Entry::file("a/.wh.x", "x"),
        ])],
        "too many symbolic links on the path: a/.wh.x",
    );
}

#[test]
fn row_22_forty_links_are_followed_and_no_more() {
    let chain = |links: usize| {
        let mut layer = Layer::new().entry(Entry::directory("l0"));
        layer.extend((1..=links).map(|i| Entry::symlink(format!("l{i}"), format!("l{}", i - 1))));
        flatten(&[layer
            .entry(Entry::file(format!("l{links}/x"), "x"))
            .finish()])
    };
    assert!(chain(40).is_ok());
    assert!(chain(41).is_err());
}

#[test]
fn row_25_missing_parents() {
    merges(
        &[
            lower(),
            layer([Entry::file("a/f", "f"), Entry::file("new/dir/f", "f")]),
        ],
        &[
            "a/ mode=700 mtime=3",
            "a/f=f",
            "ln->a",
            "new/ mtime=7",
            "new/dir/ mtime=7",
            "new/dir/f=f",
        ],
    );
}

#[test]
fn row_26_directory_that_is_not_listed_keeps_its_time() {
    merges(
        &[
            lower(),
            layer([Entry::file("a/f", "f").mtime(99)]),
            layer([Entry::file("a/.wh.f", "")]),
        ],
        &["a/ mode=700 mtime=3", "ln->a"],
    );
}

#[test]
fn directories_that_move_are_found_again() {
    unlike(&[Storage], "fails on a directory that a link has replaced").merges(
        &[layer([
            Entry::directory("a"),
            Entry::file("a/b/one", "1"),
            Entry::symlink("a", "c"),
            Entry::file("a/b/two", "2"),
            Entry::directory("a"),
            Entry::file("a/b/three", "3"),
        ])],
        &[
            "a/",
            "a/b/ mtime=7",
            "a/b/three=3",
            "c/ mtime=7",
            "c/b/ mtime=7",
            "c/b/two=2",
        ],
    );
}
