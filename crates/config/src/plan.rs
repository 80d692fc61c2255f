//! What a reload changes: everything that can be changed, or every reason why not.

use crate::options::Options;

/// A part of the options that a reload gives a new value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Limits of connections.
    Limits,
    /// Who may connect, and what they may do.
    Users,
    /// Certificates and what goes with them.
    Tls,
    /// Logging.
    Log,
    /// What INFO and monitoring say of the server.
    Presentation,
    /// Lame duck mode, process files.
    Process,
}

/// Why a reload is refused: nothing of it is applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct Refusal(pub Vec<String>);

/// What changes from `old` to `new`.
///
/// Errors: all options that only a restart can change.
pub fn plan(old: &Options, new: &Options) -> Result<Vec<Change>, Refusal> {
    let mut refusals = Vec::new();
    macro_rules! fixed {
        ($($($field:ident).+ as $name:literal),* $(,)?) => {$(
            if old.$($field).+ != new.$($field).+ {
                refusals.push(format!(
                    "config reload not supported for {}: old={:?}, new={:?}", $name, old.$($field).+, new.$($field).+
                ));
            }
        )*};
    }
    fixed! {
        host as "Host", port as "Port", unix_socket as "UnixSocket", proxy_protocol as "ProxyProtocol",
        server_name as "ServerName", http.host as "HTTPHost", http.port as "HTTPPort",
        http.tls_port as "HTTPSPort", http.base_path as "HTTPBasePath",
        limits.subscriptions_max as "MaxSubs", limits.closed_clients_max as "MaxClosedClients",
        headers as "NoHeaderSupport", system_account as "SystemAccount",
        no_system_account as "NoSystemAccount",
    }
    if old.tls.is_some() != new.tls.is_some() {
        refusals
            .push("config reload not supported for TLS: it can be changed, not switched on or off".into());
    }
    if !refusals.is_empty() {
        return Err(Refusal(refusals));
    }
    let mut changes = Vec::new();
    let mut note = |changed: bool, change: Change| changes.extend(changed.then_some(change));
    note(old.limits != new.limits || old.stall_fast_producers != new.stall_fast_producers, Change::Limits);
    note(
        old.authorization != new.authorization
            || old.accounts != new.accounts
            || old.no_auth_user != new.no_auth_user,
        Change::Users,
    );
    note(old.tls != new.tls || old.allow_non_tls != new.allow_non_tls, Change::Tls);
    note(old.log != new.log, Change::Log);
    note(
        old.client_advertise != new.client_advertise
            || old.server_tags != new.server_tags
            || old.server_metadata != new.server_metadata,
        Change::Presentation,
    );
    note(
        old.lame_duck != new.lame_duck
            || old.pid_file != new.pid_file
            || old.ports_file_dir != new.ports_file_dir,
        Change::Process,
    );
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_or_nothing() {
        let old = Options::default();
        let mut new = Options::default();
        assert_eq!(plan(&old, &new), Ok(vec![]));
        new.limits.payload_bytes_max = 5;
        new.log.debug = true;
        assert_eq!(plan(&old, &new), Ok(vec![Change::Limits, Change::Log]));
        new.port = Some(1);
        new.server_name = Some("x".into());
        let refusal = plan(&old, &new).expect_err("refused").to_string();
        assert!(refusal.starts_with("config reload not supported for Port: old=Some(4222), new=Some(1); "));
        assert!(refusal.contains("ServerName"));
    }
}
