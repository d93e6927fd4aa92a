use crate::limits::LimitExceeded;

/// Bytes that are no tar archive, or a broken or hostile one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("tar archive at byte {offset}: {problem}")]
pub struct TarError {
    /// Where in the archive reading stopped, in bytes.
    pub offset: u64,
    /// What is wrong there.
    pub problem: TarProblem,
}

/// What can be wrong with a tar archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TarProblem {
    /// The header's checksum is neither the unsigned nor the signed sum of its bytes.
    #[error("header checksum does not match")]
    Checksum,
    /// A numeric field is no number, or one that does not fit 64 bits.
    #[error("{0} is not a number")]
    Number(&'static str),
    /// A body of less than no bytes.
    #[error("size is negative")]
    NegativeSize,
    /// A record of a PAX header without length, `=` or newline, or with a NUL where none may be.
    #[error("pax record is malformed")]
    PaxRecord,
    /// A sparse map whose pieces overlap, go backwards, or leave the file.
    #[error("sparse map is malformed")]
    SparseMap,
    /// A sparse file with less or more data than its map speaks of.
    #[error("sparse file has {0} data than its map")]
    SparseData(&'static str),
    /// One block of zeros followed by more entries: half an end marker.
    #[error("single zero block between entries")]
    LoneZeroBlock,
    /// The archive stops inside a header or a body.
    #[error("archive is cut short")]
    Truncated,
    /// More than the limits allow.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
}
