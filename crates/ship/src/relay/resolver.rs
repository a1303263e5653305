use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;

use crate::sync::random;

/// Time between two looks at a name, and at whether its address is one of our own by now.
pub(crate) const REFRESH: Duration = Duration::from_mins(1);

/// The same while there is no address that could be used.
pub(crate) const AGAIN: Duration = Duration::from_secs(5);

/// How addresses are found: by the system, or as a test says.
pub(crate) type LookUp = Arc<dyn Fn() -> io::Result<Vec<SocketAddr>> + Send + Sync>;

/// Whether a datagram to this address would come back to us.
pub(crate) type IsOwn = Arc<dyn Fn(SocketAddr) -> bool + Send + Sync>;

/// Looks a name up as the system does; that may block for seconds.
pub(crate) fn system(host: &str, port: u16) -> LookUp {
    let host = host.to_owned();
    Arc::new(move || Ok((host.as_str(), port).to_socket_addrs()?.collect()))
}

/// Follows where a name leads.
pub(crate) struct Resolver {
    pub(crate) look_up: LookUp,
    pub(crate) is_own: IsOwn,
}

/// The addresses that a name has, and the one of them that is used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Choice {
    /// In order; each as often as it was named.
    found: Vec<SocketAddr>,
    chosen: Option<SocketAddr>,
}

impl Resolver {
    /// Tells the address at first and whenever it changes, or why there is none, until it is
    /// dropped or `tell` says that nobody listens.
    pub(crate) async fn run(self, mut tell: impl FnMut(Result<SocketAddr, String>) -> bool) {
        let mut choice = Choice::default();
        let mut told = None;
        loop {
            let (look_up, is_own) = (Arc::clone(&self.look_up), Arc::clone(&self.is_own));
            let before = choice.clone();
            let looked = spawn_blocking(move || choose(before, look_up(), &*is_own));
            let outcome = match looked.await {
                Ok((next, outcome)) => {
                    choice = next;
                    outcome
                }
                // A look-up cannot be cancelled and does not panic; and if: as if it had failed.
                Err(error) => choice.chosen.ok_or_else(|| error.to_string()),
            };
            let pause = if outcome.is_ok() { REFRESH } else { AGAIN };
            if told.as_ref() != Some(&outcome) {
                if !tell(outcome.clone()) {
                    return;
                }
                told = Some(outcome);
            }
            tokio::time::sleep(pause).await;
        }
    }
}

