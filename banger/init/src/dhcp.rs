//! A small DHCP client (RFC 2131, options of RFC 2132).

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use crate::spec::Address;

const CLIENT_PORT: u16 = 68;
const SERVER_PORT: u16 = 67;
/// How long is waited for a server, all tries together.
const WAIT: Duration = Duration::from_secs(5);
/// The first wait for an answer; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// The lease where a server says nothing, in seconds: an hour.
const DEFAULT_LEASE: u32 = 3600;
/// Offsets in a message.
const YIADDR: usize = 16;
const OPTIONS: usize = 240;
const MAGIC: [u8; 4] = [99, 130, 83, 99];

const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACK: u8 = 5;
const NAK: u8 = 6;

/// What a server lends.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Lease {
    pub(crate) address: Address,
    server: Ipv4Addr,
    seconds: u32,
}

/// A message from a server.
#[derive(Debug, Eq, PartialEq)]
struct Answer {
    kind: u8,
    lease: Lease,
}

/// The client on one interface.
pub(crate) struct Client {
    socket: UdpSocket,
    mac: [u8; 6],
    transaction: u32,
}

impl Client {
    pub(crate) fn open(interface: &str, mac: [u8; 6]) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_address(true)?;
        socket.set_broadcast(true)?;
        socket.bind_device(Some(interface.as_bytes()))?;
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, CLIENT_PORT));
        socket.bind(&any.into())?;
        Ok(Self {
            socket: socket.into(),
            mac,
            transaction: u32::from_be_bytes([mac[2], mac[3], mac[4], mac[5]]),
        })
    }

    /// Asks for an address; none when no server answers in time.
    pub(crate) fn lease(&mut self) -> io::Result<Option<Lease>> {
        let deadline = Instant::now() + WAIT;
        let offer = self.exchange(
            &[(53, vec![DISCOVER])],
            Ipv4Addr::UNSPECIFIED,
            OFFER,
            deadline,
        )?;
        let Some(offer) = offer else {
            return Ok(None);
        };
        let options = [
            (53, vec![REQUEST]),
            (50, offer.address.address.octets().to_vec()),
            (54, offer.server.octets().to_vec()),
        ];
        self.exchange(&options, Ipv4Addr::UNSPECIFIED, ACK, deadline)
    }

    /// Keeps a lease, for ever: asks for it again at half of its time.
    pub(crate) fn keep(mut self, lease: &Lease) {
        if lease.seconds == u32::MAX {
            return;
        }
        let wait = Duration::from_secs(u64::from(lease.seconds / 2).max(60));
        loop {
            std::thread::sleep(wait);
            let deadline = Instant::now() + WAIT;
            let options = [(53, vec![REQUEST])];
            let _ = self.exchange(&options, lease.address.address, ACK, deadline);
        }
    }

    fn exchange(
        &mut self,
        options: &[(u8, Vec<u8>)],
        own: Ipv4Addr,
        wanted: u8,
        deadline: Instant,
    ) -> io::Result<Option<Lease>> {
        self.transaction = self.transaction.wrapping_add(1);
        let message = message(self.transaction, self.mac, own, options);
        let mut wait = FIRST_WAIT;
        while Instant::now() < deadline {
            self.socket
                .send_to(&message, (Ipv4Addr::BROADCAST, SERVER_PORT))?;
            let until = deadline.min(Instant::now() + wait);
            while let Some(left) = until
                .checked_duration_since(Instant::now())
                .filter(|left| !left.is_zero())
            {
                self.socket.set_read_timeout(Some(left))?;
                let mut buffer = [0; 1500];
                let count = match self.socket.recv(&mut buffer) {
                    Ok(count) => count,
                    Err(error) if is_timeout(&error) => break,
                    Err(error) => return Err(error),
                };
                match answer(&buffer[..count], self.transaction, self.mac) {
                    Some(answer) if answer.kind == wanted => return Ok(Some(answer.lease)),
                    Some(answer) if answer.kind == NAK => return Ok(None),
                    _ => {}
                }
            }
            wait *= 2;
        }
        Ok(None)
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

/// A message to a server. Answers are asked for as broadcasts: this machine has no address yet.
fn message(transaction: u32, mac: [u8; 6], own: Ipv4Addr, options: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut message = vec![0; OPTIONS];
    message[..4].copy_from_slice(&[1, 1, 6, 0]);
    message[4..8].copy_from_slice(&transaction.to_be_bytes());
    message[10] = 0x80;
    message[12..16].copy_from_slice(&own.octets());
    message[28..34].copy_from_slice(&mac);
    message[236..OPTIONS].copy_from_slice(&MAGIC);
    // Wanted: netmask, router, name servers, lease time.
    let wanted = (55, vec![1, 3, 6, 51]);
    for (kind, value) in options.iter().chain([&wanted]) {
        message.push(*kind);
        message.push(u8::try_from(value.len()).expect("options are short"));
        message.extend(value);
    }
    message.push(255);
    // Some relays drop what is shorter than BOOTP's messages.
    message.resize(message.len().max(300), 0);
    message
}

/// Reads an answer to the transaction.
fn answer(message: &[u8], transaction: u32, mac: [u8; 6]) -> Option<Answer> {
    let is_ours = message.first() == Some(&2)
        && message.get(4..8)? == transaction.to_be_bytes()
        && message.get(28..34)? == mac
        && message.get(236..OPTIONS)? == MAGIC;
    if !is_ours {
        return None;
    }
    let address = addresses(message.get(YIADDR..YIADDR + 4)?).next()?;
    let mut answer = Answer {
        kind: 0,
        lease: Lease {
            address: Address {
                address,
                prefix: 32,
                gateway: None,
                nameservers: Vec::new(),
            },
            server: Ipv4Addr::UNSPECIFIED,
            seconds: DEFAULT_LEASE,
        },
    };
    let mut rest = &message[OPTIONS..];
    while let [kind, tail @ ..] = rest {
        match kind {
            0 => {
                rest = tail;
                continue;
            }
            255 => break,
            _ => {}
        }
        let (length, tail) = tail.split_first()?;
        let value = tail.get(..usize::from(*length))?;
        rest = &tail[value.len()..];
        let lease = &mut answer.lease;
        match kind {
            1 => {
                let mask = u32::from(addresses(value).next()?);
                lease.address.prefix = u8::try_from(mask.leading_ones()).unwrap_or(32);
            }
            3 => lease.address.gateway = addresses(value).next(),
            6 => lease.address.nameservers = addresses(value).take(3).collect(),
            51 => lease.seconds = u32::from_be_bytes(value.try_into().ok()?),
            53 => answer.kind = *value.first()?,
            54 => lease.server = addresses(value).next()?,
            _ => {}
        }
    }
    Some(answer)
}

fn addresses(value: &[u8]) -> impl Iterator<Item = Ipv4Addr> {
    value
        .chunks_exact(4)
        .map(|octets| Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];

    fn offered(options: &[u8]) -> Vec<u8> {
        let mut bytes = message(7, MAC, Ipv4Addr::UNSPECIFIED, &[]);
        bytes.truncate(OPTIONS);
        bytes[0] = 2;
        bytes[YIADDR..YIADDR + 4].copy_from_slice(&[10, 0, 2, 15]);
        bytes.extend(options);
        bytes
    }

    #[test]
    fn an_offer_is_read() {
        let bytes = offered(&[
            53, 1, OFFER, 0, 1, 4, 255, 255, 255, 0, 3, 4, 10, 0, 2, 2, 6, 8, 10, 0, 2, 3, 1, 1, 1,
            1, 51, 4, 0, 1, 81, 128, 54, 4, 10, 0, 2, 2, 255,
        ]);
        let answer = answer(&bytes, 7, MAC).unwrap();
        assert_eq!(answer.kind, OFFER);
        assert_eq!(answer.lease.seconds, 86400);
        assert_eq!(answer.lease.server, Ipv4Addr::new(10, 0, 2, 2));
        let address = answer.lease.address;
        assert_eq!(
            crate::spec::Network::Static(address).to_string(),
            "10.0.2.15/24,10.0.2.2,10.0.2.3,1.1.1.1"
        );
        assert_eq!(self::answer(&bytes, 8, MAC), None);
        assert_eq!(self::answer(&bytes, 7, [0; 6]), None);
        assert_eq!(
            self::answer(&bytes[..243], 7, MAC).map(|a| a.kind),
            Some(OFFER)
        );
        assert_eq!(self::answer(&bytes[..242], 7, MAC), None);
    }

    #[test]
    fn a_request_is_as_long_as_bootp_wants_it_and_asks_for_a_broadcast() {
        let bytes = message(1, MAC, Ipv4Addr::UNSPECIFIED, &[(53, vec![DISCOVER])]);
        assert_eq!(bytes.len(), 300);
        assert_eq!(bytes[10], 0x80);
        assert_eq!(bytes[OPTIONS..OPTIONS + 3], [53, 1, DISCOVER]);
    }

    proptest! {
        #[test]
        fn no_message_makes_it_panic(options in prop::collection::vec(any::<u8>(), 0..80)) {
            answer(&offered(&options), 7, MAC);
            answer(&options, 7, MAC);
        }
    }
}
