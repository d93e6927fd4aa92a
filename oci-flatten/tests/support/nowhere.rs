//! A sink that keeps nothing, and what the process takes.

use std::convert::Infallible;
use std::hint::black_box;

use oci_flatten::apply::ContentSink;

pub(crate) struct Nowhere;

impl ContentSink for Nowhere {
    type Content = u32;
    type Error = Infallible;

    fn begin(&mut self, _size: u64) -> Result<(), Infallible> {
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        black_box(bytes.len());
        Ok(())
    }

    fn hole(&mut self, _length: u64) -> Result<(), Infallible> {
        Ok(())
    }

    fn end(&mut self) -> Result<u32, Infallible> {
        Ok(0)
    }

    fn release(&mut self, _content: u32) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Bytes of memory that the process has now, as the kernel counts them.
#[allow(dead_code, reason = "benches take the sink alone")]
pub(crate) fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("proc is mounted");
    let pages = statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok());
    pages.expect("statm is numbers") * 4096
}
