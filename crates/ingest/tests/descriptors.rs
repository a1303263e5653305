//! Alone in its process, because it counts the process's descriptors.

use std::fs;
use std::num::NonZeroUsize;
use std::time::Duration;

use ingest::{Address, Config, Event, Listeners, Open};
use metric::{Origin, ReadAs, Source};

#[test]
fn ten_thousand_sockets_that_came_and_went_leave_no_descriptor() {
    let dir = tempfile::tempdir().unwrap();
    let config =
        Config { workers: NonZeroUsize::new(2).unwrap(), max_rest: Duration::from_millis(2) };
    let (listeners, mut receivers) = Listeners::new(config).unwrap();
    let descriptors = || fs::read_dir("/proc/self/fd").unwrap().count();
    let before = descriptors();
    let mut places = 0;
    for i in 0..10_000 {
        let origin = Origin::Container { container_id: "c".into() };
        let source = Source::new(origin, ReadAs::default());
        let address = match i % 10 {
            0 => Address::Unixgram(dir.path().join("weir.sock")),
            _ => "udp://127.0.0.1:0".parse().unwrap(),
        };
        let readers = NonZeroUsize::new(1 + i % 2).unwrap();
        let open = Open { source: source.clone(), address, receive_buffer: 4 << 20, readers };
        let opened = listeners.open(&open).unwrap();
        drop(listeners.close(&source));
        let mut closed = 0;
        while closed < opened.readers {
            for receiver in &mut receivers {
                let on = &mut |event: Event<'_>| match event {
                    Event::Opened { socket, .. } => places = places.max(socket.index() + 1),
                    Event::Packets { .. } => {}
                    Event::Closed { .. } => closed += 1,
                };
                receiver.turn(Some(Duration::ZERO), on).unwrap();
            }
        }
    }
    assert_eq!(descriptors(), before);
    assert_eq!(places, 1, "places are used again");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
