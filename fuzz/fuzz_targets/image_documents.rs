//! Bytes as an index, manifests and configs that refer to one another: what image they lead to.
//!
//! Invariants:
//! - No panic; the same documents lead to the same image or the same error, which has a text.
//! - Only documents are read, within their limits; never a layer, never an attestation; never more than the limits on
//!   an index allow.
//! - Manifest and config of an image are documents byte for byte, the digest is the manifest's, the platform one that
//!   runs where it was asked for, and each layer has digest, size and diff_id.
//!
//! Findings go to `oci-flatten/tests/checks/findings/image_documents/`, which plain `cargo test -p oci-flatten` replays.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../oci-flatten/tests/checks/image_documents.rs"]
mod image_documents;

fuzz_target!(|data: &[u8]| image_documents::check(data));
