//! What extension headers say about the entry to come.

use crate::block::{c_string, replace};
use crate::error::TarProblem;
use crate::pax::PaxHeader;

#[derive(Debug, Default)]
pub(crate) struct Pending {
    pub(crate) headers: usize,
    pub(crate) pax: PaxHeader,
    pub(crate) long_name: Vec<u8>,
    pub(crate) long_link: Vec<u8>,
}

impl Pending {
    /// Takes a complete extension header over, in place of an earlier one of its type; the buffer stays the caller's.
    pub(crate) fn take(&mut self, type_flag: u8, body: &mut Vec<u8>) -> Result<(), TarProblem> {
        match type_flag {
            b'L' => replace(&mut self.long_name, c_string(body)),
            b'K' => replace(&mut self.long_link, c_string(body)),
            b'x' => self.pax.replace(body)?,
            _ => {
                // A global header is checked and dropped, and with it, as in Go, what came before it.
                self.pax.replace(body)?;
                self.clear();
            }
        }
        Ok(())
    }

    pub(crate) fn clear(&mut self) {
        if self.headers > 0 {
            self.headers = 0;
            self.pax.clear();
            self.long_name.clear();
            self.long_link.clear();
        }
    }
}
