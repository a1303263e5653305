use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::Message;

/// What the flush thread was told and has not heard yet, in order. Only the watchdog is answered
/// out of turn.
pub(super) struct Messages {
    coming: Receiver<Message>,
    // They came while the watchdog was answered.
    put_off: VecDeque<Message>,
}

impl Messages {
    pub(super) fn new(coming: Receiver<Message>) -> Self {
        Self { coming, put_off: VecDeque::new() }
    }

    /// The next one; waits for it this long.
    pub(super) fn next(&mut self, wait: Duration) -> Result<Message, RecvTimeoutError> {
        self.put_off.pop_front().map_or_else(|| self.coming.recv_timeout(wait), Ok)
    }

    /// All that have come.
    pub(super) fn all(&mut self) -> VecDeque<Message> {
        self.answer_watchdog();
        std::mem::take(&mut self.put_off)
    }

    /// Passes the beats among those that have come, and puts off the rest. To be called between two
    /// pieces of work that are not over in a moment.
    pub(super) fn answer_watchdog(&mut self) {
        for message in self.coming.try_iter() {
            if let Message::Beat(beat) = message {
                beat.pass();
            } else {
                self.put_off.push_back(message);
            }
        }
    }
}
