use super::*;

fn lower() -> Vec<u8> {
    layer([
        Entry::directory("d")
            .mode(0o700)
            .owner(1, 1)
            .mtime(1)
            .xattr("user.a", "1")
            .xattr("user.b", "1"),
        Entry::file("d/low", "low"),
        Entry::file("f", "f"),
        Entry::symlink("ln", "d"),
    ])
}

const D: &str = "d/ mode=700 owner=1:1 mtime=1 user.a=1 user.b=1";

#[test]
fn row_14_file_over_directory() {
    merges(
        &[lower(), layer([Entry::file("d", "file")])],
        &["d=file", "f=f", "ln->d"],
    );
}

#[test]
fn row_15_directory_over_file() {
    merges(
        &[lower(), layer([Entry::directory("f")])],
        &[D, "d/low=low", "f/", "ln->d"],
    );
}

#[test]
fn row_16_implied_directory_over_lower_file() {
    unlike(
        &[Umoci],
        "this version makes no directory where a lower layer has a file",
    )
    .and(&[Storage], "refuses a path through a file")
    .merges(
        &[lower(), layer([Entry::file("f/in", "in")])],
        &[D, "d/low=low", "f/ mtime=7", "f/in=in", "ln->d"],
    );
}

#[test]
fn row_17_symlink_over_directory() {
    merges(
        &[lower(), layer([Entry::symlink("d", "e")])],
        &["d->e", "f=f", "ln->d"],
    );
}

#[test]
fn row_18_directory_over_symlink() {
    merges(
        &[
            lower(),
            layer([Entry::directory("ln/"), Entry::file("ln/x", "x")]),
        ],
        &[D, "d/low=low", "f=f", "ln/", "ln/x=x"],
    );
}

#[test]
fn row_23_directory_over_directory_takes_the_upper_metadata() {
    unlike(
        &[Storage],
        "keeps the lower directory's attributes; the specification replaces them",
    )
    .merges(
        &[
            lower(),
            layer([Entry::directory("d").mode(0o711).owner(2, 3).mtime(9)]),
        ],
        &["d/ mode=711 owner=2:3 mtime=9", "d/low=low", "f=f", "ln->d"],
    );
}

#[test]
fn row_24_directory_over_directory_replaces_attributes() {
    unlike(
        &[Storage],
        "keeps the lower directory's attributes; the specification replaces them",
    )
    .merges(
        &[
            lower(),
            layer([Entry::directory("d")
                .xattr("user.a", "2")
                .xattr("user.c", "3")]),
        ],
        &["d/ user.a=2 user.c=3", "d/low=low", "f=f", "ln->d"],
    );
}

#[test]
fn row_42_last_of_duplicates_wins() {
    unlike(&[Storage], "refuses any path twice in a layer").merges(
        &[layer([
            Entry::file("x", "1"),
            Entry::file("x", "2"),
            Entry::directory("d"),
            Entry::file("d/in", "in"),
            Entry::directory("d").mode(0o700),
            Entry::file("y", "y"),
            Entry::directory("y"),
            Entry::file("y", "again"),
        ])],
        &["d/ mode=700", "d/in=in", "x=2", "y=again"],
    );
}
