//! Everything that is wrong with a request, told at once.

use crate::error::{Error, ErrorKind};

/// Collects what is wrong, each with the flag that mends it.
#[derive(Debug, Default)]
pub struct Problems {
    found: Vec<(&'static str, Error)>,
}

impl Problems {
    /// Notes a problem that `flag` mends.
    pub fn add(&mut self, flag: &'static str, error: Error) {
        self.found.push((flag, error));
    }

    /// The value of `result`; a failure is noted as a problem that `flag` mends.
    pub fn take<T>(&mut self, flag: &'static str, result: Result<T, Error>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.add(flag, error);
                None
            }
        }
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// One failure that tells all problems, several of them as its causes. Its kind is that of the
    /// problems; where they differ, the first of interrupted, usage, not found, failure.
    ///
    /// # Errors
    ///
    /// There are problems.
    pub fn into_result(self) -> Result<(), Error> {
        let kinds: Vec<ErrorKind> = self.found.iter().map(|(_, error)| error.kind()).collect();
        let Some(first) = kinds.first() else {
            return Ok(());
        };
        let kind = match kinds.iter().all(|kind| kind == first) {
            true => *first,
            false => [
                ErrorKind::Interrupted,
                ErrorKind::Usage,
                ErrorKind::NotFound,
            ]
            .into_iter()
            .find(|kind| kinds.contains(kind))
            .unwrap_or(ErrorKind::Failure),
        };
        let hint = hint(&self.found);
        Err(chain(kind, &self.found).with_hint(hint))
    }
}

/// What mends the problems: their own hints, and for those without one another value of their flag.
fn hint(found: &[(&'static str, Error)]) -> String {
    let mut flags: Vec<&str> = Vec::new();
    let mut hints: Vec<String> = Vec::new();
    for (flag, error) in found {
        match error.hint() {
            Some(hint) if !hints.iter().any(|known| known == hint) => hints.push(hint.to_owned()),
            None if !flags.contains(flag) => flags.push(flag),
            _ => {}
        }
    }
    if !flags.is_empty() {
        hints.insert(0, format!("give another {}", flags.join(", ")));
    }
    hints.join("; ")
}

/// One problem as it is; of several a chain, so that each has a line of its own.
fn chain(kind: ErrorKind, found: &[(&'static str, Error)]) -> Error {
    if let [(flag, only)] = found {
        return Error::new(kind, line(flag, only));
    }
    let below = found
        .iter()
        .rev()
        .fold(None, |below: Option<Error>, (flag, error)| {
            let above = Error::new(error.kind(), line(flag, error));
            Some(match below {
                Some(below) => above.with_source(below),
                None => above,
            })
        });
    let message = format!("{} things are wrong with the request", found.len());
    let above = Error::new(kind, message);
    match below {
        Some(below) => above.with_source(below),
        None => above,
    }
}

/// `--kernel: read /boot/vmlinuz: No such file or directory (os error 2)`.
fn line(flag: &str, error: &Error) -> String {
    let mut line = format!("{flag}: {error}");
    for cause in error.causes() {
        line.push_str(": ");
        line.push_str(&cause);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_are_told_with_their_flags() {
        let mut problems = Problems::default();
        assert!(problems.is_empty());
        problems.add("--kernel", Error::new(ErrorKind::Failure, "a is no kernel"));
        problems.add("--initrd", Error::new(ErrorKind::NotFound, "b is missing"));
        let missing = Error::new(ErrorKind::NotFound, "no kernel is called c");
        problems.add("--kernel-ref", missing.with_hint("see the list"));
        let error = problems.into_result().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.to_string(), "3 things are wrong with the request");
        assert_eq!(
            error.causes(),
            [
                "--kernel: a is no kernel",
                "--initrd: b is missing",
                "--kernel-ref: no kernel is called c"
            ]
        );
        assert_eq!(
            error.hint(),
            Some("give another --kernel, --initrd; see the list")
        );
        assert!(Problems::default().into_result().is_ok());
    }
}
