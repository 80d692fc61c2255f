//! What other servers can make grow, how far, and whose share each bound is.

use std::time::Duration;

/// Connections that were accepted and have not joined. Above it the oldest of the address that has most is closed, so that one address
/// keeps out nobody else.
pub const UNJOINED_MAX: usize = 256;
/// Servers that are known and not connected. Above it one is forgotten that was heard of from the server that told of most.
pub const LEARNED_MAX: usize = 1024;
/// Servers that are connected. More are refused.
pub const PEERS_MAX: usize = 1024;
/// Accounts with routes of their own. A server that asks for more is not heard.
pub const DEDICATED_MAX: usize = 1024;
/// Connections of a pool between two servers: the greater of both servers' `pool_size` counts, and one that asks for more is refused.
pub const POOL_SIZE_MAX: u32 = 1024;
/// Bytes of a server's id, name or cluster. Each server's own.
pub const NAME_BYTES_MAX: usize = 256;
/// Addresses for clients of each kind that one server may have. Each server's own; the rest is left out.
pub const CLIENT_URLS_MAX: usize = 64;
/// Addresses for leaf nodes that one server may have. Each server's own; the rest is left out.
pub const LEAF_URLS_MAX: usize = 16;
/// Bytes of an address for clients or leaf nodes. A longer one is left out.
pub const URL_BYTES_MAX: usize = 256;

/// URLs of other servers of its cluster that a hub may speak of. Each hub's own; the rest is left out.
pub const HUB_URLS_MAX: usize = 256;
/// Other clusters that are known. More are not learned.
pub const GATEWAYS_MAX: usize = 1024;
/// Servers of another cluster whose addresses are kept. Each cluster's own; the rest is left out.
pub const GATEWAY_URLS_MAX: usize = 1024;
/// Servers of the own cluster whose addresses other clusters are told.
pub const SIBLINGS_MAX: usize = 1024;

/// INFO lines that one connection may send at once. What comes above is ignored; what was missed is told again (see [`REGOSSIP_EVERY`]).
pub const INFO_BURST: u32 = 2048;
/// INFO lines a second that one connection may send in the long run.
pub const INFO_PER_SECOND: u32 = 64;

/// A dial that failed, or a route that was configured and broke, is tried again after this. Official timing.
pub const REDIAL_AFTER: Duration = Duration::from_secs(1);
/// What is added at random to each delay, so that two servers do not dial each other at the same moment for ever. Official timing.
pub const JITTER: Duration = Duration::from_millis(100);
/// The longest delay with `connect_backoff`. Official timing.
pub const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// The longest delay of a server that was reached and refused, or that was learned and cannot be reached.
pub const REFUSED_MAX: Duration = Duration::from_secs(8);
/// A server that was learned and is not connected is dialled for so long after the last sign of it.
pub const LEARNED_FOR: Duration = Duration::from_secs(120);
/// A server that said it leaves, or whose route was taken out of the configuration, is not learned again for so long.
pub const FORGOTTEN_FOR: Duration = Duration::from_secs(60);
/// How long the server that dialled may take to fill a pool, before this one dials too.
pub const PATIENCE: Duration = Duration::from_secs(3);
/// How long two routes may have one place while the other server decides which stays.
pub const RIVALS_FOR: Duration = Duration::from_secs(5);
/// A host name that leads to this server itself may lead to another one later: it is dialled again after this. An address is not.
pub const ONESELF_AGAIN: Duration = Duration::from_secs(30);
/// A host name whose server left for good may lead to another one later: a server that is alone dials it again after this. An address is not
/// dialled, nor is either as long as there are other servers, which tell of new ones.
pub const RETIRED_AGAIN: Duration = Duration::from_secs(30);
/// How long a server that gives accounts connections of their own waits for the others to be ready. Official timing.
pub const MOVE_TIMEOUT: Duration = Duration::from_secs(2);
/// How often each neighbour is told of one other server: what closes holes in the mesh that a lost or refused dial left.
pub const REGOSSIP_EVERY: Duration = Duration::from_secs(5);
/// How often an official server is told again of one that is connected, as long as both are.
pub const RETOLD_MAX: u32 = 3;
