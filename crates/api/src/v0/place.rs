use super::Role;
use crate::path::{cleaned, percent_decode};

/// Where Admin Router has this API.
const PREFIX: &str = "/system/v1/metrics";

/// What can be asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// `/v0/ping`
    Ping,
    /// `/v0/node`
    Node,
    /// `/v0/containers`, the list of their ids.
    Containers,
    /// `/v0/containers/{id}`, what one uses.
    Container(String),
    /// `/v0/containers/{id}/app`, what one tells.
    App(String),
    /// `/v0/containers/{id}/app/{metric-id}`, its datapoints of one name.
    Metric(String, String),
}

/// What a path says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Path {
    At(Place),
    /// It has empty, `.` or `..` segments, or a slash at its end: redirect to this.
    Moved(String),
    /// Its percent-encoding is broken.
    Malformed,
    /// There is nothing.
    Nowhere,
}

impl Path {
    /// `None` if the path is not one of this API.
    pub(super) fn read(raw: &str, role: Role) -> Option<Self> {
        let rest = raw.strip_prefix(PREFIX).unwrap_or(raw).strip_prefix("/v0")?;
        if !(rest.is_empty() || rest.starts_with('/')) {
            return None;
        }
        let clean = cleaned(raw.as_bytes());
        let bare = clean.strip_suffix(b"/").unwrap_or(&clean);
        let mut segments = Vec::new();
        for segment in rest.split('/').skip(1) {
            match percent_decode(segment.as_bytes()) {
                None => return Some(Self::Malformed),
                // No id and no name that we hold is other than UTF-8.
                Some(bytes) => segments.push(String::from_utf8(bytes).unwrap_or_default()),
            }
        }
        if bare != raw.as_bytes() {
            let moved = String::from_utf8(bare.to_vec());
            return Some(moved.map_or(Self::Nowhere, Self::Moved));
        }
        let has_containers = role == Role::Agent;
        let place = match &mut segments[..] {
            [ping] if ping == "ping" => Place::Ping,
            [node] if node == "node" => Place::Node,
            [containers, rest @ ..] if containers == "containers" && has_containers => match rest {
                [] => Place::Containers,
                [id] => Place::Container(std::mem::take(id)),
                [id, app] if app == "app" => Place::App(std::mem::take(id)),
                [id, app, name] if app == "app" => {
                    Place::Metric(std::mem::take(id), std::mem::take(name))
                }
                _ => return Some(Self::Nowhere),
            },
            _ => return Some(Self::Nowhere),
        };
        Some(Self::At(place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_place_of_this_api_or_nowhere_in_it_or_none_of_it() {
        let moved = |to: &str| Some(Path::Moved(to.to_owned()));
        let at = |place| Some(Path::At(place));
        for (raw, expected) in [
            ("/v0/ping", at(Place::Ping)),
            ("/system/v1/metrics/v0/ping", at(Place::Ping)),
            ("/v0/node", at(Place::Node)),
            ("/v0/containers", at(Place::Containers)),
            ("/v0/containers/a%20b", at(Place::Container("a b".into()))),
            ("/v0/containers/a/app", at(Place::App("a".into()))),
            ("/v0/containers/a/app/x%2Fy.z", at(Place::Metric("a".into(), "x/y.z".into()))),
            ("/system/v1/metrics/v0/containers/app/app", at(Place::App("app".into()))),
            ("/v0/containers/%FF", at(Place::Container(String::new()))),
            ("/v0/containers/a/app/b/c", Some(Path::Nowhere)),
            ("/v0/containers/a/b", Some(Path::Nowhere)),
            ("/v0", Some(Path::Nowhere)),
            ("/v0/debug", Some(Path::Nowhere)),
            ("/v0/%zz", Some(Path::Malformed)),
            ("/v0/containers/", moved("/v0/containers")),
            ("/v0//containers/./a/../b/", moved("/v0/containers/b")),
            (
                "/system/v1/metrics/v0/containers//%41",
                moved("/system/v1/metrics/v0/containers/%41"),
            ),
            ("/v1/ping", None),
            ("/v00", None),
            ("/system/v1/metrics", None),
            ("/containers", None),
            ("/", None),
        ] {
            assert_eq!(Path::read(raw, Role::Agent), expected, "{raw}");
        }
    }

    #[test]
    fn a_master_has_no_containers() {
        for (raw, expected) in [
            ("/v0/node", Path::At(Place::Node)),
            ("/v0/containers", Path::Nowhere),
            ("/v0/containers/a/app", Path::Nowhere),
        ] {
            assert_eq!(Path::read(raw, Role::Master), Some(expected), "{raw}");
        }
    }
}
