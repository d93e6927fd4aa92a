//! Bounds on what an archive can make the reader hold.

/// The bounds of one archive; [`Limits::default`] fits every honest one known.
///
/// A bound is inclusive: what equals it is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of one PAX or GNU extension header, and of one sparse map (Go's `archive/tar` has the same bound).
    pub extension_bytes: usize,
    /// Extension headers that may precede one entry.
    pub extension_headers: usize,
    /// Logical size of one file in bytes, holes included.
    pub file_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            extension_bytes: 1 << 20,
            extension_headers: 16,
            file_bytes: u64::MAX,
        }
    }
}

/// A bound that was passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} is {value} {unit} (limit {limit})")]
pub struct LimitExceeded {
    /// What was measured.
    pub what: &'static str,
    /// What it came to, at least: counting stops with the first too many.
    pub value: u64,
    /// What is counted.
    pub unit: &'static str,
    /// The bound.
    pub limit: u64,
}

impl LimitExceeded {
    /// Accepts `value` up to `limit`.
    ///
    /// # Errors
    /// `value` is above `limit`.
    pub fn check(
        what: &'static str,
        value: u64,
        unit: &'static str,
        limit: u64,
    ) -> Result<(), Self> {
        if value > limit {
            return Err(Self {
                what,
                value,
                unit,
                limit,
            });
        }
        Ok(())
    }
}
