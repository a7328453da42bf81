//! The client's conversation (RFC 3748 §4.2, §5): says who it is, and answers with its one method.

use std::any::Any;
use std::sync::Arc;

use vpnhost_crypto::SecureRandom as _;
use vpnhost_ike::wire::payload::Eap;
use vpnhost_ike::{EapBegin, EapFailure, EapMethod, EapSetup, EapStep, OwnCertificate};

use crate::method::ClientEnd;
use crate::packet::{self, IDENTITY, MSCHAPV2, NAK, NOTIFICATION, TLS};
use crate::{PasswordHash, TlsPeer, limits, mschapv2, tls};

/// What a client proves itself by.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientMethod {
    /// EAP-MSCHAPv2.
    MsChapV2 {
        /// The name that the server knows the user by.
        user: String,
        /// The hash of the password.
        password: PasswordHash,
    },
    /// EAP-TLS.
    Tls {
        /// The client's certificate and key.
        credential: Arc<OwnCertificate>,
        /// Who the server must be.
        server: TlsPeer,
    },
}

/// How a client speaks EAP.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientSetup {
    /// What it answers when it is asked who it is.
    pub identity: String,
    /// What it proves itself by.
    pub method: ClientMethod,
}

impl ClientSetup {
    fn kind(&self) -> u8 {
        match self.method {
            ClientMethod::MsChapV2 { .. } => MSCHAPV2,
            ClientMethod::Tls { .. } => TLS,
        }
    }
}

impl EapSetup for ClientSetup {
    fn begin(&self, mut begin: EapBegin) -> Box<dyn EapMethod> {
        let end: Result<Box<dyn ClientEnd>, EapFailure> = match &self.method {
            // RFC 5998, 4: whoever poses as the server would have something to try a dictionary against.
            ClientMethod::MsChapV2 { .. } if begin.stands_alone => {
                Err(EapFailure::CannotStandAlone(mschapv2::NAME))
            }
            ClientMethod::MsChapV2 { user, password } => {
                let mut challenge = [0; 16];
                match begin.random.fill(&mut challenge) {
                    Ok(()) => {
                        let (user, password) = (user.clone(), password.clone());
                        Ok(Box::new(mschapv2::client::Client::new(user, password, challenge)))
                    }
                    Err(error) => Err(EapFailure::Internal(error.to_string())),
                }
            }
            ClientMethod::Tls { credential, server } => {
                Ok(Box::new(tls::client::Client::new(&self.identity, credential, server, &begin)))
            }
        };
        let identity = self.identity.clone();
        Box::new(Client { identity, kind: self.kind(), end, begun: false, notified: 0 })
    }

    fn can_stand_alone(&self) -> bool {
        self.kind() == TLS
    }

    fn is_same(&self, other: &dyn EapSetup) -> bool {
        other.as_any().downcast_ref::<Self>() == Some(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

struct Client {
    identity: String,
    kind: u8,
    end: Result<Box<dyn ClientEnd>, EapFailure>,
    begun: bool,
    notified: u32,
}

impl Client {
    fn on_request(&mut self, kind: u8, data: &[u8]) -> Result<(u8, Vec<u8>), EapFailure> {
        let end = self.end.as_mut().map_err(|failure| failure.clone())?;
        if let Some(failure) = end.failure() {
            return Err(failure);
        }
        match kind {
            IDENTITY if !self.begun => Ok((IDENTITY, self.identity.clone().into_bytes())),
            NOTIFICATION if self.notified < limits::NOTIFICATIONS => {
                self.notified += 1;
                tracing::info!(text = packet::shown(data), "the EAP server notifies");
                Ok((NOTIFICATION, Vec::new()))
            }
            kind if kind == self.kind => {
                self.begun = true;
                Ok((kind, end.answer(data)?))
            }
            NOTIFICATION | NAK => Err(EapFailure::Malformed("a request of a type that no request has here")),
            // RFC 3748, 5.3.1: a Nak names what this end takes, and stands before a method is begun only.
            _ if !self.begun => Ok((NAK, vec![self.kind])),
            _ => Err(EapFailure::Malformed("a request of another method than the one that was begun")),
        }
    }
}

impl EapMethod for Client {
    fn step(&mut self, incoming: Option<&Eap>) -> EapStep {
        let failed = |failure| EapStep::Failure { packet: None, failure };
        let Some(incoming) = incoming else {
            return failed(EapFailure::Malformed("the server speaks first"));
        };
        match incoming.code {
            Eap::REQUEST => {
                let Some((&kind, data)) = incoming.data.split_first() else {
                    return failed(EapFailure::Malformed("a request without a type"));
                };
                match self.on_request(kind, data) {
                    Ok((kind, data)) => {
                        EapStep::Send(packet::of_type(Eap::RESPONSE, incoming.identifier, kind, &data))
                    }
                    Err(failure) => failed(failure),
                }
            }
            // RFC 3748, 4.2: a success that comes too early is not one.
            Eap::SUCCESS => match self.end.as_mut().ok().and_then(|end| end.outcome()) {
                Some(outcome) => EapStep::Success { packet: None, outcome },
                None => failed(EapFailure::EarlySuccess),
            },
            Eap::FAILURE => failed(self.failure().unwrap_or_else(|| EapFailure::Refused(String::new()))),
            _ => failed(EapFailure::Malformed("a packet with an unknown code")),
        }
    }

    fn failure(&self) -> Option<EapFailure> {
        self.end.as_ref().map_or_else(|failure| Some(failure.clone()), |end| end.failure())
    }
}
