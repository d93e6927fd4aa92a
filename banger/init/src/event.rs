//! What the guest tells its host: one JSON object a line.

use serde::{Deserialize, Serialize};

/// Something that happened in the guest.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event {
    /// The program has been started; or is about to become PID 1, after which nothing more is told.
    Started {
        /// The program and its arguments.
        argv: Vec<String>,
    },
    /// The program has ended, and everything that it wrote is on disk. Either a code or a signal.
    Exited {
        /// Its exit code.
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<u8>,
        /// The number of the signal that ended it.
        #[serde(skip_serializing_if = "Option::is_none")]
        signal: Option<i32>,
    },
    /// The program could not be started.
    Failed {
        /// What was being done.
        step: String,
        /// What went wrong.
        error: String,
        /// The exit code that container tools give for it: 126 for a program that cannot be started,
        /// 127 for one that is not there; none where the fault is not the program's.
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<u8>,
    },
}

impl Event {
    /// The event as a line, with its end.
    #[must_use]
    pub fn to_line(&self) -> String {
        let mut line = serde_json::to_string(self).expect("an event has string keys and no floats");
        line.push('\n');
        line
    }

    /// Reads a line.
    #[must_use]
    pub fn from_line(line: &str) -> Option<Self> {
        serde_json::from_str(line.trim()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_the_documented_lines() {
        let cases = [
            (
                Event::Started {
                    argv: vec!["/app".into(), "a b".into()],
                },
                r#"{"event":"started","argv":["/app","a b"]}"#,
            ),
            (
                Event::Exited {
                    code: Some(42),
                    signal: None,
                },
                r#"{"event":"exited","code":42}"#,
            ),
            (
                Event::Exited {
                    code: None,
                    signal: Some(9),
                },
                r#"{"event":"exited","signal":9}"#,
            ),
            (
                Event::Failed {
                    step: "root".into(),
                    error: "no disk".into(),
                    code: None,
                },
                r#"{"event":"failed","step":"root","error":"no disk"}"#,
            ),
        ];
        for (event, line) in cases {
            assert_eq!(event.to_line().trim_end(), line);
            assert_eq!(Event::from_line(line), Some(event));
        }
        assert_eq!(Event::from_line("login:"), None);
    }
}
