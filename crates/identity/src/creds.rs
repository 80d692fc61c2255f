//! Credentials files: a user's token and seed between lines of dashes.
//! Source: <https://docs.nats.io/using-nats/developer/connecting/creds>.

use crate::jwt::{self, Body, DecodedJwt, JwtError};
use crate::nkey::{Kind, NkeyError, Seed};

/// Bytes of a credentials file; a longer one is not looked at.
pub const FILE_BYTES_MAX: usize = 2 * jwt::JWT_BYTES_MAX;

/// What a credentials file holds. Printing it shows no secret.
#[derive(Debug)]
pub struct Credentials {
    /// The user's token, as it is presented.
    pub jwt: String,
    /// What it says.
    pub token: DecodedJwt,
    /// Its key.
    pub seed: Seed,
}

/// Why a text is no credentials file. The text is not told: it holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredsError {
    /// Longer than [`FILE_BYTES_MAX`].
    #[error("the credentials file is longer than {FILE_BYTES_MAX} bytes")]
    TooLong,
    /// There is no token between lines of dashes.
    #[error("the credentials file has no JWT between lines of dashes")]
    NoToken,
    /// There is no seed between lines of dashes behind it.
    #[error("the credentials file has no NKey seed between lines of dashes behind the JWT")]
    NoSeed,
    /// The token cannot be read.
    #[error("the credentials file's JWT: {0}")]
    Token(#[from] JwtError),
    /// It is not a user's.
    #[error("the credentials file's JWT is not of a user")]
    NoUser,
    /// The seed cannot be read.
    #[error("the credentials file's seed: {0}")]
    Seed(#[from] NkeyError),
    /// The seed is another user's.
    #[error("the credentials file's seed is not of the user that its JWT is of")]
    OtherSeed,
}

/// Reads a credentials file. A bearer token may come without a seed in other programs; here both must be there.
pub fn parse(text: &str) -> Result<Credentials, CredsError> {
    if text.len() > FILE_BYTES_MAX {
        return Err(CredsError::TooLong);
    }
    let mut items = items(text);
    let jwt = items.next().ok_or(CredsError::NoToken)?;
    let seed = items.next().ok_or(CredsError::NoSeed)?;
    let token = jwt::decode(jwt)?;
    if !matches!(token.body, Body::User(_)) {
        return Err(CredsError::NoUser);
    }
    let seed = Seed::parse(seed)?;
    if seed.public().kind != Kind::User {
        return Err(NkeyError::Kind.into());
    }
    if seed.public() != token.subject {
        return Err(CredsError::OtherSeed);
    }
    Ok(Credentials { jwt: jwt.to_owned(), token, seed })
}

/// The first text between lines of dashes: the token of a creds file, or of a file that is decorated like one.
pub fn token(text: &str) -> Option<&str> {
    items(text).next()
}

/// What stands alone between two lines of dashes: a token or a seed, and line ends. A line closes one item and opens no other.
fn items(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let (_, behind) = split_at_dashes(rest)?;
            let (item, after) = split_at_dashes(behind)?;
            if is_item(item.trim()) {
                rest = after;
                return Some(item.trim());
            }
            rest = behind;
        }
    })
}

/// What stands before and behind the first line of dashes.
fn split_at_dashes(text: &str) -> Option<(&str, &str)> {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let end = start + line.len();
        if is_dashes(line.trim()) {
            return Some((text.get(..start)?, text.get(end..)?));
        }
        start = end;
    }
    None
}

fn is_dashes(line: &str) -> bool {
    line.len() >= 6 && line.starts_with("---") && line.ends_with("---")
}

/// Whether a text has only characters of tokens and seeds, on one line or on several.
fn is_item(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.=\r\n".contains(&byte))
}

/// Writes a credentials file in the official form, line by line. It holds a secret.
pub fn write(jwt: &str, seed: &Seed) -> zeroize::Zeroizing<String> {
    let secret = seed.reveal();
    let warning = "************************* IMPORTANT *************************\n\
        NKEY Seed printed below can be used to sign and prove identity.\n\
        NKEYs are sensitive and should be treated as secrets.\n";
    zeroize::Zeroizing::new(format!(
        "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n{warning}\n\
         -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n\n\
         *************************************************************\n",
        secret.as_str()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwt::tests::user_token;
    use proptest::prelude::*;

    fn seed(number: u8) -> Seed {
        Seed::from_bytes(Kind::User, [number; 32])
    }

    #[test]
    fn what_is_written_is_read() {
        let jwt = user_token(&seed(3));
        let text = write(&jwt, &seed(3));
        let wrapped = format!("{}\r\n{}", &jwt[..jwt.len() - 20], &jwt[jwt.len() - 20..]);
        for text in [
            text.to_string(),
            text.replace('\n', "\r\n"),
            text.replace("\n\n", "\n"),
            text.replace(&jwt, &wrapped),
            text.trim_end_matches(['*', '\n']).to_owned(),
            format!("---- notes ----\nof the last rotation\n{}", text.as_str()),
        ] {
            let credentials = parse(&text).expect("credentials");
            assert_eq!(credentials.jwt.replace("\r\n", ""), jwt);
            assert_eq!(credentials.seed.public(), seed(3).public());
            assert!(!format!("{credentials:?}").contains(seed(3).reveal().as_str()));
        }
    }

    #[test]
    fn what_is_no_credentials_file() {
        let jwt = user_token(&seed(3));
        let text = write(&jwt, &seed(3));
        let alone = text.split("****").next().expect("the token's part");
        for (text, expected) in [
            (String::new(), CredsError::NoToken),
            (jwt.clone(), CredsError::NoToken),
            (alone.to_owned(), CredsError::NoSeed),
            (text.replace(&jwt, "a.b.c"), CredsError::Token(JwtError::Encoding(0))),
            (write(&jwt, &seed(4)).to_string(), CredsError::OtherSeed),
            // Only the seed: the token may hold the same two letters.
            (
                text.replace(seed(3).reveal().as_str(), &seed(3).reveal().replacen("SU", "SX", 1)),
                CredsError::Seed(NkeyError::Encoding),
            ),
            ("-".repeat(FILE_BYTES_MAX + 1), CredsError::TooLong),
        ] {
            assert_eq!(parse(&text).map(|_| ()), Err(expected));
        }
    }

    proptest! {
        #[test]
        fn nothing_breaks_it(text in "[-a.\\r\\n ]{0,60}") {
            prop_assert!(parse(&text).is_err());
        }
    }
}
