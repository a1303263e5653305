use super::served::{MOST_CONTAINERS, served};

/// So many redirects at most lead to what was meant: to the clean path, and to the one without a
/// slash at its end.
const MOST_REDIRECTS: usize = 2;

/// The bytes of a connection, whatever they are: answered as HTTP, if at all, and never by a
/// failure of ours.
pub(crate) fn requests(input: &[u8]) {
    let served = served();
    let mut answer = served.send(input);
    for redirects in 0.. {
        let Some(found) = answer else { break };
        assert!(
            matches!(
                found.status,
                200 | 201 | 202 | 204 | 301 | 400 | 403..=405 | 408 | 413 | 414 | 431
            ),
            "{}: {}",
            found.status,
            String::from_utf8_lossy(&found.body)
        );
        assert_eq!(found.status == 301, found.location.is_some());
        let Some(location) = found.location else { break };
        assert!(redirects < MOST_REDIRECTS, "{location}");
        let request = format!("GET {location} HTTP/1.1\r\nHost: \r\n\r\n");
        answer = served.send(request.as_bytes());
    }
    let containers = served.containers.list();
    assert!(containers.len() <= MOST_CONTAINERS);
    for container in containers {
        assert!(served.runtime.block_on(served.containers.remove(&container.container_id)));
    }
}
