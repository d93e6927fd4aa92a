//! What the tests are made of.

pub(crate) mod gateway;
pub(crate) mod image;
pub(crate) mod memory;
pub(crate) mod proxy;
pub(crate) mod pull;
pub(crate) mod server;
pub(crate) mod tls;

/// Whether all outside tools are there.
pub(crate) fn ready() -> bool {
    ["docker-registry", "skopeo", "openssl", "htpasswd"]
        .map(banger_tests::tool)
        .iter()
        .all(|found| *found)
}
