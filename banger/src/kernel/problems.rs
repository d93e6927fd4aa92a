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

    /// One failure that tells all problems, or nothing when there are none. Its kind is that of the
    /// problems; where they differ, the first of usage, not found, failure.
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
            false => [ErrorKind::Usage, ErrorKind::NotFound]
                .into_iter()
                .find(|kind| kinds.contains(kind))
                .unwrap_or(ErrorKind::Failure),
        };
        let lines: Vec<String> = self
            .found
            .iter()
            .map(|(flag, error)| line(flag, error))
            .collect();
        let message = match lines.as_slice() {
            [only] => only.clone(),
            many => format!("{} things are wrong:\n  {}", many.len(), many.join("\n  ")),
        };
        let flags: Vec<&str> = self.found.iter().map(|(flag, _)| *flag).collect();
        let mut unique: Vec<&str> = Vec::new();
        for flag in flags {
            if !unique.contains(&flag) {
                unique.push(flag);
            }
        }
        Err(Error::new(kind, message).with_hint(format!("give another {}", unique.join(", "))))
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
        let error = problems.into_result().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(
            error.to_string(),
            "2 things are wrong:\n  --kernel: a is no kernel\n  --initrd: b is missing"
        );
        assert_eq!(error.hint(), Some("give another --kernel, --initrd"));
        assert!(Problems::default().into_result().is_ok());
    }
}
