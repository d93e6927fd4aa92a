//! Pulls from Debian's `docker-registry` on a loopback address, directly and through a proxy that breaks things.

mod access;
mod cached;
mod faults;
mod parts;
mod places;
mod tokens;
