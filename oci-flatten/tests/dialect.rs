//! The tar dialect, case by case: each test is one row of the table in docs/flattening.md.
//!
//! What is read is also compared with what umoci (which has Go's `archive/tar`), GNU tar, bsdtar and Python lay out.
//! Where one of them does otherwise, the row says so and why.

#![expect(clippy::print_stdout, reason = "what is skipped is told")]

#[path = "support/peers.rs"]
mod peers;
#[path = "support/tools.rs"]
mod tools;
#[path = "support/trees.rs"]
mod trees;

mod dialect {
    mod blocks;
    mod extensions;
    mod headers;
    mod sparse;

    use super::peers::Peer::{self, BsdTar, GnuTar, Python, Umoci};
    use super::peers::{Unlike, unlike};
    use super::trees;
    use oci_flatten::limits::Limits;
    use oci_flatten::path::Escaped;
    use oci_flatten::tar::{EntryKind, Event, TarError, TarReader};
    use oci_flatten::testkit::{Entry, Layer};

    fn layer<const N: usize>(entries: [Entry; N]) -> Vec<u8> {
        entries
            .into_iter()
            .fold(Layer::new(), Layer::entry)
            .finish()
    }

    /// What is read: `kind path [->link] [attributes] [=content]`, holes as `{n}`.
    ///
    /// Pieces of any size must give the same.
    #[track_caller]
    fn read(bytes: &[u8]) -> Result<Vec<String>, TarError> {
        let whole = read_in_pieces(bytes, bytes.len().max(1));
        for size in [1, 7, 511, 512, 513, 1000] {
            assert_eq!(
                read_in_pieces(bytes, size).is_ok(),
                whole.is_ok(),
                "pieces of {size}"
            );
            if whole.is_ok() {
                assert_eq!(read_in_pieces(bytes, size), whole, "pieces of {size}");
            }
        }
        whole
    }

    fn read_in_pieces(bytes: &[u8], size: usize) -> Result<Vec<String>, TarError> {
        let mut reader = TarReader::new(&Limits::default().tar());
        let mut lines = Vec::new();
        let mut content = Vec::new();
        for mut piece in bytes.chunks(size) {
            while let Some(event) = reader.next_event(&mut piece)? {
                match event {
                    Event::Entry(entry) => lines.push(describe(&entry)),
                    Event::Data(data) => content.extend_from_slice(data),
                    Event::Hole(length) => {
                        content.extend_from_slice(format!("{{{length}}}").as_bytes())
                    }
                    Event::EntryEnd => {
                        if let Some(line) = lines.last_mut().filter(|_| !content.is_empty()) {
                            line.push_str(&format!("={}", Escaped(&content)));
                        }
                        content.clear();
                    }
                }
            }
        }
        reader.finish().map(|_| lines)
    }

    fn describe(entry: &oci_flatten::tar::Entry<'_>) -> String {
        let mut line = match entry.kind {
            EntryKind::File => String::new(),
            EntryKind::Unknown(flag) => format!("{} ", char::from(flag)),
            kind => format!("{kind:?} "),
        };
        line.push_str(&Escaped(entry.path).to_string());
        if !entry.link.is_empty() {
            line.push_str(&format!("->{}", Escaped(entry.link)));
        }
        for (name, value, usual) in [
            ("size", entry.size as i64, 0),
            ("uid", entry.uid, 0),
            ("gid", entry.gid, 0),
            ("mtime", entry.mtime.seconds, 0),
            ("ns", i64::from(entry.mtime.nanoseconds), 0),
            ("major", entry.device_major, 0),
            ("minor", entry.device_minor, 0),
        ] {
            if value != usual {
                line.push_str(&format!(" {name}:{value}"));
            }
        }
        for (name, value) in entry.xattrs.iter() {
            line.push_str(&format!(" {}:{}", Escaped(name), Escaped(value)));
        }
        line
    }

    #[track_caller]
    fn reads(bytes: &[u8], expected: &[&str]) {
        Unlike::default().reads(bytes, expected);
    }

    #[track_caller]
    fn fails(bytes: &[u8], problem: &str) {
        Unlike::default().fails(bytes, problem);
    }

    /// The same, but for what some readers do.
    trait Checks {
        fn reads(&self, bytes: &[u8], expected: &[&str]);
        fn fails(&self, bytes: &[u8], problem: &str);
    }

    impl Checks for Unlike<'_> {
        #[track_caller]
        fn reads(&self, bytes: &[u8], expected: &[&str]) {
            assert_eq!(read(bytes).expect("archive reads"), expected);
            let layers = [bytes.to_vec()];
            // Some of what can be read cannot be laid out, such as negative ids and terabytes of zeros.
            let is_huge = expected
                .iter()
                .any(|line| line.contains("size:1099511627776"));
            if let Some(ours) = (!is_huge).then(|| trees::merged(&layers).ok()).flatten() {
                self.check(&Peer::READERS, &layers, Some(&ours));
            }
        }

        #[track_caller]
        fn fails(&self, bytes: &[u8], problem: &str) {
            let error = read(bytes).expect_err("archive must not read");
            assert_eq!(error.problem.to_string(), problem);
            // The tools forgive much of what Go refuses, and by forgiving lose sight of entries.
            self.check(&[Umoci], &[bytes.to_vec()], None);
        }
    }
}
