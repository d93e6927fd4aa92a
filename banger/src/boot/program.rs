//! Whether a file of the tree is a program that a kernel could start.

use super::tree::{RootTree, TreeKind};
use crate::error::Error;
use crate::kernel::Architecture;

/// Bytes read of a program: room for its ELF header, its program headers and its interpreter's path.
const HEAD_BYTES: u64 = 16 << 10;
/// `PT_INTERP`, elf(5).
const PT_INTERP: u32 = 3;

/// A program that can be started.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Program {
    /// The path by which it was asked for.
    pub path: String,
    /// The path without symbolic links.
    pub target: String,
    /// Its architecture; none for a script.
    pub architecture: Option<Architecture>,
}

/// Why a path is no program.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ProgramError {
    /// Nothing is there, or a directory.
    Missing,
    /// Something is there that cannot be started, for the reason given.
    Unusable(String),
}

/// Looks at the program that `path` leads to: a regular, executable file, an ELF file whose interpreter
/// is in the tree or a script whose interpreter is.
///
/// # Errors
///
/// The tree cannot be read.
pub fn inspect_program(
    tree: &dyn RootTree,
    path: &str,
) -> Result<Result<Program, ProgramError>, Error> {
    let Some(entry) = tree
        .entry(path)?
        .filter(|entry| entry.kind == TreeKind::File)
    else {
        return Ok(Err(ProgramError::Missing));
    };
    let unusable = |why: String| Ok(Err(ProgramError::Unusable(format!("{path} {why}"))));
    if entry.mode & 0o111 == 0 {
        return unusable("is not executable".into());
    }
    let head = tree.read_start(&entry.path, HEAD_BYTES)?;
    let (interpreter, architecture) = if head.starts_with(b"\x7fELF") {
        (elf_interpreter(&head), Architecture::from_elf(&head))
    } else if let Some(line) = head.strip_prefix(b"#!") {
        (script_interpreter(line), None)
    } else {
        return unusable("is neither an ELF file nor a script".into());
    };
    if let Some(interpreter) = interpreter {
        let found = tree.entry(&interpreter)?;
        if !found.is_some_and(|entry| entry.kind == TreeKind::File) {
            return unusable(format!("needs {interpreter}, which is not in the tree"));
        }
    }
    Ok(Ok(Program {
        path: path.to_owned(),
        target: entry.path,
        architecture,
    }))
}

fn script_interpreter(line: &[u8]) -> Option<String> {
    let line = line.split(|byte| *byte == b'\n').next()?;
    let text = std::str::from_utf8(line).ok()?;
    Some(text.split_whitespace().next()?.to_owned())
}

/// The path in the `PT_INTERP` segment of a little-endian ELF file, when it lies in `head`.
fn elf_interpreter(head: &[u8]) -> Option<String> {
    let is_64_bit = *head.get(4)? == 2;
    let half = |at: usize| {
        Some(u16::from_le_bytes(
            head.get(at..at.checked_add(2)?)?.try_into().ok()?,
        ))
    };
    let word = |at: usize| {
        Some(u32::from_le_bytes(
            head.get(at..at.checked_add(4)?)?.try_into().ok()?,
        ))
    };
    let offset = |at: usize| -> Option<usize> {
        if is_64_bit {
            let bytes = head.get(at..at.checked_add(8)?)?;
            usize::try_from(u64::from_le_bytes(bytes.try_into().ok()?)).ok()
        } else {
            usize::try_from(word(at)?).ok()
        }
    };
    // e_phoff, e_phentsize, e_phnum; then p_offset and p_filesz in each program header.
    let (table, size_at, offset_at, length_at) = match is_64_bit {
        true => (offset(32)?, 54, 8, 32),
        false => (offset(28)?, 42, 4, 16),
    };
    let (size, count) = (usize::from(half(size_at)?), usize::from(half(size_at + 2)?));
    for index in 0..count {
        let header = table.checked_add(index.checked_mul(size)?)?;
        if word(header)? != PT_INTERP {
            continue;
        }
        let start = offset(header.checked_add(offset_at)?)?;
        let length = offset(header.checked_add(length_at)?)?;
        let path = head.get(start..start.checked_add(length)?)?;
        let path = path.split(|byte| *byte == 0).next()?;
        return Some(std::str::from_utf8(path).ok()?.to_owned());
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_header_makes_it_panic(mut head in prop::collection::vec(any::<u8>(), 0..300)) {
            for (index, byte) in b"\x7fELF\x02".iter().enumerate().take(head.len()) {
                head[index] = *byte;
            }
            elf_interpreter(&head);
        }
    }
}
