//! CONNECT: what a client says of itself.

use serde::Deserialize;

/// The fields of CONNECT. What is absent has the official server's default: verbose, pedantic and echo are on.
///
/// Unknown fields are ignored, and never kept: a client may have put a secret there (CVE-2020-26149).
#[derive(Clone, PartialEq, Eq)]
pub struct Connect {
    /// Whether each operation is answered by +OK.
    pub verbose: bool,
    /// Whether subjects are checked strictly.
    pub pedantic: bool,
    /// Whether the client gets its own messages back.
    pub echo: bool,
    /// Whether the client wants TLS.
    pub tls_required: bool,
    /// Whether the client understands headers.
    pub headers: bool,
    /// Whether a request that nobody can answer gets a 503 at once.
    pub no_responders: bool,
    /// 0 or 1; 1 takes INFO at any time.
    pub protocol: i64,
    /// The client library's language.
    pub lang: String,
    /// The client library's version.
    pub version: String,
    /// The connection's name.
    pub name: String,
    /// A public NKey.
    pub nkey: String,
    /// A user JWT.
    pub jwt: String,
    /// The signature of the nonce, base64.
    pub sig: String,
    /// A token.
    pub auth_token: String,
    /// A user name.
    pub user: String,
    /// A password.
    pub pass: String,
    /// An account that the client asks for; the official server refuses any.
    pub account: String,
    /// Whether that account should be new.
    pub new_account: bool,
    /// The signature of a trusted proxy.
    pub proxy_sig: String,
}

impl Connect {
    /// What counts when nothing was said.
    pub const NOTHING: Self = Self {
        verbose: true,
        pedantic: true,
        echo: true,
        tls_required: false,
        headers: false,
        no_responders: false,
        protocol: 0,
        lang: String::new(),
        version: String::new(),
        name: String::new(),
        nkey: String::new(),
        jwt: String::new(),
        sig: String::new(),
        auth_token: String::new(),
        user: String::new(),
        pass: String::new(),
        account: String::new(),
        new_account: false,
        proxy_sig: String::new(),
    };
}

impl Default for Connect {
    fn default() -> Self {
        Self::NOTHING
    }
}

impl std::fmt::Debug for Connect {
    /// Leaves out everything that could be a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connect")
            .field("lang", &self.lang)
            .field("version", &self.version)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Fields as they come: any of them may be absent or null, and names differ in case.
#[derive(Deserialize)]
#[serde(untagged)]
enum Field {
    Flag(bool),
    Number(i64),
    Text(String),
    Map(serde_json::Map<String, serde_json::Value>),
    Other(serde::de::IgnoredAny),
}

/// Why CONNECT cannot be understood. The peer is closed without a word, as by the official server.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Not JSON.
    #[error("CONNECT is not valid JSON: line {line}, column {column}")]
    Json {
        /// Line of the problem; the document itself stays out of the text, since it may hold secrets.
        line: usize,
        /// Column of the problem.
        column: usize,
    },
    /// A field of another type.
    #[error("CONNECT field `{field}` must be {expected}")]
    Type {
        /// The field's name, one of ours.
        field: &'static str,
        /// What it must be.
        expected: &'static str,
    },
}

impl Connect {
    /// Reads the JSON behind CONNECT. Names are matched in any case; `null` leaves a default.
    ///
    /// # Errors
    ///
    /// [`ConnectError`].
    pub fn parse(json: &[u8]) -> Result<Self, ConnectError> {
        Self::NOTHING.changed_by(json)
    }

    /// The same for a further CONNECT: what it does not say stays as it was.
    ///
    /// # Errors
    ///
    /// [`ConnectError`].
    pub fn changed_by(mut self, json: &[u8]) -> Result<Self, ConnectError> {
        let mut problem = None;
        let visitor = Fields { connect: &mut self, problem: &mut problem };
        // Text in another encoding loses its letters, not the connection.
        let json = String::from_utf8_lossy(json);
        let mut reader = serde_json::Deserializer::from_str(&json);
        serde::Deserializer::deserialize_any(&mut reader, visitor)
            .and_then(|()| reader.end())
            .map_err(|e| ConnectError::Json { line: e.line(), column: e.column() })?;
        match problem {
            Some(problem) => Err(problem),
            None => Ok(self),
        }
    }

