//! Which servers a request is for.

use crate::monitor::source::{Bad, Body};
use crate::node::Node;

/// The part of a request's body that chooses among servers. What is empty admits every one.
#[derive(Debug, Default)]
pub(super) struct Filter {
    server_name: String,
    cluster: String,
    host: String,
    domain: String,
    tags: Vec<String>,
    /// Names are whole; otherwise a part is enough.
    exact: bool,
}

impl Filter {
    pub(super) fn read(body: &Body) -> Result<Self, Bad> {
        Ok(Self {
            server_name: body.filter_text("server_name")?,
            cluster: body.filter_text("cluster")?,
            host: body.filter_text("host")?,
            exact: body.filter_flag("exact_match")?,
            tags: body.filter_list("tags")?,
            domain: body.filter_text("domain")?,
        })
    }

    /// Whether this server is meant.
    pub(super) fn admits(&self, node: &Node) -> bool {
        let policy = node.settings.policy();
        let host = &policy.clients().info.host;
        let cluster = node.cluster_name().unwrap_or_default();
        let domain = node.streams.shared().and_then(|shared| shared.domain.as_deref()).unwrap_or_default();
        self.admits_one(&node.settings.identity.name, host, (&cluster, domain), &policy.options.server.tags)
    }

    fn admits_one(&self, name: &str, host: &str, (cluster, domain): (&str, &str), tags: &[String]) -> bool {
        let is = |wanted: &str, own: &str| {
            wanted.is_empty() || if self.exact { wanted == own } else { own.contains(wanted) }
        };
        let has = |tag: &String| tags.iter().any(|own| own.eq_ignore_ascii_case(tag));
        is(&self.server_name, name)
            && is(&self.host, host)
            && is(&self.cluster, cluster)
            && (self.domain.is_empty() || self.domain == domain)
            && self.tags.iter().all(has)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, expected: bool) {
        let filter = Body::read(body.as_bytes(), "X", "Y").and_then(|body| Filter::read(&body));
        let admits =
            filter.map(|f| f.admits_one("Able", "127.0.0.1", ("East", "hub"), &["x".into(), "y".into()]));
        assert_eq!(admits.ok(), Some(expected), "{body}");
    }

    /// As the official server decides: scenario system-request-filters.
    #[test]
    fn servers_are_chosen() {
        check("", true);
        check(r#"{"server_name":"bl"}"#, true);
        check(r#"{"server_name":"able"}"#, false);
        check(r#"{"server_name":"bl","exact_match":true}"#, false);
        check(r#"{"server_name":"Able","exact_match":true}"#, true);
        check(r#"{"host":"127.0"}"#, true);
        check(r#"{"host":"x"}"#, false);
        check(r#"{"cluster":"c"}"#, false);
        check(r#"{"cluster":"Eas"}"#, true);
        check(r#"{"cluster":"Eas","exact_match":true}"#, false);
        check(r#"{"domain":"d"}"#, false);
        check(r#"{"tags":["X","y"]}"#, true);
        check(r#"{"tags":["x","z"]}"#, false);
    }
}
