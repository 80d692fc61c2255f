//! Operator mode: who signs accounts, and where the tokens of accounts come from.
//!
//! Tokens are texts here; what they hold is read where keys are known, in the `identity` room.

pub use crate::blocks::operator::{OperatorJwt, OperatorMode, Preload};
use crate::blocks::reader::Errors;
pub use crate::blocks::resolver::{Folder, Keeps, Resolver};
pub use crate::blocks::resolver_tls::ResolverTls;
use crate::error::{ConfigError, Location};
use crate::language::Files;
use crate::options::Options;
use std::path::Path;

/// How an inline token begins: base64 of `{"`.
const TOKEN_START: &str = "eyJ";

/// Puts the tokens that stand in files in the place of the files' names.
pub(crate) fn read_files(mode: &mut OperatorMode, files: &mut dyn Files, errors: &mut Errors) {
    for operator in &mut mode.operators {
        if operator.jwt.starts_with(TOKEN_START) {
            continue;
        }
        let mut say = |problem: String| {
            errors.push(ConfigError::new(&operator.at, format!("error parsing operator JWT: {problem}")));
        };
        match files.read(Path::new(&operator.jwt)) {
            Err(cause) => say(format!("open {}: {cause}", operator.jwt)),
            Ok(bytes) => match bare_token(&String::from_utf8_lossy(&bytes)) {
                Some(token) => operator.jwt = token,
                None => say(format!("{} holds no JWT", operator.jwt)),
            },
        }
    }
}

/// The token in a file: alone, or between lines of dashes. It may go on on further lines.
fn bare_token(text: &str) -> Option<String> {
    let mut lines = text.lines().map(str::trim).skip_while(|line| !line.starts_with(TOKEN_START)).peekable();
    lines.peek()?;
    let lines: Vec<&str> = lines.take_while(|line| !line.starts_with("---")).collect();
    Some(lines.join("\n").trim_end().to_owned())
}

/// What does not go together, in the words of the official server.
pub(crate) fn check(
    options: &Options,
    place: &dyn Fn(&str) -> Location,
    is_good: bool,
    say: &mut impl FnMut(&Location, String),
) {
    let mode = &options.access.operator_mode;
    // An operator that is there and wrong is told once, where it stands.
    let is_meant = ["operator", "trusted"].iter().any(|key| place(key).line > 0);
    if !mode.is_on() && is_meant && !is_good {
        return;
    }
    if !mode.is_on() {
        return check_that_is_off(mode, place, say);
    }
    let authorization = &options.access.authorization;
    let users =
        !authorization.users.is_empty() || authorization.user.is_some() || authorization.token.is_some();
    for (key, wrong, problem) in [
        (
            "trusted",
            !mode.operators.is_empty() && !mode.trusted_keys.is_empty(),
            "conflicting options for 'TrustedKeys' and 'TrustedOperators'",
        ),
        (
            "accounts",
            !options.access.accounts.is_empty(),
            "operators do not allow Accounts to be configured directly",
        ),
        // Those of the default account, in which nobody is.
        (
            "mappings",
            !options.access.mappings.is_empty(),
            "operators do not allow Accounts to be configured directly",
        ),
        ("authorization", users, "operators do not allow users to be configured directly"),
        (
            "authorization",
            authorization.callout.is_some(),
            "operators do not allow authorization callouts to be configured directly",
        ),
        (
            "no_auth_user",
            options.access.no_auth_user.is_some(),
            "no_auth_user not compatible with Trusted Operator",
        ),
        (
            "trusted",
            mode.operators.is_empty() && mode.resolver.is_none(),
            "operators require an account resolver to be configured",
        ),
        (
            "resolver_preload",
            !mode.preload.is_empty()
                && !matches!(mode.resolver, Some(Resolver::Memory | Resolver::Folder(_))),
            "resolver preloads only available for writeable resolver types MEM/DIR/CACHE_DIR",
        ),
        (
            "resolver_tls",
            mode.tls != ResolverTls::default() && !matches!(mode.resolver, None | Some(Resolver::Url(_))),
            "resolver_tls has no effect without a URL resolver",
        ),
    ] {
        if wrong {
            say(&place(key), problem.into());
        }
    }
}

