//! What tokens are judged by: the time, here and in other zones, and the accounts' own tokens.

use crate::shared::Shared;
use dialtone_identity::authenticator::JwtContext;
use dialtone_identity::jwt::DecodedJwt;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Now, in seconds since 1970.
pub fn now() -> i64 {
    Timestamp::now().as_second()
}

/// When a second since 1970 begins, seen from `now`. A second that is past is now.
pub fn instant(second: i64, now: Instant) -> Instant {
    let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(second).unwrap_or(0)));
    let left = at.and_then(|at| at.duration_since(SystemTime::now()).ok()).unwrap_or_default();
    // What is centuries away never comes.
    now.checked_add(left).unwrap_or(now + Duration::from_secs(u64::from(u32::MAX)))
}

impl JwtContext for Shared {
    fn account(&self, key: &str) -> Option<Arc<DecodedJwt>> {
        let verified = self.account_jwts.find(key)?;
        // One that is over may have a successor.
        verified.token.check_time(now()).is_ok().then(|| verified.token.clone())
    }

    fn now(&self) -> i64 {
        now()
    }

    fn has_account(&self, name: &str) -> bool {
        Self::account(self, name).is_some()
    }

    fn time_of_day(&self, zone: &str) -> Option<i64> {
        let zone = if zone.is_empty() { TimeZone::system() } else { TimeZone::get(zone).ok()? };
        let time = Timestamp::now().to_zoned(zone).time();
        Some(i64::from(time.hour()) * 3600 + i64::from(time.minute()) * 60 + i64::from(time.second()))
    }
}
