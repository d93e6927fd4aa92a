//! Layers and what they merge to, for tests and fuzz seeds. The writer of layers is the tar reader's.
//!
//! ```
//! use oci_flatten::testkit::{Entry, Layer};
//!
//! let layer = Layer::new()
//!     .entry(Entry::directory("etc").mode(0o755))
//!     .entry(Entry::file("etc/.wh.issue", ""))
//!     .finish();
//! assert_eq!(layer.len() % 512, 0);
//! ```

mod listing;
mod sink;

pub use listing::{IMPLIED_MTIME, flatten, list};
pub use sink::{MemoryContent, MemorySink, MisusedContent};
pub use tar_events::testkit::{Archive as Layer, Checksum, Entry, Field, Header, pax_record};
