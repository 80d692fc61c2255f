//! Which user a client is. MQTT-SN has no passwords: who it says it is and where it is decide, or what it has shown with DTLS.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Clients that are a user of the server. Every condition that is there must hold.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The client identifier; behind a `*` at its end anything may stand.
    pub client_id: Option<Box<str>>,
    /// The network that its address is in: its base, and how many bits of it count.
    pub network: Option<(IpAddr, u8)>,
    /// The user.
    pub user: Arc<str>,
}

impl Identity {
    fn is_of(&self, client_id: &str, address: IpAddr) -> bool {
        let is_named = self.client_id.as_deref().is_none_or(|pattern| match pattern.strip_suffix('*') {
            Some(beginning) => client_id.starts_with(beginning),
            None => client_id == pattern,
        });
        is_named && self.network.is_none_or(|(base, bits)| is_within(address, base, bits))
    }
}

fn is_within(address: IpAddr, base: IpAddr, bits: u8) -> bool {
    let same = |a: u128, b: u128, width: u8| {
        let outside = u32::from(width.saturating_sub(bits));
        a.checked_shr(outside).unwrap_or(0) == b.checked_shr(outside).unwrap_or(0)
    };
    match (address.to_canonical(), base.to_canonical()) {
        (IpAddr::V4(a), IpAddr::V4(b)) => same(a.to_bits().into(), b.to_bits().into(), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
        _ => false,
    }
}

/// The users that clients are, the first that fits; who is in none shows the server nothing.
#[derive(Clone, Debug, Default)]
pub struct Identities(pub Vec<Identity>);

impl Identities {
    /// The user that a client is: the one that it has shown to be, whatever it calls itself and wherever it is, or else the first that fits.
    pub(super) fn user(
        &self,
        shown: Option<&Arc<str>>,
        client_id: &str,
        address: SocketAddr,
    ) -> Option<Arc<str>> {
        let listed = || {
            let found = self.0.iter().find(|identity| identity.is_of(client_id, address.ip()));
            found.map(|identity| &identity.user)
        };
        shown.or_else(listed).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_fits_counts_and_what_was_shown_before_all() {
        let identity = |client_id: Option<&str>, network: Option<(&str, u8)>, user: &str| Identity {
            client_id: client_id.map(Into::into),
            network: network.map(|(base, bits)| (base.parse().unwrap(), bits)),
            user: user.into(),
        };
        let identities = Identities(vec![
            identity(Some("meter-1"), None, "one"),
            identity(Some("meter-*"), Some(("10.1.0.0", 16)), "near"),
            identity(Some("meter-*"), None, "meters"),
            identity(None, Some(("10.2.3.4", 32)), "pump"),
            identity(None, Some(("fd00::", 8)), "six"),
            identity(None, Some(("192.168.0.0", 0)), "any4"),
        ]);
        let user = |client_id: &str, address: &str| {
            let address = SocketAddr::new(address.parse().unwrap(), 1);
            identities.user(None, client_id, address).map(|user| user.to_string()).unwrap_or_default()
        };
        for (client_id, address, expected) in [
            ("meter-1", "10.1.0.1", "one"),
            ("meter-2", "10.1.255.1", "near"),
            ("meter-2", "::ffff:10.1.0.1", "near"),
            ("meter-", "10.2.0.1", "meters"),
            ("meter", "10.2.3.4", "pump"),
            ("meter", "10.2.3.5", "any4"),
            ("", "fd00::1", "six"),
            ("", "fe00::1", ""),
        ] {
            assert_eq!(user(client_id, address), expected, "{client_id} {address}");
        }
        let shown = Arc::from("shown");
        let address = "10.1.0.1:5".parse().unwrap();
        assert_eq!(identities.user(Some(&shown), "meter-1", address).as_deref(), Some("shown"));
    }
}
