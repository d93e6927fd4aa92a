use super::*;

fn directory() -> Metadata {
    Metadata::new(0o755, Timestamp::default())
}

fn file() -> Metadata {
    Metadata::new(0o644, Timestamp::default())
}

fn names(tree: &FileTree<u32>, id: NodeId) -> Vec<Vec<u8>> {
    tree.children(id).map(|child| child.name.to_vec()).collect()
}

#[test]
fn invalid_names_are_refused_with_their_path() {
    let mut tree: FileTree<u32> = FileTree::new(directory()).unwrap();
    let usr = tree
        .insert(tree.root(), b"usr", FileKind::Directory, directory())
        .unwrap();
    for name in [&b""[..], b".", b"..", b"a/b", b"a\0"] {
        let error = tree.insert(usr, name, FileKind::Fifo, file()).unwrap_err();
        assert!(matches!(error, TreeError::InvalidName { .. }), "{error}");
    }
    let error = tree
        .insert(usr, &[b'n'; 300], FileKind::Fifo, file())
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("file name is 300 bytes (limit 255): usr/nnn"),
        "{error}"
    );
    tree.insert(usr, &[0xff; 255], FileKind::Fifo, file())
        .unwrap();
    let error = tree
        .insert(usr, &[0xff; 255], FileKind::Fifo, file())
        .unwrap_err();
    assert!(matches!(error, TreeError::Exists { .. }));
}

#[test]
fn out_of_range_values_are_refused() {
    let mut tree: FileTree<u32> = FileTree::new(directory()).unwrap();
    let root = tree.root();
    let late = Metadata::new(0o644, Timestamp::new(0x3_8000_0000, 0));
    assert!(matches!(
        tree.insert(root, b"a", FileKind::Fifo, late),
        Err(TreeError::Time { .. })
    ));
    let mode = Metadata {
        mode: 0o10_000,
        ..file()
    };
    assert!(matches!(
        tree.insert(root, b"a", FileKind::Fifo, mode),
        Err(TreeError::Mode { .. })
    ));
    for (major, minor) in [(4096, 0), (0, 1 << 20)] {
        let kind = FileKind::CharacterDevice { major, minor };
        let error = tree.insert(root, b"a", kind, file()).unwrap_err();
        assert!(matches!(error, TreeError::DeviceNumber { .. }));
    }
    for target in [&b""[..], b"a\0b", &[b'a'; 4096]] {
        let error = tree
            .insert(root, b"a", FileKind::Symlink(target.into()), file())
            .unwrap_err();
        assert!(matches!(error, TreeError::InvalidTarget { .. }));
    }
    assert!(names(&tree, root).is_empty());
}

#[test]
fn a_file_has_at_most_65000_names() {
    let mut tree: FileTree<u32> = FileTree::new(directory()).unwrap();
    let root = tree.root();
    let id = tree.insert(root, b"0", FileKind::File(7), file()).unwrap();
    for n in 1..65_000 {
        tree.link(root, n.to_string().as_bytes(), id).unwrap();
    }
    assert!(matches!(
        tree.link(root, b"x", id),
        Err(TreeError::TooManyLinks { .. })
    ));
    for n in 1..65_000 {
        assert_eq!(tree.remove(root, n.to_string().as_bytes()).unwrap(), []);
    }
    assert_eq!(tree.remove(root, b"0").unwrap(), [7]);
    assert!(matches!(
        tree.link(root, b"y", id),
        Err(TreeError::NotLinkable { .. })
    ));
}

#[test]
fn removing_a_deep_directory_returns_every_content_once() {
    let mut tree: FileTree<u32> = FileTree::new(directory()).unwrap();
    let mut at = tree.root();
    for depth in 0..4000 {
        at = tree
            .insert(at, b"d", FileKind::Directory, directory())
            .unwrap();
        tree.insert(at, b"f", FileKind::File(depth), file())
            .unwrap();
    }
    let outside = tree
        .insert(tree.root(), b"kept", FileKind::File(9999), file())
        .unwrap();
    tree.link(at, b"hard", outside).unwrap();
    let mut gone = tree.remove(tree.root(), b"d").unwrap();
    gone.sort_unstable();
    assert_eq!(gone, (0..4000).collect::<Vec<_>>());
    assert_eq!(names(&tree, tree.root()), [b"kept"]);
    assert_eq!(tree.names(outside), 1);
}

#[test]
fn replacing_changes_the_kind_and_hands_back_the_old_content() {
    let mut tree: FileTree<u32> = FileTree::new(directory()).unwrap();
    let root = tree.root();
    tree.insert(root, b"a", FileKind::File(1), file()).unwrap();
    let (id, gone) = tree
        .replace(root, b"a", FileKind::Directory, directory())
        .unwrap();
    assert_eq!(gone, [1]);
    assert_eq!(tree.file_type(id), Some(FileType::Directory));
    assert_eq!(tree.lookup(root, b"a"), Some(id));
}

#[test]
fn nodes_stay_small() {
    assert!(
        size_of::<Node<crate::Content>>() <= 104,
        "{}",
        size_of::<Node<crate::Content>>()
    );
}
