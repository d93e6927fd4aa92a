//! How long a kernel's own headers say that it is, at least.

/// Where the last byte lies that the program headers and the section headers of a little-endian ELF file need (elf(5)), as far
/// as they are within `head`.
pub(super) fn of_elf(head: &[u8]) -> Option<u64> {
    let is_64_bit = *head.get(4)? == 2;
    let address = |at: usize| match is_64_bit {
        true => long(head, at),
        false => word(head, at).map(u64::from),
    };
    // e_phoff, e_shoff, e_phentsize; then p_offset and p_filesz in a program header.
    let (programs, sections, sizes, offset_at, length_at) = match is_64_bit {
        true => (address(32)?, address(40)?, 54, 8, 32),
        false => (address(28)?, address(32)?, 42, 4, 16),
    };
    let number = |index: usize| half(head, sizes + 2 * index).map(u64::from);
    let (program_size, program_count) = (number(0)?, number(1)?);
    let (section_size, section_count) = (number(2)?, number(3)?);
    let table_end = |start: u64, size: u64, count: u64| match start {
        0 => 0,
        start => start.saturating_add(size * count),
    };
    let mut end = table_end(sections, section_size, section_count).max(table_end(
        programs,
        program_size,
        program_count,
    ));
    for index in 0..program_count {
        let header = usize::try_from(programs.saturating_add(index * program_size)).ok()?;
        let fields = (header.checked_add(offset_at), header.checked_add(length_at));
        let (Some(offset), Some(length)) = (fields.0.and_then(address), fields.1.and_then(address))
        else {
            break;
        };
        if length > 0 {
            end = end.max(offset.saturating_add(length));
        }
    }
    Some(end)
}

/// Where the last byte of the sections of an EFI program lies ("MZ", the offset of the PE header at 0x3c), as far as their headers
/// are within `head`.
pub(super) fn of_pe(head: &[u8]) -> Option<u64> {
    if !head.starts_with(b"MZ") {
        return None;
    }
    let pe = usize::try_from(word(head, 0x3c)?).ok()?;
    if head.get(pe..pe.checked_add(4)?)? != b"PE\0\0" {
        return None;
    }
    let count = usize::from(half(head, pe + 6)?);
    let sections = pe + 24 + usize::from(half(head, pe + 20)?);
    let ends = (0..count).map_while(|index| {
        let header = sections + 40 * index;
        let (length, offset) = (word(head, header + 16)?, word(head, header + 20)?);
        Some(u64::from(length) + u64::from(offset))
    });
    ends.max()
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_header_makes_it_panic(mut head in prop::collection::vec(any::<u8>(), 0..1024), elf: bool) {
            let magic: &[u8] = if elf { b"\x7fELF\x02" } else { b"MZ" };
            for (index, byte) in magic.iter().enumerate().take(head.len()) {
                head[index] = *byte;
            }
            of_elf(&head);
            of_pe(&head);
        }
    }
}
