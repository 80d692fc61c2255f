//! Which servers may connect: routes and gateways know one user, or go by certificates alone.

use super::{Credentials, Grant, Outcome, Shown, compare, refused};
use crate::certificate;
use dialtone_config::Secret;
use dialtone_config::options::Tls;

/// Who other servers must be, by the block of the configuration that they connect by. Immutable; a reload makes another.
#[derive(Debug, Default)]
pub struct Servers {
    user: Option<String>,
    password: Option<Secret>,
    /// The certificate alone counts, and these are the ways in which it does.
    certificate: Option<ByCertificate>,
}

/// What a certificate has to say.
#[derive(Debug)]
struct ByCertificate {
    /// It may have the user among its names.
    is_user: bool,
    /// It may be for one of these hosts.
    hosts: Vec<String>,
}

impl Servers {
    /// By a block that has this user, this TLS, and these hosts of servers that this one connects to.
    pub fn new<'a>(
        user: Option<&str>,
        password: Option<&Secret>,
        tls: Option<&Tls>,
        hosts: impl Iterator<Item = &'a str>,
    ) -> Self {
        let by_certificate = tls.filter(|tls| tls.map || tls.servers.check_known_urls);
        let certificate = by_certificate.map(|tls| ByCertificate {
            is_user: tls.map,
            hosts: hosts.filter(|_| tls.servers.check_known_urls).map(str::to_ascii_lowercase).collect(),
        });
        Self { user: user.map(str::to_owned), password: password.cloned(), certificate }
    }

    /// Whether a server that shows this may connect. `certificate` is what it showed in the TLS handshake, DER.
    pub fn admit(&self, shown: &Shown, certificate: Option<&[u8]>) -> Outcome {
        let Credentials { user, password, .. } = &shown.credentials;
        let grant = Grant { account: None, user: user.as_str().into(), permissions: None, claimed: None };
        if let Some(rule) = &self.certificate {
            let is_good = certificate.is_some_and(|own| self.is_certified(rule, own));
            return if is_good {
                Outcome::Granted(grant)
            } else {
                refused("no server has a name in the certificate")
            };
        }
        match (&self.user, &self.password) {
            (None, _) => Outcome::Granted(grant),
            (Some(own), _) if own != user => refused("unknown user"),
            (Some(_), Some(stored)) => compare(shown, stored, password, grant),
            (Some(_), None) if password.expose().is_empty() => Outcome::Granted(grant),
            (Some(_), None) => refused("wrong password"),
        }
    }

    fn is_certified(&self, rule: &ByCertificate, own: &[u8]) -> bool {
        let is_user = rule.is_user
            && self.user.as_ref().is_some_and(|user| certificate::names(own).iter().any(|name| name == user));
        is_user || certificate::hosts(own).iter().any(|name| rule.hosts.iter().any(|host| is_for(name, host)))
    }
}

/// Whether a name in a certificate is this host's. A star at its front stands for one label.
fn is_for(name: &str, host: &str) -> bool {
    let name = name.to_ascii_lowercase();
    match name.strip_prefix("*.") {
        Some(rest) => host.split_once('.').is_some_and(|(_, behind)| behind == rest),
        None => name == host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dialtone_config::options::TlsServers;

    fn shown(user: &str, password: &str) -> Shown {
        let (user, password) = (user.to_owned(), Secret::new(password));
        Shown::new(Credentials { user, password, ..Credentials::default() }, "")
    }

    fn is_in(servers: &Servers, shown: &Shown, certificate: Option<&[u8]>) -> bool {
        matches!(servers.admit(shown, certificate), Outcome::Granted(_))
    }

    fn by_password(user: Option<&str>, password: Option<&str>) -> Servers {
        Servers::new(user, password.map(Secret::new).as_ref(), None, [].into_iter())
    }

    #[test]
    fn without_a_user_everybody_may_connect() {
        assert!(is_in(&by_password(None, None), &shown("", ""), None));
        assert!(is_in(&by_password(None, None), &shown("x", "y"), None));
    }

    #[test]
    fn the_user_has_its_password_or_none() {
        let servers = by_password(Some("u"), Some("p"));
        assert!(is_in(&servers, &shown("u", "p"), None));
        for (user, password) in [("u", "q"), ("u", ""), ("x", "p"), ("", "")] {
            assert!(!is_in(&servers, &shown(user, password), None), "{user} {password}");
        }
        let servers = by_password(Some("u"), None);
        assert!(is_in(&servers, &shown("u", ""), None));
        assert!(!is_in(&servers, &shown("u", "p"), None));
    }

    /// A hash is checked elsewhere, and what came of that is good for this hash and this password alone.
    #[test]
    fn a_hash_is_not_checked_here() {
        let hash = bcrypt::hash("p", 4).expect("hash");
        let servers = by_password(Some("u"), Some(&hash));
        for (password, expected) in [("p", true), ("q", false)] {
            let mut shown = shown("u", password);
            let Outcome::Slow(check, _) = servers.admit(&shown, None) else { panic!("checked here") };
            assert!(shown.learn(check.run()));
            assert_eq!(is_in(&servers, &shown, None), expected);
        }
        assert!(matches!(servers.admit(&self::shown("x", "p"), None), Outcome::Refused(_)));
    }

    fn certificate(names: &[&str]) -> Vec<u8> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = rcgen::KeyPair::generate().expect("key");
        rcgen::CertificateParams::new(names).expect("names").self_signed(&key).expect("made").der().to_vec()
    }

    #[test]
    fn where_certificates_count_nothing_else_does() {
        let tls = |map, check_known_urls| Tls {
            map,
            servers: TlsServers { check_known_urls, ..TlsServers::default() },
            ..Tls::default()
        };
        let by = |tls: &Tls| {
            let hosts = ["A.Example", "b.c.example", "192.0.2.1"].into_iter();
            Servers::new(Some("u.example"), Some(&Secret::new("p")), Some(tls), hosts)
        };
        let (map, known, both) = (by(&tls(true, false)), by(&tls(false, true)), by(&tls(true, true)));
        for (names, expected) in [
            (&["u.example"][..], [true, false, true]),
            (&["x", "u.example"], [true, false, true]),
            (&["a.example"], [false, true, true]),
            (&["*.C.example"], [false, true, true]),
            (&["*.example"], [false, true, true]),
            (&["c.example", "*.a.example", "b.*.example", "192.0.2.1"], [false; 3]),
            (&[], [false; 3]),
        ] {
            let own = certificate(names);
            let found = [&map, &known, &both].map(|servers| is_in(servers, &shown("", ""), Some(&own)));
            assert_eq!(found, expected, "{names:?}");
        }
        for servers in [&map, &known, &both] {
            assert!(!is_in(servers, &shown("u.example", "p"), None));
        }
        // Without a user there is none to be.
        let servers = Servers::new(None, None, Some(&tls(true, false)), [].into_iter());
        assert!(!is_in(&servers, &shown("", ""), Some(&certificate(&["x"]))));
    }
}
