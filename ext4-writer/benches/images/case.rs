//! The trees that are made, and their planting on the host for writers that read directories or tars.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;

use crate::writer::Input;

/// A tree to make: directories of so many files, all of one length.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) files: u64,
    pub(crate) file_bytes: usize,
    pub(crate) per_directory: u64,
    /// Length of a hole after the bytes.
    pub(crate) hole: u64,
    /// Whether peers take part, and inputs other than entries.
    pub(crate) compared: bool,
}

const fn files(name: &'static str, files: u64) -> Case {
    Case {
        name,
        files,
        file_bytes: 500,
        per_directory: 1000,
        hole: 0,
        compared: true,
    }
}

const fn names(name: &'static str, files: u64) -> Case {
    Case {
        name,
        files,
        file_bytes: 0,
        per_directory: 1000,
        hole: 0,
        compared: false,
    }
}

pub(crate) const CASES: [Case; 9] = [
    names("names-10k", 10_000),
    names("names-100k", 100_000),
    names("names-1m", 1_000_000),
    names("names-10m", 10_000_000),
    files("files-10k", 10_000),
    files("files-100k", 100_000),
    files("files-1m", 1_000_000),
    Case {
        name: "one-dir-200k",
        files: 200_000,
        file_bytes: 0,
        per_directory: u64::MAX,
        hole: 0,
        compared: true,
    },
    Case {
        name: "sparse-10g",
        files: 1,
        file_bytes: 500,
        per_directory: 1,
        hole: 10 << 30,
        compared: true,
    },
];

impl Case {
    /// The number of each file's directory, and its name.
    pub(crate) fn names(self) -> impl Iterator<Item = (u64, String)> {
        (0..self.files).map(move |n| (n / self.per_directory, format!("file-number-{n:07}")))
    }

    /// The bytes of the files of one directory, none of them zero.
    pub(crate) fn body(self, directory: u64) -> Vec<u8> {
        (0..self.file_bytes)
            .map(|at| (directory as usize + at) as u8 | 1)
            .collect()
    }

    /// Puts the tree where writers of this input look for it.
    pub(crate) fn plant(self, input: Input, place: &Path) {
        match input {
            Input::Entries => {}
            Input::Directory => self.plant_directory(place),
            Input::Tar => self.plant_tar(place),
        }
    }

    fn plant_directory(self, place: &Path) {
        fs::create_dir(place).unwrap();
        for (number, name) in self.names() {
            let directory = place.join(format!("directory-{number}"));
            if !directory.exists() {
                fs::create_dir(&directory).unwrap();
            }
            let path = directory.join(name);
            fs::write(&path, self.body(number)).unwrap();
            if self.hole > 0 {
                let file = File::options().write(true).open(&path).unwrap();
                file.set_len(self.file_bytes as u64 + self.hole).unwrap();
            }
        }
    }

    fn plant_tar(self, place: &Path) {
        let file = File::create(place).unwrap();
        let mut builder = tar::Builder::new(BufWriter::new(file));
        let mut last = u64::MAX;
        for (number, name) in self.names() {
            let directory = format!("directory-{number}");
            if number != last {
                last = number;
                let header = header(tar::EntryType::Directory, 0o755, 0);
                append(&mut builder, header, &format!("{directory}/"), &[]);
            }
            let header = header(tar::EntryType::Regular, 0o644, self.file_bytes as u64);
            append(
                &mut builder,
                header,
                &format!("{directory}/{name}"),
                &self.body(number),
            );
        }
        builder.into_inner().unwrap();
    }
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1_700_000_000);
    header
}

fn append(
    builder: &mut tar::Builder<BufWriter<File>>,
    mut header: tar::Header,
    path: &str,
    body: &[u8],
) {
    builder.append_data(&mut header, path, body).unwrap();
}
