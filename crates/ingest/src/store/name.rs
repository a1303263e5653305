use std::fmt::Write as _;

use metric::Origin;

use crate::Address;

/// So much of a name is the text that it was made of; the service manager takes 255 bytes in all.
const LONGEST: usize = 200;

/// What a datagram socket is called in the store: `number` tells apart those that share an address.
///
/// A container's has its port in it, so no two open ones have one name.
pub(crate) fn of_datagrams(origin: &Origin, address: &Address, number: usize) -> String {
    let port = match address {
        Address::Udp(address) => address.port(),
        Address::Unixgram(_) => 0,
    };
    match origin {
        Origin::Container { container_id } => {
            format!("container-{port}-{}", encode(container_id.as_bytes()))
        }
        Origin::Listener { listener } | Origin::Claimed { listener, .. } => {
            format!("listener-{number}-{}", encode(listener.as_bytes()))
        }
        // They have no sockets.
        Origin::Resources { .. } | Origin::Node | Origin::MesosAgent => String::new(),
    }
}

/// What a stream socket is called in the store.
pub(super) fn of_streams(endpoint: &str) -> String {
    format!("api-{}", encode(endpoint.as_bytes()))
}

/// Whether a socket of this name was stored by a weir. `stored` is what a manager says that keeps
/// no names.
pub(super) fn is_ours(name: &str) -> bool {
    let begins = |with: &&str| name.starts_with(*with);
    name == "stored" || ["container-", "listener-", "api-"].iter().any(begins)
}

/// Printable ASCII without `:`, which separates names; other bytes are written as `%` and two
/// hexadecimal digits. Where that would be too long, its beginning, `%-` and a hash of the whole.
fn encode(text: &[u8]) -> String {
    let mut name = String::with_capacity(text.len());
    for byte in text {
        if byte.is_ascii_graphic() && !matches!(byte, b':' | b'%') {
            name.push(char::from(*byte));
        } else {
            let _ = write!(name, "%{byte:02X}"); // writing to a String cannot fail
        }
    }
    if name.len() > LONGEST {
        name.truncate(LONGEST - 18);
        let _ = write!(name, "%-{:016x}", fnv1a(text));
    }
    name
}

// The same in every process and version, unlike the standard library's.
fn fnv1a(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_container(id: &str, port: u16) -> String {
        let address = Address::Udp(([127, 0, 0, 1], port).into());
        of_datagrams(&Origin::Container { container_id: id.into() }, &address, 0)
    }

    #[test]
    fn names_are_printable_and_have_no_colon() {
        let plain = "5f0b3a9c-b8f8-4b86-9f1e-3a6d1a1ab0aa";
        assert_eq!(of_container(plain, 31000), format!("container-31000-{plain}"));
        assert_eq!(of_container("a:b ü%", 1), "container-1-a%3Ab%20%C3%BC%25");
        let origin = Origin::Listener { listener: "udp://[::]:8125".into() };
        let address = "udp://[::]:8125".parse().unwrap();
        assert_eq!(of_datagrams(&origin, &address, 1), "listener-1-udp%3A//[%3A%3A]%3A8125");
        assert_eq!(of_streams("unix:/run/weir.sock"), "api-unix%3A/run/weir.sock");
        assert!([&of_container("a", 1), "stored", "api-x"].into_iter().all(is_ours));
        assert!(!is_ours("registration"));
    }

    #[test]
    fn a_long_id_is_hashed_and_its_name_still_its_own() {
        let (one, other) = ("x".repeat(254) + "a", "x".repeat(254) + "b");
        let odd = "\u{1F980}".repeat(63);
        for id in [&one, &other, &odd] {
            let name = of_container(id, 65_535);
            assert!(name.len() <= 255, "{name}");
            assert!(name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':'), "{name}");
        }
        assert_ne!(of_container(&one, 1), of_container(&other, 1));
        assert_eq!(of_container(&one, 1), of_container(&one, 1));
    }
}
