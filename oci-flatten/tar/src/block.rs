//! Bytes in blocks.

/// Tar archives are made of blocks of this many bytes.
pub const BLOCK_BYTES: usize = 512;

pub(crate) type Block = [u8; BLOCK_BYTES];

/// Splits up to `limit` bytes off the front.
pub(crate) fn take<'i>(input: &mut &'i [u8], limit: u64) -> &'i [u8] {
    let count = usize::try_from(limit)
        .unwrap_or(usize::MAX)
        .min(input.len());
    let (head, tail) = input.split_at(count);
    *input = tail;
    head
}

/// Bytes from the end of a body to the next block.
pub(crate) fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK_BYTES as u64
}

/// Copies bytes into a buffer in place of what it holds, to keep its memory.
pub(crate) fn replace(target: &mut Vec<u8>, source: &[u8]) {
    target.clear();
    target.extend_from_slice(source);
}

pub(crate) fn is_zero(block: &Block) -> bool {
    block.iter().all(|&byte| byte == 0)
}

/// The bytes up to the first NUL.
pub(crate) fn c_string(bytes: &[u8]) -> &[u8] {
    let end = bytes
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(bytes.len());
    &bytes[..end]
}
