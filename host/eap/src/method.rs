//! What a conversation asks of a method, on either end. Data are what stands behind a packet's type.

use vpnhost_ike::{EapFailure, EapOutcome};

/// A method on the client's end.
pub(crate) trait ClientEnd: Send {
    /// Answers a request.
    ///
    /// # Errors
    /// A failure that leaves nothing to be said.
    fn answer(&mut self, request: &[u8]) -> Result<Vec<u8>, EapFailure>;

    /// Returns what is known once the method has come to a good end; the server's Success counts only then.
    fn outcome(&mut self) -> Option<EapOutcome>;

    /// Returns why it failed, where an answer told the server so.
    fn failure(&self) -> Option<EapFailure>;
}

/// A method on the server's end.
pub(crate) trait ServerEnd: Send {
    /// Makes the first request.
    ///
    /// # Errors
    /// This host's own failure.
    fn begin(&mut self) -> Result<Vec<u8>, EapFailure>;

    /// Takes a response.
    fn take(&mut self, response: &[u8]) -> Turn;

    /// Returns why it failed, where a request tells the client so.
    fn failure(&self) -> Option<EapFailure>;
}

/// What a server does with a response.
pub(crate) enum Turn {
    /// It asks on.
    Request(Vec<u8>),
    /// The client has proved itself.
    Success(EapOutcome),
    /// The client has not.
    Failure(EapFailure),
}
