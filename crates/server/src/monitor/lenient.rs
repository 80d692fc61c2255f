//! Requests as they are typed: filters end in `>`, which stands in URLs only as `%3E`, but who asks with `curl` writes it as
//! it is, and the official server understands that.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What stands for a `>` on its way through the HTTP library: no URL may hold this byte unescaped either.
const STAND_IN: u8 = b'`';

/// A connection in whose requests no `>` stands.
pub(super) struct Lenient<S>(pub(super) S);

impl<S: AsyncRead + Unpin> AsyncRead for Lenient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.0).poll_read(context, buffer);
        let come = buffer.filled_mut().get_mut(before..).unwrap_or_default();
        come.iter_mut().filter(|byte| **byte == b'>').for_each(|byte| *byte = STAND_IN);
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Lenient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// What was typed.
pub(super) fn typed(query: &str) -> String {
    query.replace(char::from(STAND_IN), ">")
}
