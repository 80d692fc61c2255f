//! Lines of a system log, in the forms of RFC 3164 that the official server sends.

use super::Level;
use std::sync::LazyLock;

/// Facility and severity. The facility is the kernel's, 0, as the official server's.
fn priority(level: Level) -> u8 {
    match level {
        Level::Fatal => 2,
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 5,
        Level::Debug | Level::Trace => 7,
    }
}

/// The program's name, by which the line is found.
static TAG: LazyLock<String> = LazyLock::new(crate::process::program);

static HOST: LazyLock<String> =
    LazyLock::new(|| rustix::system::uname().nodename().to_string_lossy().into_owned());

/// For the system log of this machine: `<5>Nov 24 12:00:00 dialtone[7]: text`, in local time.
pub(super) fn local(level: Level, text: &str) -> String {
    let now = jiff::Zoned::now().strftime("%b %e %H:%M:%S").to_string();
    format!("<{}>{now} {}[{}]: {text}", priority(level), *TAG, std::process::id())
}

/// For one elsewhere: `<5>2026-11-24T12:00:00Z host dialtone[7]: text`.
pub(super) fn remote(level: Level, text: &str) -> String {
    let now = jiff::Zoned::now().strftime("%Y-%m-%dT%H:%M:%S%:z").to_string().replace("+00:00", "Z");
    format!("<{}>{now} {} {}[{}]: {text}", priority(level), *HOST, *TAG, std::process::id())
}
