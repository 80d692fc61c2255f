//! Which web pages may connect: the `Origin` header against what is allowed.

/// The pages that may connect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    /// Those from the address that is connected to.
    pub same_only: bool,
    /// These; empty: all.
    pub allowed: Vec<Origin>,
}

/// An origin: scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    scheme: String,
    host: String,
    port: String,
}

impl Origin {
    /// Reads an origin such as `https://example.com:8443`.
    ///
    /// # Errors
    /// It is no absolute URL; the text says so in the words of the official server.
    pub fn parse(text: &str) -> Result<Self, String> {
        let invalid = || format!("parse {text:?}: invalid URI for request");
        let Some((scheme, rest)) = text.split_once("://") else { return Err(invalid()) };
        let is_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.chars().all(is_scheme) {
            return Err(invalid());
        }
        let scheme = scheme.to_ascii_lowercase();
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let address = authority.rsplit('@').next().unwrap_or_default();
        let (host, port) = host_and_port(address, scheme == "https");
        Ok(Self { scheme, host, port })
    }
}

impl Origins {
    /// Whether a page of `origin` may connect to `host`, as the request calls it.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, origin: Option<&str>, host: &str, is_tls: bool) -> Result<(), String> {
        if !self.same_only && self.allowed.is_empty() {
            return Ok(());
        }
        // Who is no browser says none, and could say any.
        let Some(origin) = origin.filter(|origin| !origin.is_empty()) else { return Ok(()) };
        let origin = Origin::parse(origin)?;
        let (here, port) = host_and_port(host, is_tls);
        let scheme = if is_tls { "https" } else { "http" };
        if self.same_only && origin != (Origin { scheme: scheme.into(), host: here, port }) {
            return Err("not same origin".into());
        }
        if !self.allowed.is_empty() && !self.allowed.contains(&origin) {
            return Err("not in the allowed list".into());
        }
        Ok(())
    }
}

/// The parts of `host:port`, where the port may be left out.
fn host_and_port(address: &str, is_tls: bool) -> (String, String) {
    let after_bracket = address.rfind(']').map_or(0, |at| at + 1);
    let colon = address.get(after_bracket..).and_then(|rest| rest.rfind(':')).map(|at| at + after_bracket);
    let (host, port) = match colon {
        Some(at) => (address.get(..at), address.get(at + 1..)),
        None => (Some(address), None),
    };
    let default = if is_tls { "443" } else { "80" };
    let host = host.unwrap_or_default().trim_matches(['[', ']']).to_ascii_lowercase();
    (host, port.filter(|port| !port.is_empty()).unwrap_or(default).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(allowed: &[&str], same_only: bool, origin: &str, expected: Result<(), &str>) {
        let allowed = allowed.iter().map(|o| Origin::parse(o).expect("an origin")).collect();
        let origins = Origins { same_only, allowed };
        let found = origins.check(Some(origin), "Here.com:8080", false);
        assert_eq!(found, expected.map_err(str::to_owned), "{origin}");
    }

    #[test]
    fn origins_are_told_apart_by_scheme_host_and_port() {
        check(&[], false, "null", Ok(()));
        check(&[], true, "", Ok(()));
        check(&[], true, "http://here.com:8080", Ok(()));
        check(&[], true, "http://here.com", Err("not same origin"));
        check(&[], true, "https://here.com:8080", Err("not same origin"));
        check(&[], true, "null", Err("parse \"null\": invalid URI for request"));
        let two = ["https://a.com", "https://a.com:444"];
        check(&two, false, "https://A.com:443", Ok(()));
        check(&two, false, "https://a.com:444", Ok(()));
        check(&two, false, "http://a.com:443", Err("not in the allowed list"));
        check(&two, false, "https://b.com", Err("not in the allowed list"));
        check(&two, false, "https://b.com@a.com", Ok(()));
        check(&two, false, "https://a.com.evil.org", Err("not in the allowed list"));
        check(&["http://[::1]:80"], false, "http://[::1]", Ok(()));
        check(&["http://here.com:8080"], true, "http://here.com:8080", Ok(()));
        check(&["http://x.com"], true, "http://here.com:8080", Err("not in the allowed list"));
    }
}
