//! What a kernel module says of itself: the `.modinfo` section of its ELF file.

/// The relations of a module to others, by names as the kernel writes them.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct ModuleInfo {
    /// Modules whose symbols it uses.
    pub(super) depends: Vec<String>,
    /// Modules that are to be there before it, where they exist.
    pub(super) before: Vec<String>,
    /// Modules that are to be there after it, where they exist.
    pub(super) after: Vec<String>,
}

/// A module's name as the kernel writes it: files may have `-` where it has `_`.
pub(super) fn kernel_name(name: &str) -> String {
    name.replace('-', "_")
}

/// Reads the section; none when this is no ELF file of a module.
pub(super) fn parse(elf: &[u8]) -> Option<ModuleInfo> {
    let mut info = ModuleInfo::default();
    for entry in section(elf, b".modinfo")?.split(|byte| *byte == 0) {
        let Some((key, value)) = std::str::from_utf8(entry)
            .ok()
            .and_then(|text| text.split_once('='))
        else {
            continue;
        };
        match key {
            "depends" => info.depends.extend(names(value, ',')),
            "softdep" => soft_dependencies(value, &mut info),
            _ => {}
        }
    }
    Some(info)
}

fn names(list: &str, separator: char) -> impl Iterator<Item = String> {
    list.split(separator)
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(kernel_name)
}

/// `pre: a b post: c` (modprobe.d(5)).
fn soft_dependencies(value: &str, info: &mut ModuleInfo) {
    let mut list = None;
    for word in value.split_whitespace() {
        match word {
            "pre:" => list = Some(&mut info.before),
            "post:" => list = Some(&mut info.after),
            name => {
                if let Some(list) = &mut list {
                    list.push(kernel_name(name));
                }
            }
        }
    }
}

/// The bytes of a section of a little-endian ELF file (elf(5)).
fn section<'a>(elf: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    let is_64_bit = *elf.get(4)? == 2;
    if !elf.starts_with(b"\x7fELF") {
        return None;
    }
    let half = |at: usize| Some(u16::from_le_bytes(bytes(elf, at)?));
    let word = |at: usize| usize::try_from(u32::from_le_bytes(bytes(elf, at)?)).ok();
    let long = |at: usize| match is_64_bit {
        true => usize::try_from(u64::from_le_bytes(bytes(elf, at)?)).ok(),
        false => word(at),
    };
    // e_shoff, e_shentsize, e_shnum, e_shstrndx; then sh_offset and sh_size in each header.
    let (table, size_at, offset_at, length_at) = match is_64_bit {
        true => (long(40)?, 58, 24, 32),
        false => (long(32)?, 46, 16, 20),
    };
    let (size, count) = (usize::from(half(size_at)?), usize::from(half(size_at + 2)?));
    let header = |index: usize| table.checked_add(index.checked_mul(size)?);
    let content = |index: usize| {
        let header = header(index)?;
        let start = long(header.checked_add(offset_at)?)?;
        let length = long(header.checked_add(length_at)?)?;
        elf.get(start..start.checked_add(length)?)
    };
    let names = content(usize::from(half(size_at + 4)?))?;
    (0..count).find_map(|index| {
        let name = names.get(word(header(index)?)?..)?;
        let name = name.split(|byte| *byte == 0).next()?;
        (name == wanted).then(|| content(index)).flatten()
    })
}

fn bytes<const N: usize>(from: &[u8], at: usize) -> Option<[u8; N]> {
    from.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// ELF files for tests.
#[cfg(test)]
pub(super) mod testing {
    /// A module file with this section alone.
    pub(in crate::initrd) fn module(info: &str) -> Vec<u8> {
        let names = b"\0.modinfo\0";
        let info: Vec<u8> = info.replace('\n', "\0").into_bytes();
        let mut elf = vec![0; 64];
        elf[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        elf[18] = 62;
        let names_at = elf.len();
        elf.extend(names);
        let info_at = elf.len();
        elf.extend(&info);
        let table = elf.len();
        elf[40..48].copy_from_slice(&(table as u64).to_le_bytes());
        elf[58] = 64;
        elf[60] = 2;
        for (name, at, length) in [(0_u32, names_at, names.len()), (1, info_at, info.len())] {
            let mut header = vec![0; 64];
            header[..4].copy_from_slice(&name.to_le_bytes());
            header[24..32].copy_from_slice(&(at as u64).to_le_bytes());
            header[32..40].copy_from_slice(&(length as u64).to_le_bytes());
            elf.extend(header);
        }
        elf
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dependencies_are_read_by_their_kernel_names() {
        let elf = testing::module(
            "license=GPL\ndepends=virtio-ring,virtio\nsoftdep=pre: crc32c aead post: later-one\ndepends=",
        );
        let info = parse(&elf).unwrap();
        assert_eq!(info.depends, ["virtio_ring", "virtio"]);
        assert_eq!(info.before, ["crc32c", "aead"]);
        assert_eq!(info.after, ["later_one"]);
        assert_eq!(parse(b"#!/bin/sh"), None);
    }

    proptest! {
        #[test]
        fn no_file_makes_it_panic(at in 0_usize..200, value in any::<[u8; 8]>(), cut in 0_usize..300) {
            let mut elf = testing::module("depends=a");
            for (index, byte) in value.iter().enumerate() {
                if let Some(place) = elf.get_mut(4 + at + index) {
                    *place = *byte;
                }
            }
            elf.truncate(cut.max(8));
            parse(&elf);
        }
    }
}
