//! Layouts, archives and root filesystem tars: how each is opened, and what each refuses.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests may")]

mod support;

#[path = "sources/archives.rs"]
mod archives;
#[path = "sources/corpus.rs"]
mod corpus;
#[path = "sources/docker.rs"]
mod docker;
#[path = "sources/layouts.rs"]
mod layouts;
#[path = "sources/tools.rs"]
mod tools;

use std::sync::Arc;

use oci_flatten::error::{Error, ErrorKind};
use oci_flatten::source::Source;

fn assert_error(outcome: Result<Arc<dyn Source>, Error>, kind: ErrorKind, text: &str) {
    let Err(error) = outcome else {
        panic!("opened, but wanted: {text}")
    };
    assert_eq!(error.kind(), kind, "{error}");
    support::assert_nothing_said_twice(&error);
    assert!(error.message().contains(text), "{error} (wanted {text})");
}

fn assert_failed(outcome: Result<support::Merged, Error>, kind: ErrorKind, text: &str) {
    let error = outcome.expect_err(text);
    assert_eq!(error.kind(), kind, "{error}");
    support::assert_nothing_said_twice(&error);
    assert!(error.message().contains(text), "{error} (wanted {text})");
}
