//! The tar dialect, case by case: each test is one row of the table in docs/flattening.md.

mod dialect {
    mod blocks;
    mod extensions;
    mod headers;
    mod sparse;

    use oci_flatten::entry::EntryKind;
    use oci_flatten::limits::Limits;
    use oci_flatten::path::Escaped;
    use oci_flatten::tar::{Event, LayerReader, TarError};
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
        let mut reader = LayerReader::new(&Limits::default());
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
        reader.finish().map(|()| lines)
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
        assert_eq!(read(bytes).expect("archive reads"), expected);
    }

    #[track_caller]
    fn fails(bytes: &[u8], problem: &str) {
        assert_eq!(
            read(bytes)
                .expect_err("archive must not read")
                .problem
                .to_string(),
            problem
        );
    }
}
