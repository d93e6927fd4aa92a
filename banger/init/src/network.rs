//! The network of the guest: loopback, and the first Ethernet interface.

use std::fs;
use std::path::Path;

use crate::dhcp::Client;
use crate::netlink::Netlink;
use crate::spec::{Address, Network};

/// `ARPHRD_ETHER`, include/uapi/linux/if_arp.h
const ETHERNET: &str = "1";

/// Sets the network up. Returns the address that the guest has, and what did not work: a guest without a
/// network is of use all the same.
pub(crate) fn set_up(network: &Network) -> (Option<Address>, Option<String>) {
    match try_set_up(network) {
        Ok(address) => (address, None),
        Err(problem) => (None, Some(problem)),
    }
}

fn try_set_up(network: &Network) -> Result<Option<Address>, String> {
    let netlink = Netlink::open()?;
    netlink.up(index("lo").ok_or("there is no loopback interface")?)?;
    if *network == Network::None {
        return Ok(None);
    }
    let Some(interface) = first_ethernet() else {
        return match network {
            Network::Static(_) => Err("the machine has no Ethernet interface".into()),
            _ => Ok(None),
        };
    };
    let index = index(&interface).ok_or_else(|| format!("{interface} is gone"))?;
    netlink.up(index)?;
    let address = match network {
        Network::Static(address) => address.clone(),
        _ => leased(&interface)?,
    };
    netlink.address(index, address.address, address.prefix)?;
    if let Some(gateway) = address.gateway {
        netlink.default_route(index, gateway)?;
    }
    Ok(Some(address))
}

fn leased(interface: &str) -> Result<Address, String> {
    let told = |error: std::io::Error| format!("cannot ask for an address on {interface}: {error}");
    let mac = mac(interface).ok_or_else(|| format!("{interface} has no hardware address"))?;
    let mut client = Client::open(interface, mac).map_err(told)?;
    let lease = client.lease().map_err(told)?;
    let lease = lease.ok_or_else(|| format!("no DHCP server answers on {interface}"))?;
    let address = lease.address.clone();
    std::thread::spawn(move || client.keep(&lease));
    Ok(address)
}

fn attribute(interface: &str, name: &str) -> Option<String> {
    let path = Path::new("/sys/class/net").join(interface).join(name);
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

fn index(interface: &str) -> Option<u32> {
    attribute(interface, "ifindex")?.parse().ok()
}

fn mac(interface: &str) -> Option<[u8; 6]> {
    parse_mac(&attribute(interface, "address")?)
}

fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut mac {
        *byte = u8::from_str_radix(parts.next()?, 16).ok()?;
    }
    parts.next().is_none().then_some(mac)
}

/// The first Ethernet interface by name.
fn first_ethernet() -> Option<String> {
    let entries = fs::read_dir("/sys/class/net").ok()?;
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name != "lo" && attribute(name, "type").as_deref() == Some(ETHERNET))
        .collect();
    names.sort();
    names.into_iter().next()
}

/// `/etc/hosts`, as engines write it.
pub(crate) fn hosts(hostname: Option<&str>, address: Option<&Address>) -> String {
    let mut text = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n".to_owned();
    if let Some(hostname) = hostname {
        let own = address.map_or("127.0.1.1".to_owned(), |address| {
            address.address.to_string()
        });
        text.push_str(&format!("{own}\t{hostname}\n"));
    }
    text
}

/// `/etc/resolv.conf`; none where no name server is known.
pub(crate) fn resolver(address: Option<&Address>) -> Option<String> {
    let servers = &address?.nameservers;
    let lines = servers
        .iter()
        .map(|server| format!("nameserver {server}\n"));
    (!servers.is_empty()).then(|| lines.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_name_what_is_known() {
        let Ok(Network::Static(address)) = "10.0.0.5/8,10.0.0.1,1.1.1.1,9.9.9.9".parse() else {
            panic!("a fixed address")
        };
        assert_eq!(
            resolver(Some(&address)).unwrap(),
            "nameserver 1.1.1.1\nnameserver 9.9.9.9\n"
        );
        assert_eq!(resolver(None), None);
        assert!(hosts(Some("vm"), Some(&address)).ends_with("\n10.0.0.5\tvm\n"));
        assert!(hosts(Some("vm"), None).ends_with("\n127.0.1.1\tvm\n"));
    }

    #[test]
    fn hardware_addresses_have_six_bytes() {
        assert_eq!(
            parse_mac("52:54:00:12:34:56"),
            Some([0x52, 0x54, 0, 0x12, 0x34, 0x56])
        );
        for text in ["", "52:54", "52:54:00:12:34:56:78", "xx:54:00:12:34:56"] {
            assert_eq!(parse_mac(text), None, "{text}");
        }
    }
}
