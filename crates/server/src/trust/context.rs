//! What JWTs are judged by: the time, here and in other zones, and the JWTs of accounts.

use crate::clock::now;
use crate::node::Node;
use dialtone_identity::authenticator::JwtContext;
use dialtone_identity::jwt::DecodedJwt;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::sync::Arc;

impl JwtContext for Node {
    fn account(&self, key: &str) -> Option<Arc<DecodedJwt>> {
        let verified = self.accounts.jwts.find(key)?;
        // One that is over may have a successor.
        verified.token.check_time(now()).is_ok().then(|| verified.token.clone())
    }

    fn now(&self) -> i64 {
        now()
    }

    fn has_account(&self, name: &str) -> bool {
        self.accounts.find(name).is_some()
    }

    fn time_of_day(&self, zone: &str) -> Option<i64> {
        let zone = if zone.is_empty() { TimeZone::system() } else { TimeZone::get(zone).ok()? };
        let time = Timestamp::now().to_zoned(zone).time();
        Some(i64::from(time.hour()) * 3600 + i64::from(time.minute()) * 60 + i64::from(time.second()))
    }
}
