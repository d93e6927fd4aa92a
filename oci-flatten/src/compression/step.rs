//! What the decoder of a format does, a step at a time.

use super::{Compression, DecompressError};

/// What one step of a decoder did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Step {
    /// Bytes taken from the input.
    pub(super) taken: usize,
    /// Bytes put into the output.
    pub(super) given: usize,
    /// The member is over, and all of its output was given.
    pub(super) ended: bool,
}

/// A decoder of one member after the other.
pub(super) trait Codec: Send {
    /// Whether a member may begin with this byte.
    fn begins(&self, byte: u8) -> bool;

    /// Makes ready for a member.
    fn begin(&mut self) -> Result<(), DecompressError>;

    /// Takes some of the input, which is empty when there is no more, and fills some of the output, which is not empty. A step that does
    /// neither wants more input.
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, DecompressError>;
}

pub(super) fn malformed(compression: Compression, problem: impl ToString) -> DecompressError {
    DecompressError::Malformed {
        compression,
        problem: problem.to_string(),
    }
}

pub(super) fn trailing(compression: Compression, byte: u8) -> DecompressError {
    let problem = format!("trailing byte {byte:#04x} after the {compression} data");
    malformed(compression, problem)
}
