//! What is allowed and still worth a word at start.

use crate::blocks::reader::go_duration;
use crate::options::{Options, Tls};
use std::time::Duration;

/// Bytes of a payload above which the official server warns.
const PAYLOAD_BYTES_HIGH: usize = 8 << 20;
/// How long a handshake may take before that is worth a word.
const TIMEOUT_HIGH: Duration = Duration::from_secs(60);

impl Options {
    /// What is allowed and still worth a word in the log, a line each; none of it shows a secret.
    pub fn warnings(&self) -> Vec<String> {
        let mut out: Vec<String> = self
            .source
            .doubts
            .iter()
            .chain(&self.source.ignored)
            .map(|doubt| format!("{}: {}", doubt.at, doubt.problem))
            .collect();
        if self.limits.payload_bytes_max > PAYLOAD_BYTES_HIGH {
            out.push(
                "Maximum payloads over 8.00 MB are generally discouraged and could lead to poor performance"
                    .into(),
            );
        }
        if let Some(tls) = self.clients.tls.as_ref().filter(|tls| tls.timeout > TIMEOUT_HIGH) {
            let timeout = go_duration(tls.timeout);
            out.push(format!("tls timeout of {timeout} is high, consider keeping it under 60 seconds"));
        }
        out.extend(self.unverified().into_iter().map(|whom| {
            format!(
                "TLS certificate chain and hostname of solicited {whom} will not be verified. DO NOT USE IN PRODUCTION!"
            )
        }));
        if self.access.authorization.proxy_required && !self.access.authorization.users.is_empty() {
            out.push(
                "authorization's proxy_required counts for a single user and a token; say it with each of the users"
                    .into(),
            );
        }
        out
    }

    /// Which of the servers that are dialled may show any certificate.
    fn unverified(&self) -> Vec<&'static str> {
        let is_insecure = |tls: Option<&Tls>| tls.is_some_and(|tls| tls.servers.insecure);
        let routes = self.cluster.as_ref().is_some_and(|own| is_insecure(own.listener.tls.as_ref()));
        let gateways = self.gateway.as_ref().is_some_and(|own| {
            let remotes = own.remotes.iter().map(|remote| remote.tls.as_ref());
            remotes.chain([own.listener.tls.as_ref()]).any(is_insecure)
        });
        let leafs = self.leafnodes.as_ref();
        let leafs =
            leafs.is_some_and(|own| own.remotes.iter().any(|remote| is_insecure(remote.tls.as_ref())));
        let all = [(routes, "routes"), (gateways, "gateways"), (leafs, "leafnodes")];
        all.into_iter().filter_map(|(is_insecure, whom)| is_insecure.then_some(whom)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let mut files = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
        let options = crate::load_text(text, "t.conf", &mut files, &|_| None).expect(text);
        assert_eq!(options.warnings(), expected, "{text}");
    }

    #[test]
    fn what_is_worth_a_word() {
        check("", &[]);
        check("max_payload: 8MB", &[]);
        check(
            "write_deadline: 5\nping_interval: 2m",
            &[
                "t.conf:1:17: invalid use of field \"write_deadline\": write_deadline should be converted to a duration",
                "t.conf:2:16: invalid use of field \"ping_interval\": ping_interval should be converted to a duration",
            ],
        );
        check("write_deadline: 5s", &[]);
        check("authorization { timeout: 60 }", &[]);
        check(
            "authorization { proxy_required: true, users: [ { user: a } ] }",
            &[
                "authorization's proxy_required counts for a single user and a token; say it with each of the users",
            ],
        );
        check("authorization { proxy_required: true, token: a }", &[]);
        check("prof_port: 0\nprof_block_rate: 0", &[]);
        check(
            "prof_port: -1\nprof_block_rate: 5",
            &[
                "t.conf:1:12: prof_port has no effect: there is no Go profiler, use a system profiler such as perf",
                "t.conf:2:18: prof_block_rate has no effect: there is no Go profiler, use a system profiler such as perf",
            ],
        );
        check(
            "tls { cert_file: a, key_file: b, insecure: true, allow_insecure_cipher_suites: true }",
            &[
                "t.conf:1:44: insecure has no effect: a listener verifies no server",
                "t.conf:1:80: allow_insecure_cipher_suites has no effect: there are no insecure cipher suites",
            ],
        );
        check(
            "cluster { port: 5, tls { cert_file: a, key_file: b, insecure: true } }",
            &[
                "TLS certificate chain and hostname of solicited routes will not be verified. DO NOT USE IN PRODUCTION!",
            ],
        );
        check(
            "max_payload: 9MB",
            &["Maximum payloads over 8.00 MB are generally discouraged and could lead to poor performance"],
        );
        check(
            "authorization { timeout: 70 }, tls { cert_file: a, key_file: b, timeout: '2m' }",
            &[
                "t.conf:1:26: invalid use of field \"timeout\": timeout of 1m10s is high, consider keeping it under 60 seconds",
                "tls timeout of 2m0s is high, consider keeping it under 60 seconds",
            ],
        );
    }
}