/// What is used after a look-up. The address stays as long as the same ones are found, and when
/// none can be; else one is picked by chance, of the IPv4 ones if there are any.
fn choose(
    before: Choice,
    looked_up: io::Result<Vec<SocketAddr>>,
    is_own: &dyn Fn(SocketAddr) -> bool,
) -> (Choice, Result<SocketAddr, String>) {
    let all = match looked_up {
        Ok(all) if !all.is_empty() => all,
        Ok(_) if before.found.is_empty() => return (before, Err("it has no address".to_owned())),
        Err(error) if before.found.is_empty() => return (before, Err(error.to_string())),
        Ok(_) | Err(_) => before.found.clone(),
    };
    let of_ipv4 = all.iter().any(SocketAddr::is_ipv4);
    let mut found: Vec<_> = all.into_iter().filter(|it| it.is_ipv4() == of_ipv4).collect();
    found.sort_unstable();
    let (own, others): (Vec<_>, Vec<_>) = found.iter().copied().partition(|at| is_own(*at));
    if others.is_empty() {
        let why = own.first().map(|own| {
            format!("{own} is this weir's own: what is sent there would come back without end")
        });
        return (Choice { found, chosen: None }, Err(why.unwrap_or_default()));
    }
    let kept = before.chosen.filter(|at| before.found == found && others.contains(at));
    let chosen = kept.unwrap_or_else(|| others[(random() % others.len() as u64) as usize]);
    (Choice { found, chosen: Some(chosen) }, Ok(chosen))
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::time::Instant;

    use super::*;

    fn at(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn nothing_is_own(_: SocketAddr) -> bool {
        false
    }

    #[test]
    fn an_address_stays_while_the_same_ones_are_found() {
        let all = at(&["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"]);
        let (mut choice, first) = choose(Choice::default(), Ok(all.clone()), &nothing_is_own);
        for turned in 0..100 {
            let mut all = all.clone();
            all.rotate_left(turned % 3);
            let (next, outcome) = choose(choice, Ok(all), &nothing_is_own);
            assert_eq!(outcome, first, "in whatever order they come");
            choice = next;
        }
        for fails in [Err(io::Error::other("timed out")), Ok(vec![])] {
            let (next, outcome) = choose(choice, fails, &nothing_is_own);
            assert_eq!(outcome, first);
            choice = next;
        }
        let (_, outcome) = choose(choice, Ok(at(&["10.0.0.9:1"])), &nothing_is_own);
        assert_eq!(outcome, Ok(at(&["10.0.0.9:1"])[0]));
    }

    #[test]
    fn every_one_of_several_addresses_is_picked_some_time_and_ipv6_only_where_there_is_no_ipv4() {
        let all = at(&["[::1]:1", "10.0.0.1:1", "10.0.0.2:1"]);
        let pick = || choose(Choice::default(), Ok(all.clone()), &nothing_is_own).1.unwrap();
        let mut picked: Vec<_> = (0..1000).map(|_| pick()).collect();
        picked.sort_unstable();
        picked.dedup();
        assert_eq!(picked, at(&["10.0.0.1:1", "10.0.0.2:1"]));
        let (_, outcome) = choose(Choice::default(), Ok(at(&["[::1]:1"])), &nothing_is_own);
        assert_eq!(outcome, Ok(at(&["[::1]:1"])[0]));
    }

    #[test]
    fn an_own_address_is_never_chosen_and_one_that_became_our_own_is_left() {
        let (ours, other) = (at(&["10.0.0.1:1"])[0], at(&["10.0.0.2:1"])[0]);
        let is_own = |at| at == ours;
        let (_, outcome) = choose(Choice::default(), Ok(vec![ours, other]), &is_own);
        assert_eq!(outcome, Ok(other));
        let (choice, first) = choose(Choice::default(), Ok(vec![ours]), &nothing_is_own);
        assert_eq!(first, Ok(ours));
        for looked_up in [Ok(vec![ours]), Err(io::Error::other("timed out"))] {
            let (_, outcome) = choose(choice.clone(), looked_up, &is_own);
            assert!(outcome.unwrap_err().contains("10.0.0.1:1 is this weir's own"));
        }
    }

    #[test]
    fn a_name_without_an_address_tells_why() {
        let failed = io::Error::other("name or service not known");
        let (choice, outcome) = choose(Choice::default(), Err(failed), &nothing_is_own);
        assert_eq!(outcome, Err("name or service not known".to_owned()));
        let (_, outcome) = choose(choice, Ok(vec![]), &nothing_is_own);
        assert_eq!(outcome, Err("it has no address".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_looked_up_every_minute_and_sooner_while_it_has_none() {
        let answers = Mutex::new(vec![
            Ok(at(&["10.0.0.2:1"])),
            Err(io::Error::other("timed out")),
            Ok(at(&["10.0.0.1:1"])),
            Ok(at(&["10.0.0.1:1"])),
            Err(io::Error::other("not known")),
        ]);
        let look_up: LookUp = Arc::new(move || answers.lock().unwrap().pop().unwrap());
        let resolver = Resolver { look_up, is_own: Arc::new(nothing_is_own) };
        let start = Instant::now();
        let mut told = Vec::new();
        let tell = |outcome| {
            told.push((start.elapsed().as_secs(), outcome));
            told.len() < 3
        };
        resolver.run(tell).await;
        assert_eq!(
            told,
            [
                (0, Err("not known".to_owned())),
                (5, Ok(at(&["10.0.0.1:1"])[0])),
                (5 + 3 * 60, Ok(at(&["10.0.0.2:1"])[0])),
            ]
        );
    }
}