    /// Whether it says anything of who the client is.
    pub fn has_credentials(&self) -> bool {
        [&self.user, &self.pass, &self.auth_token, &self.nkey, &self.jwt, &self.sig, &self.proxy_sig]
            .iter()
            .any(|credential| !credential.is_empty())
    }

    fn set(&mut self, name: &str, value: Field) -> Result<(), ConnectError> {
        let mut name = name.to_owned();
        name.make_ascii_lowercase();
        match name.as_str() {
            "verbose" => flag("verbose", value, &mut self.verbose),
            "pedantic" => flag("pedantic", value, &mut self.pedantic),
            "echo" => flag("echo", value, &mut self.echo),
            "tls_required" => flag("tls_required", value, &mut self.tls_required),
            "headers" => flag("headers", value, &mut self.headers),
            "no_responders" => flag("no_responders", value, &mut self.no_responders),
            "new_account" => flag("new_account", value, &mut self.new_account),
            "protocol" => match value {
                Field::Number(n) => {
                    self.protocol = n;
                    Ok(())
                }
                _ => Err(ConnectError::Type { field: "protocol", expected: "a whole number" }),
            },
            "lang" => text("lang", value, &mut self.lang),
            "version" => text("version", value, &mut self.version),
            "name" => text("name", value, &mut self.name),
            "nkey" => text("nkey", value, &mut self.nkey),
            "jwt" => text("jwt", value, &mut self.jwt),
            "sig" => text("sig", value, &mut self.sig),
            "auth_token" => text("auth_token", value, &mut self.auth_token),
            "user" => text("user", value, &mut self.user),
            "pass" => text("pass", value, &mut self.pass),
            "account" => text("account", value, &mut self.account),
            "proxy_sig" => text("proxy_sig", value, &mut self.proxy_sig),
            // Servers say these; of a client they only must be what they should be.
            "remote_account" => text("remote_account", value, &mut String::new()),
            "import" => rules("import", value),
            "export" => rules("export", value),
            _ => Ok(()),
        }
    }
}

fn flag(field: &'static str, value: Field, slot: &mut bool) -> Result<(), ConnectError> {
    match value {
        Field::Flag(flag) => {
            *slot = flag;
            Ok(())
        }
        _ => Err(ConnectError::Type { field, expected: "true or false" }),
    }
}

fn text(field: &'static str, value: Field, slot: &mut String) -> Result<(), ConnectError> {
    match value {
        Field::Text(text) => {
            *slot = text;
            Ok(())
        }
        _ => Err(ConnectError::Type { field, expected: "a string" }),
    }
}

/// `{"allow": […], "deny": […]}`, lists of subjects; each part may be absent or null.
fn rules(field: &'static str, value: Field) -> Result<(), ConnectError> {
    use serde_json::Value;
    let subject = |value: &Value| value.is_string() || value.is_null();
    let fits = |(name, value): (&String, &Value)| {
        let counts = ["allow", "deny"].iter().any(|known| name.eq_ignore_ascii_case(known));
        !counts || value.is_null() || value.as_array().is_some_and(|list| list.iter().all(subject))
    };
    match value {
        Field::Map(map) if map.iter().all(fits) => Ok(()),
        _ => Err(ConnectError::Type { field, expected: "lists of subjects, `allow` and `deny`" }),
    }
}

struct Fields<'a> {
    connect: &'a mut Connect,
    problem: &'a mut Option<ConnectError>,
}