/// Without an operator the keys around it mean nothing.
fn check_that_is_off(
    mode: &OperatorMode,
    place: &dyn Fn(&str) -> Location,
    say: &mut impl FnMut(&Location, String),
) {
    if mode.default_sentinel.is_some() {
        say(&place("default_sentinel"), "default sentinel requires operators and accounts".into());
    }
    for (key, given) in [
        ("resolver", mode.resolver.is_some()),
        ("resolver_tls", mode.tls != ResolverTls::default()),
        ("resolver_preload", !mode.preload.is_empty()),
        ("resolver_pinned_accounts", !mode.pinned.is_empty()),
    ] {
        if given {
            say(&place(key), format!("{key} has no effect without an operator"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    const OPERATOR: &str = "OAYOUATZV4ODWE6YAJAZHRJM33VNLIVRIQPNS26WBQCPBFOEZQOBICQR";
    const ACCOUNT: &str = "ADUB7VVVWTZIB7UBKXT623WGDQ7REMQDDVKSCZCUHCXESGTMGOEH3RXS";

    /// What is wrong with a configuration that trusts a key; a file named `op` is there.
    fn read(text: &str) -> Result<OperatorMode, String> {
        let mut files = |path: &Path| match path.to_str() {
            Some("op") => Ok(b"-----BEGIN NATS OPERATOR JWT-----\neyJa.b.c\n------END\n".to_vec()),
            Some("long") => Ok(b"eyJa.b.c\r\nd\r\n".to_vec()),
            Some("none") => Ok(b"nothing".to_vec()),
            _ => Err(io::ErrorKind::NotFound.into()),
        };
        crate::load_text(text, "t.conf", &mut files, &|_| None)
            .map(|options| options.access.operator_mode)
            .map_err(|errors| errors.to_string())
    }

    #[track_caller]
    fn refuse(text: &str, expected: &str) {
        let errors = read(text).expect_err(text);
        assert!(errors.starts_with(expected), "{text}: {errors}");
    }

    #[test]
    fn operators_come_inline_and_from_files() {
        let mode = read("operators: [op, eyJx.y.z, long]\nresolver: MEM").expect("read");
        let tokens: Vec<&str> = mode.operators.iter().map(|o| o.jwt.as_str()).collect();
        assert_eq!(tokens, ["eyJa.b.c", "eyJx.y.z", "eyJa.b.c\nd"]);
        assert_eq!(mode.resolver, Some(Resolver::Memory));
        refuse("operator: gone\nresolver: MEM", "t.conf:1:11: error parsing operator JWT: open gone: ");
        refuse("operator: none\nresolver: MEM", "t.conf:1:11: error parsing operator JWT: none holds no JWT");
        refuse(
            "operator: 3\nresolver: MEM",
            "t.conf:1:11: error parsing operators: unsupported type an integer",
        );
    }

    #[test]
    fn what_does_not_go_together() {
        let base = format!("trusted: {OPERATOR}, resolver: MEM");
        assert!(read(&base).expect("read").is_on());
        for (more, expected) in [
            ("accounts { A { } }", "operators do not allow Accounts to be configured directly"),
            ("mappings { a: b }", "operators do not allow Accounts to be configured directly"),
            ("authorization { token: x }", "operators do not allow users to be configured directly"),
            ("operator: eyJa.b.c", "conflicting options for 'TrustedKeys' and 'TrustedOperators'"),
            ("resolver_pinned_accounts: [X]", "pinned account key \"X\" is not a valid public account nkey"),
            ("trusted: [ABC]", "trust key \"ABC\" required to be a valid public operator nkey"),
            ("resolver_preload: 3", "preload should be a map of account_public_key:account_jwt"),
            ("resolver_preload: { A: x }", "preload key \"A\" is not a valid public account nkey"),
            ("resolver_tls: { ca_file: x }", "resolver_tls has no effect without a URL resolver"),
        ] {
            let errors = read(&format!("{base}\n{more}")).expect_err(more);
            assert!(errors.contains(expected), "{more}: {errors}");
        }
        refuse(&format!("trusted: {OPERATOR}"), "t.conf:1:1: operators require an account resolver");
        refuse(
            &format!("trusted: {OPERATOR}, resolver: 'URL(x)'\nresolver_preload: {{ {ACCOUNT}: x }}"),
            "t.conf:2:1: resolver preloads only available for writeable resolver types",
        );
        refuse("default_sentinel: x", "t.conf:1:1: default sentinel requires operators and accounts");
        refuse("resolver: MEM", "t.conf:1:1: resolver has no effect without an operator");
    }
}
