use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::{Answer, Until, json};

/// How many such answers there may be at a time.
const PLACES: usize = 4;

/// How long a place is waited for, and what is to be written: before the connection is taken for a
/// stalled one.
const PATIENCE: Duration = Duration::from_millis(4500);

/// How long an answer may keep its place, so that slow readers keep nobody else from theirs.
const LONGEST_STAY: Duration = Duration::from_secs(10);

/// Room for answers that are written whole before they are sent, and may be of many megabytes: for
/// a few at a time. A clone is another handle to the same.
#[derive(Clone, Debug)]
pub(crate) struct Room(Arc<Semaphore>);

/// An answer in its place, until all of it was taken.
struct Kept {
    text: Vec<u8>,
    _place: OwnedSemaphorePermit,
}

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(PLACES)))
    }
}

impl Room {
    /// What is read once there is a place, as JSON; `None` if either does not come in time.
    pub(crate) async fn json<T: Send + 'static>(
        &self,
        read: impl Future<Output = Option<T>>,
        write: fn(&T) -> Vec<u8>,
    ) -> Option<Answer> {
        let reading = async {
            let place = Arc::clone(&self.0).acquire_owned().await.ok()?;
            Some((place, read.await?))
        };
        let (place, read) = timeout(PATIENCE, reading).await.ok()??;
        let until = Until(Instant::now() + LONGEST_STAY);
        // To write so much takes longer than others here may be kept from their work.
        let text = tokio::task::spawn_blocking(move || write(&read)).await.ok()?;
        let kept = Kept { text, _place: place };
        let mut answer = json(StatusCode::OK, Bytes::from_owner(kept));
        answer.extensions_mut().insert(until);
        Some(answer)
    }
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.text
    }
}
