use std::collections::BTreeMap;
use std::fs;

/// The kernel tells its table in pieces, and passes over sockets if others are closed between two
/// of them: so often it is read in search of a port.
const READINGS: usize = 10;

/// How many datagrams the kernel has dropped at this machine's UDP sockets of these ports, since
/// they were opened; `None` if there is no such socket.
pub(crate) fn kernel_drops(ports: &[u16]) -> Option<u64> {
    search(ports, || {
        ["/proc/net/udp", "/proc/net/udp6"].map(fs::read_to_string).into_iter().flatten()
    })
}

fn search<T: Iterator<Item = String>>(ports: &[u16], mut read: impl FnMut() -> T) -> Option<u64> {
    let mut found = BTreeMap::new();
    for _ in 0..READINGS {
        found = drops(read(), ports);
        if ports.iter().all(|port| found.contains_key(port)) {
            break;
        }
    }
    found.into_values().reduce(|one, other| one + other)
}

// By their ports. Of a line `sl: local:PORT remote:PORT ... drops` the port is hexadecimal.
fn drops(tables: impl Iterator<Item = String>, ports: &[u16]) -> BTreeMap<u16, u64> {
    let mut found = BTreeMap::new();
    for table in tables {
        let rows = table.lines().skip(1).filter_map(|row| {
            let mut fields = row.split_ascii_whitespace();
            let (_, port) = fields.nth(1)?.rsplit_once(':')?;
            let port = u16::from_str_radix(port, 16).ok().filter(|port| ports.contains(port))?;
            Some((port, fields.last()?.parse::<u64>().ok()?))
        });
        for (port, drops) in rows {
            *found.entry(port).or_default() += drops;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    const TABLE: &str = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
         1: 0100007F:1FBD 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 5 2 0 41\n\
         2: 00000000:1FBD 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 6 2 0 1\n\
         3: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 7 2 0 9\n";

    #[test]
    fn drops_of_a_port_are_summed_over_its_sockets() {
        for (ports, expected) in [(&[8125][..], Some(42)), (&[53, 8125], Some(51)), (&[54], None)] {
            assert_eq!(search(ports, || [TABLE.to_owned()].into_iter()), expected, "{ports:?}");
        }
    }

    #[test]
    fn a_socket_that_a_reading_passed_over_is_found_by_the_next() {
        let without = TABLE.lines().filter(|row| !row.contains(":0035")).collect::<Vec<_>>();
        let mut readings = [without.join("\n"), TABLE.to_owned()].into_iter();
        assert_eq!(search(&[53, 8125], || readings.next().into_iter()), Some(51));
        assert_eq!(readings.next(), None);
    }

    #[test]
    fn a_socket_of_this_machine_is_found() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        assert_eq!(kernel_drops(&[port]), Some(0));
    }
}
