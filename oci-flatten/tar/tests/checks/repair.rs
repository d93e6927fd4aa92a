//! Checksums that fit, since no mutation would ever find them.

/// The archive with the checksum of every header made right, as far as headers can be followed.
pub(crate) fn repaired(archive: &[u8]) -> Vec<u8> {
    let mut archive = archive.to_vec();
    let mut at = 0;
    while let Some(block) = archive.get_mut(at..at + 512) {
        at += 512;
        if block.iter().any(|&byte| byte != 0) {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            let is_header_only = matches!(block[156], b'1'..=b'6');
            let size = if is_header_only {
                0
            } else {
                octal(&block[124..136])
            };
            at = at.saturating_add(size.next_multiple_of(512));
        }
    }
    archive
}

fn octal(field: &[u8]) -> usize {
    let digits = field.iter().filter(|byte| matches!(byte, b'0'..=b'7'));
    digits
        .fold(0, |value, digit| value << 3 | usize::from(digit - b'0'))
        .min(1 << 40)
}
