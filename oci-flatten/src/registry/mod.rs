//! Images of registries, by the
//! [distribution specification](https://github.com/opencontainers/distribution-spec/blob/main/spec.md).
//!
//! ```text
//! source       reference ─► image; implements Source
//!   ├ download   one job a blob, running ahead; readers follow the file that is being written
//!   └ fetch      tries again, goes on where it stopped, turns from mirrors to the registry
//!      └ repository   manifests and blobs of one repository at one place
//! push         blobs and manifests into a repository; upload has its sessions
//!
//! endpoint     requests to one repository, with challenges answered: both ways end here
//!   ├ auth        credentials, tokens            ├ problem    refusals, as errors
//!   └ transport   one request with redirects     └ body       what arrives, decoded, in time
//!      └ proxy, address, tls, warnings   who may be connected to, and how
//! ```
//!
//! The words of the protocol's errors come from `oci-client`. Its client is not used: it makes its own connections, and
//! cannot bound bodies, forbid a redirect from https to http, see `Retry-After`, check a realm before credentials go
//! there, answer a 401 in the middle of a pull, or go on with a broken upload, and none of that can be added from
//! outside.

mod address;
mod auth;
mod body;
mod challenge;
mod download;
mod endpoint;
mod fetch;
mod problem;
mod proxy;
mod push;
mod repository;
mod request;
mod retry;
mod rules;
mod self_signed;
mod settings;
mod source;
mod tls;
mod transport;
mod upload;
mod warnings;

pub use push::{LocalBlob, Pushed, Pusher};
pub use retry::CertificateProblem;
pub use rules::{Location, Mirror, PullFromMirror, RegistryRule, RegistryRules};
pub use settings::{
    DistrustedMirrors, Proxies, PullPolicy, RegistrySettings, Retries, Timeouts, Trust,
};
pub use source::{PullOptions, RegistrySource};
