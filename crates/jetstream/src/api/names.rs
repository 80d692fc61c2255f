//! Subjects of the API that are no endpoints.

/// Advisories begin with this.
pub const ADVISORY_PREFIX: &str = "$JS.EVENT.ADVISORY";
/// Metrics begin with this.
pub const METRIC_PREFIX: &str = "$JS.EVENT.METRIC";
/// Reply subjects of delivered messages begin with this.
pub const ACK_PREFIX: &str = "$JS.ACK.";
/// Reply subjects of flow control begin with this.
pub const FLOW_CONTROL_PREFIX: &str = "$JS.FC.";
/// Where the chunks of a restored archive go: behind it stand the stream and an id.
pub const RESTORE_PREFIX: &str = "$JS.SNAPSHOT.RESTORE.";
/// Where the chunks of an archive are acknowledged: behind it stand the stream and an id.
pub const SNAPSHOT_ACK_PREFIX: &str = "$JS.SNAPSHOT.ACK.";
