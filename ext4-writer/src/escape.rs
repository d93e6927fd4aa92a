//! Names and paths for messages.

/// The longest path of Linux, which is shown whole.
const SHOWN_BYTES: usize = 4096;

/// Bytes for a message: printable, and of bounded length.
pub(crate) fn escaped(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(SHOWN_BYTES)];
    let dots = if bytes.len() > SHOWN_BYTES { "…" } else { "" };
    format!("{}{dots}", shown.escape_ascii())
}
