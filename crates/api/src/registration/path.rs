use crate::path::{cleaned, percent_decode, percent_encode};

/// Where a request goes, as the router of dcos-telegraf reads its path.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// `/`
    Root,
    /// `/container`, where a container is registered.
    Entrance,
    /// `/containers`, the list of them.
    All,
    /// `/container/{id}`, percent-decoded; any bytes but a slash, at least one.
    One(Vec<u8>),
    /// None of these.
    Nowhere,
}

/// What a path says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Path {
    /// It is this place; `canonical` is where to redirect to if it was written with a slash too
    /// many at its end.
    At { place: Place, canonical: Option<String> },
    /// It has empty, `.` or `..` segments: redirect to this, whatever the method.
    Unclean { clean: String },
    /// Its percent-encoding is broken.
    Malformed,
}

impl Path {
    pub(super) fn read(raw: &str) -> Self {
        let Some(path) = percent_decode(raw.as_bytes()) else {
            return Self::Malformed;
        };
        let clean = cleaned(&path);
        if clean != path {
            return Self::Unclean { clean: percent_encode(&clean) };
        }
        let bare = clean.strip_suffix(b"/").unwrap_or(&clean);
        let place = match bare {
            b"" => Place::Root,
            b"/container" => Place::Entrance,
            b"/containers" => Place::All,
            _ => match bare.strip_prefix(b"/container/") {
                Some(id) if !id.contains(&b'/') => Place::One(id.to_vec()),
                _ => Place::Nowhere,
            },
        };
        let slash_too_many = bare.len() != clean.len() && place != Place::Root;
        Self::At { place, canonical: slash_too_many.then(|| percent_encode(bare)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(place: Place) -> Path {
        Path::At { place, canonical: None }
    }

    #[test]
    fn a_path_is_one_of_the_known_places_or_nowhere() {
        for (raw, path) in [
            ("/", at(Place::Root)),
            ("", Path::Unclean { clean: "/".into() }),
            ("/container", at(Place::Entrance)),
            ("/containers", at(Place::All)),
            ("/%63ontainers", at(Place::All)),
            ("/container/a%20b%c3%a9", at(Place::One("a bé".into()))),
            ("/container/%FF", at(Place::One(vec![0xff]))),
            ("/container/a+b", at(Place::One(b"a+b".to_vec()))),
            ("/container/a/b", at(Place::Nowhere)),
            ("/container/a%2Fb", at(Place::Nowhere)),
            ("/containers/a", at(Place::Nowhere)),
            ("/Containers", at(Place::Nowhere)),
            ("/health", at(Place::Nowhere)),
            ("*", Path::Unclean { clean: "/%2A".into() }),
            ("/container/%", Path::Malformed),
            ("/container/%2", Path::Malformed),
            ("/container/%zz", Path::Malformed),
            ("/container/%+1", Path::Malformed),
        ] {
            assert_eq!(Path::read(raw), path, "{raw}");
        }
    }

    #[test]
    fn a_slash_too_many_at_the_end_leads_to_the_canonical_form() {
        for (raw, canonical) in [
            ("/containers/", "/containers"),
            ("/container/", "/container"),
            ("/container/a%20b%22/", "/container/a%20b%22"),
        ] {
            let Path::At { canonical: found, .. } = Path::read(raw) else { panic!("{raw}") };
            assert_eq!(found.as_deref(), Some(canonical));
        }
    }

    #[test]
    fn an_unclean_path_leads_to_the_clean_one() {
        for (raw, clean) in [
            ("//containers", "/containers"),
            ("/container/../containers/", "/containers/"),
            ("/container/%2e%2e", "/"),
            ("/container/.", "/container"),
            ("/./", "/"),
            ("/../..", "/"),
        ] {
            assert_eq!(Path::read(raw), Path::Unclean { clean: clean.into() }, "{raw}");
        }
    }
}