impl<'de> serde::de::Visitor<'de> for Fields<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    /// `null` leaves everything at its default.
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            if let Some(value) = map.next_value::<Option<Field>>()?
                && let Err(problem) = self.connect.set(&name, value)
            {
                self.problem.get_or_insert(problem);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_absent_or_null_has_the_default() {
        for json in ["{}", "null", r#"{"verbose":null,"lang":null,"other":{"a":[1]}}"#] {
            assert_eq!(Connect::parse(json.as_bytes()).expect(json), Connect::default());
        }
    }

    #[test]
    fn names_differ_in_case() {
        assert!(!Connect::parse(br#"{"VERBOSE":false}"#).expect("read").verbose);
    }

    #[test]
    fn wrong_types_and_bad_json_are_refused() {
        for json in
            [r#"{"verbose":"x"}"#, r#"{"user":1}"#, r#"{"protocol":1.5}"#, "[]", "\"x\"", "", "{bad", "{} x"]
        {
            assert!(Connect::parse(json.as_bytes()).is_err(), "{json}");
        }
    }

    #[test]
    fn what_servers_say_must_have_its_type_too() {
        for (json, right) in [
            (r#"{"import":null,"export":{},"remote_account":"x"}"#, true),
            (r#"{"import":{"allow":["a",null],"deny":null,"x":5}}"#, true),
            (r#"{"import":5}"#, false),
            (r#"{"Export":["a"]}"#, false),
            (r#"{"import":{"ALLOW":"a"}}"#, false),
            (r#"{"import":{"deny":["a",5]}}"#, false),
            (r#"{"remote_account":true}"#, false),
        ] {
            assert_eq!(Connect::parse(json.as_bytes()).is_ok(), right, "{json}");
        }
    }

    #[test]
    fn text_that_is_no_utf8_is_read_all_the_same() {
        let connect = Connect::parse(b"{\"name\":\"caf\xe9\"}").expect("read");
        assert_eq!(connect.name, "caf\u{fffd}");
    }

    /// Values of any kind, as deep as JSON goes in a few letters.
    fn value() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            "[ -~]{0,6}".prop_map(Into::into),
        ];
        leaf.prop_recursive(2, 6, 3, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(Into::into),
                proptest::collection::btree_map("[a-z]{1,3}", inner, 0..3)
                    .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into()),
            ]
        })
    }

    proptest! {
        /// Whatever an object holds, it is read exactly if each field that counts has its type, in any order and case.
        #[test]
        fn fields_count_by_name_and_type(
            fields in proptest::collection::btree_map("verbose|ECHO|Protocol|user|pass|other", value(), 0..5),
        ) {
            let json = serde_json::to_vec(&fields).expect("json");
            let field = |name: &str| fields.get(name).filter(|value| !value.is_null());
            let right = ["verbose", "ECHO"].iter().all(|f| field(f).is_none_or(serde_json::Value::is_boolean))
                && ["user", "pass"].iter().all(|f| field(f).is_none_or(serde_json::Value::is_string))
                && field("Protocol").is_none_or(serde_json::Value::is_i64);
            let read = Connect::parse(&json);
            prop_assert_eq!(read.is_ok(), right, "{:?}", fields);
            if let Ok(connect) = read {
                prop_assert_eq!(connect.verbose, field("verbose").and_then(serde_json::Value::as_bool).unwrap_or(true));
                prop_assert_eq!(connect.echo, field("ECHO").and_then(serde_json::Value::as_bool).unwrap_or(true));
                prop_assert_eq!(connect.protocol, field("Protocol").and_then(serde_json::Value::as_i64).unwrap_or(0));
                prop_assert_eq!(connect.user.as_str(), field("user").and_then(serde_json::Value::as_str).unwrap_or(""));
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(json in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = Connect::parse(&json);
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let connect = Connect::parse(br#"{"pass":"s3cret","user":"u","auth_token":"s3cret","jwt":"s3cret"}"#);
        assert!(!format!("{connect:?}").contains("s3cret"));
    }
}
