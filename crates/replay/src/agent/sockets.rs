use std::fs;

/// How many datagrams the kernel has dropped at this machine's UDP sockets of these ports, since
/// they were opened; `None` if there is no such socket.
pub(crate) fn kernel_drops(ports: &[u16]) -> Option<u64> {
    let tables = ["/proc/net/udp", "/proc/net/udp6"].map(fs::read_to_string);
    let drops = tables.iter().flatten().filter_map(|table| sum(table, ports));
    drops.reduce(|one, other| one + other)
}

// Of a line `sl: local:PORT remote:PORT ... drops` the port is hexadecimal.
fn sum(table: &str, ports: &[u16]) -> Option<u64> {
    let drops = table.lines().skip(1).filter_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let (_, port) = fields.nth(1)?.rsplit_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        ports.contains(&port).then(|| fields.last()?.parse::<u64>().ok())?
    });
    drops.reduce(|one, other| one + other)
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn drops_of_a_port_are_summed_over_its_sockets() {
        let table = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
             1: 0100007F:1FBD 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 5 2 0 41\n\
             2: 00000000:1FBD 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 6 2 0 1\n\
             3: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 7 2 0 9\n";
        assert_eq!(sum(table, &[0x1fbd]), Some(42));
        assert_eq!(sum(table, &[53, 8125]), Some(51));
        assert_eq!(sum(table, &[54]), None);
    }

    #[test]
    fn a_socket_of_this_machine_is_found() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        assert_eq!(kernel_drops(&[port]), Some(0));
    }
}
