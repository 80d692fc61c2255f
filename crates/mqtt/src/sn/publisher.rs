//! Messages of clients that do not connect: quality of service -1, by one connection for all of them. MQTT-SN 1.2 §6.8

use super::action::{Context, Link, Links, each_packet};
use super::client::connect_packet;
use dialtone_wire::mqtt::{ConnAck, Delivery, Packet, Properties, Publish, Reason, Version, encode};
use std::time::Instant;

/// Bytes that wait until the server has let it in; what comes then is dropped.
const WAITING_BYTES_MAX: usize = 64 * 1024;

/// The connection.
#[derive(Debug, Default)]
pub(super) enum Publisher {
    /// There was no need for one.
    #[default]
    Idle,
    /// CONNECT is sent; what waits.
    Connecting {
        link: Link,
        waiting: Vec<u8>,
        partial: Vec<u8>,
    },
    Connected {
        link: Link,
        partial: Vec<u8>,
    },
    /// The server closed it, or did not let it in: what comes is dropped until then.
    Refused {
        until: Instant,
    },
}

impl Publisher {
    fn link(&self) -> Option<Link> {
        match self {
            Self::Connecting { link, .. } | Self::Connected { link, .. } => Some(*link),
            Self::Idle | Self::Refused { .. } => None,
        }
    }

    /// Publishes a message.
    pub(super) fn publish(
        &mut self,
        topic: &str,
        payload: &[u8],
        retain: bool,
        links: &mut Links,
        context: &mut Context<'_>,
    ) {
        let delivery = Delivery::AtMostOnce;
        let packet = Publish { delivery, retain, topic, properties: Properties::NONE, payload }.into();
        match self {
            Self::Refused { until } if *until > context.now => return,
            Self::Idle | Self::Refused { .. } => {
                let link = links.next();
                context.open(link, None);
                context.server(link, &connect_packet("", None, true, context.options).packet());
                *self = Self::Connecting { link, waiting: Vec::new(), partial: Vec::new() };
            }
            Self::Connecting { .. } | Self::Connected { .. } => {}
        }
        match self {
            Self::Connecting { waiting, .. } if waiting.len() + payload.len() <= WAITING_BYTES_MAX => {
                // What came in a datagram fits into a packet.
                let _ = encode::packet(waiting, &packet, Version::V5, usize::MAX);
            }
            Self::Connected { link, .. } => {
                context.server(*link, &packet);
            }
            _ => {}
        }
    }

    /// Bytes of the server. False: they are not for this connection.
    pub(super) fn server(&mut self, link: Link, bytes: &[u8], context: &mut Context<'_>) -> bool {
        if self.link() != Some(link) {
            return false;
        }
        let (Self::Connecting { partial, .. } | Self::Connected { partial, .. }) = self else { return false };
        let mut partial = std::mem::take(partial);
        let mut waiting = match self {
            Self::Connecting { waiting, .. } => Some(std::mem::take(waiting)),
            _ => None,
        };
        let goes_on = each_packet(&mut partial, bytes, |packet| match packet {
            Packet::ConnAck(ConnAck { reason: Reason::Success, .. }) => {
                if let Some(waiting) = waiting.take() {
                    context.server_bytes(link, &waiting);
                }
                true
            }
            _ => false,
        });
        *self = match waiting {
            _ if !goes_on => {
                context.close(link);
                self.closed(link, context);
                return true;
            }
            Some(waiting) => Self::Connecting { link, waiting, partial },
            None => Self::Connected { link, partial },
        };
        true
    }

    /// A connection is closed. False: it was another.
    pub(super) fn closed(&mut self, link: Link, context: &Context<'_>) -> bool {
        let is_it = self.link() == Some(link);
        if is_it {
            *self = Self::Refused { until: context.now + context.options.retry_interval };
        }
        is_it
    }
}
