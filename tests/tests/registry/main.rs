//! Pulls from Debian's `docker-registry` on a loopback address, directly and through a proxy that breaks things.

mod access;
mod answers;
mod asking;
mod cached;
mod faults;
mod gateways;
mod hints;
mod parts;
mod places;
mod pushing;
mod shortcuts;
mod tokens;
