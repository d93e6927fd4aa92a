//! The few requests of rtnetlink(7) that set an interface up.

#![expect(
    clippy::host_endian_bytes,
    reason = "rtnetlink speaks the byte order of the machine"
)]

use std::net::Ipv4Addr;

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use std::os::fd::OwnedFd;

const NLMSG_ERROR: u16 = 2;
const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
/// `NLM_F_REQUEST | NLM_F_ACK`
const REQUEST: u16 = 5;
/// `NLM_F_CREATE | NLM_F_REPLACE`
const REPLACE: u16 = 0x500;
const AF_INET: u8 = 2;
const IFF_UP: u32 = 1;
const HEADER_BYTES: usize = 16;

/// A connection to the kernel's routing tables.
pub(crate) struct Netlink {
    socket: OwnedFd,
}

impl Netlink {
    pub(crate) fn open() -> Result<Self, String> {
        let socket = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            // NETLINK_ROUTE is 0.
            None,
        )
        .map_err(|error| format!("cannot open rtnetlink: {error}"))?;
        Ok(Self { socket })
    }

    /// Brings an interface up.
    pub(crate) fn up(&self, index: u32) -> Result<(), String> {
        let mut body = vec![0, 0, 0, 0];
        body.extend(index.to_ne_bytes());
        body.extend(IFF_UP.to_ne_bytes());
        body.extend(IFF_UP.to_ne_bytes());
        self.ask(RTM_NEWLINK, 0, &body)
            .map_err(|error| format!("cannot bring interface {index} up: {error}"))
    }

    /// Gives an interface an address.
    pub(crate) fn address(&self, index: u32, address: Ipv4Addr, prefix: u8) -> Result<(), String> {
        let mut body = vec![AF_INET, prefix, 0, 0];
        body.extend(index.to_ne_bytes());
        let host_bits = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
        let broadcast = Ipv4Addr::from(u32::from(address) | host_bits);
        // IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST
        for (kind, value) in [(1, address), (2, address), (4, broadcast)] {
            if kind != 4 || prefix < 31 {
                attribute(&mut body, kind, &value.octets());
            }
        }
        self.ask(RTM_NEWADDR, REPLACE, &body)
            .map_err(|error| format!("cannot set the address {address}/{prefix}: {error}"))
    }

    /// Sends everything that has no other way through `gateway`.
    pub(crate) fn default_route(&self, index: u32, gateway: Ipv4Addr) -> Result<(), String> {
        // Table main, protocol boot, scope universe, type unicast.
        let mut body = vec![AF_INET, 0, 0, 0, 254, 3, 0, 1];
        body.extend(0_u32.to_ne_bytes());
        // RTA_GATEWAY, RTA_OIF
        attribute(&mut body, 5, &gateway.octets());
        attribute(&mut body, 4, &index.to_ne_bytes());
        self.ask(RTM_NEWROUTE, REPLACE, &body)
            .map_err(|error| format!("cannot set the gateway {gateway}: {error}"))
    }

    fn ask(&self, kind: u16, flags: u16, body: &[u8]) -> Result<(), rustix::io::Errno> {
        let message = message(kind, flags, body);
        let kernel = SocketAddrNetlink::new(0, 0);
        rustix::net::sendto(&self.socket, &message, SendFlags::empty(), &kernel)?;
        let mut answer = [0; 4096];
        let (_, length) = rustix::net::recv(&self.socket, &mut answer[..], RecvFlags::empty())?;
        acknowledged(&answer[..length.min(4096)])
    }
}

fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER_BYTES + body.len()).expect("requests are short");
    let mut message = Vec::with_capacity(HEADER_BYTES + body.len());
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend((REQUEST | flags).to_ne_bytes());
    message.extend(1_u32.to_ne_bytes());
    message.extend(0_u32.to_ne_bytes());
    message.extend(body);
    message
}

/// Appends an attribute, padded to four bytes.
fn attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).expect("attributes are short");
    body.extend(length.to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

/// The kernel's answer: an error message whose number is zero where all is well.
fn acknowledged(answer: &[u8]) -> Result<(), rustix::io::Errno> {
    let kind = answer.get(4..6).map(|bytes| [bytes[0], bytes[1]]);
    let code = answer.get(HEADER_BYTES..HEADER_BYTES + 4);
    match (kind.map(u16::from_ne_bytes), code) {
        (Some(NLMSG_ERROR), Some(code)) => {
            match i32::from_ne_bytes([code[0], code[1], code[2], code[3]]) {
                0 => Ok(()),
                code => Err(rustix::io::Errno::from_raw_os_error(code.wrapping_neg())),
            }
        }
        _ => Err(rustix::io::Errno::PROTO),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_and_answers_are_laid_out_as_the_kernel_has_them() {
        let mut body = Vec::new();
        attribute(&mut body, 4, &[1, 2, 3, 4, 5]);
        assert_eq!(body.len(), 12);
        assert_eq!(body[..2], 9_u16.to_ne_bytes());
        let message = message(RTM_NEWADDR, REPLACE, &body);
        assert_eq!(message[..4], 28_u32.to_ne_bytes());
        let answer = |kind: u16, code: i32| {
            let mut answer = vec![0; 36];
            answer[4..6].copy_from_slice(&kind.to_ne_bytes());
            answer[16..20].copy_from_slice(&code.to_ne_bytes());
            acknowledged(&answer)
        };
        assert_eq!(answer(NLMSG_ERROR, 0), Ok(()));
        assert_eq!(answer(NLMSG_ERROR, -1), Err(rustix::io::Errno::PERM));
        assert_eq!(answer(3, 0), Err(rustix::io::Errno::PROTO));
        assert!(acknowledged(&[0; 7]).is_err());
    }
}
