//! The server's conversation (RFC 3748 §4.1, §5): puts its methods to the client, and asks who it is before where that is
//! not known from IKE (RFC 7296 §2.16: SHOULD NOT, since IDi says it).

use std::any::Any;
use std::sync::Arc;

use vpnhost_crypto::SecureRandom as _;
use vpnhost_ike::wire::payload::Eap;
use vpnhost_ike::{EapBegin, EapFailure, EapMethod, EapSetup, EapStep, OwnCertificate, Trust};
use vpnhost_model::Identity;

use crate::method::{ServerEnd, Turn};
use crate::packet::{self, IDENTITY, MSCHAPV2, NAK, TLS};
use crate::{Users, limits, mschapv2, tls};

/// What a server lets its clients prove themselves by.
#[derive(Clone, Debug, PartialEq)]
pub enum ServerMethod {
    /// EAP-MSCHAPv2.
    MsChapV2(Arc<Users>),
    /// EAP-TLS.
    Tls {
        /// The server's certificate and key.
        credential: Arc<OwnCertificate>,
        /// Which clients are trusted.
        clients: Arc<Trust>,
    },
}

impl ServerMethod {
    fn kind(&self) -> u8 {
        match self {
            Self::MsChapV2(_) => MSCHAPV2,
            Self::Tls { .. } => TLS,
        }
    }
}

/// How a server speaks EAP.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerSetup {
    /// Its methods, the preferred first.
    pub methods: Vec<ServerMethod>,
    /// Whether the client is asked who it is even where IKE has told: it saves a round not to.
    pub asks_identity: bool,
}

impl EapSetup for ServerSetup {
    fn begin(&self, begin: EapBegin) -> Box<dyn EapMethod> {
        let methods = self.methods.iter().filter(|method| !begin.stands_alone || method.kind() == TLS);
        Box::new(Server {
            methods: methods.cloned().collect(),
            asks_identity: self.asks_identity,
            begin,
            identifier: 0,
            requests: 0,
            state: State::Begun,
        })
    }

    fn can_stand_alone(&self) -> bool {
        self.methods.iter().any(|method| method.kind() == TLS)
    }

    fn is_same(&self, other: &dyn EapSetup) -> bool {
        other.as_any().downcast_ref::<Self>() == Some(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

struct Server {
    methods: Vec<ServerMethod>,
    asks_identity: bool,
    begin: EapBegin,
    identifier: u8,
    requests: u32,
    state: State,
}

/// Who the client says it is.
#[derive(Clone, Debug)]
pub(crate) enum Claim {
    /// By what it answered to EAP's question: it has to prove that.
    Eap(Vec<u8>),
    /// By IDi: what it proves may have another name, and that counts.
    Ike(Identity),
}

enum State {
    Begun,
    AskedIdentity,
    Running { kind: u8, end: Box<dyn ServerEnd>, claim: Claim, answered: bool },
    Over,
}

impl Server {
    fn request(&mut self, kind: u8, data: &[u8]) -> EapStep {
        self.requests += 1;
        if self.requests > limits::REQUESTS {
            return self.fail(EapFailure::TooMuch("the method does not come to an end"));
        }
        self.identifier = self.identifier.wrapping_add(1);
        EapStep::Send(packet::of_type(Eap::REQUEST, self.identifier, kind, data))
    }

    fn fail(&mut self, failure: EapFailure) -> EapStep {
        self.state = State::Over;
        let packet = Some(packet::ending(Eap::FAILURE, self.identifier));
        EapStep::Failure { packet, failure }
    }

    /// Begins the preferred method.
    fn run_first(&mut self, claim: Claim) -> EapStep {
        match self.methods.first().cloned() {
            Some(method) => self.run(&method, claim),
            None => self.fail(EapFailure::CannotStandAlone("no configured method")),
        }
    }

    /// Begins a method.
    fn run(&mut self, method: &ServerMethod, claim: Claim) -> EapStep {
        let kind = method.kind();
        let mut end: Box<dyn ServerEnd> = match method {
            ServerMethod::MsChapV2(users) => {
                let (mut challenge, mut nobody) = ([0; 16], [0; 16]);
                let random = &mut self.begin.random;
                let drawn = random.fill(&mut challenge).and_then(|()| random.fill(&mut nobody));
                if let Err(error) = drawn {
                    return self.fail(EapFailure::Internal(error.to_string()));
                }
                Box::new(mschapv2::server::Server::new(Arc::clone(users), challenge, nobody))
            }
            ServerMethod::Tls { credential, clients } => {
                Box::new(tls::server::Server::new(&claim, credential, clients, &self.begin))
            }
        };
        match end.begin() {
            Ok(data) => {
                self.state = State::Running { kind, end, claim, answered: false };
                self.request(kind, &data)
            }
            Err(failure) => self.fail(failure),
        }
    }

    /// Tells whether IDi is who EAP would be told (RFC 7296 §2.16). Where passwords are taken everybody is asked: clients have
    /// other names for EAP, and a gateway that asked only who is no user would tell strangers who is.
    fn is_known(&self) -> bool {
        let takes_name = |method: &ServerMethod| match method {
            ServerMethod::MsChapV2(_) => false,
            ServerMethod::Tls { .. } => true,
        };
        names_somebody(&self.begin.peer) && self.methods.iter().all(takes_name)
    }

    /// Takes the client's wish for another method.
    fn on_nak(&mut self, wanted: &[u8]) -> EapStep {
        let State::Running { kind, claim, .. } = &self.state else {
            return self.fail(EapFailure::Malformed("a Nak to something that is no method"));
        };
        let (refused, claim) = (*kind, claim.clone());
        let wanted: Vec<u8> = wanted.iter().copied().take(limits::NAK_METHODS).collect();
        let ours = packet::names(self.methods.iter().map(ServerMethod::kind));
        // What was refused is not offered again, so that this ends.
        self.methods.retain(|method| method.kind() != refused);
        match self.methods.iter().find(|method| wanted.contains(&method.kind())).cloned() {
            Some(method) => self.run(&method, claim),
            None => self.fail(EapFailure::NoCommonMethod { ours, theirs: packet::names(wanted) }),
        }
    }

    fn on_response(&mut self, kind: u8, data: &[u8]) -> EapStep {
        match (&mut self.state, kind) {
            (State::AskedIdentity, IDENTITY) => {
                if data.len() > limits::TEXT {
                    return self.fail(EapFailure::TooMuch("the identity is too long"));
                }
                self.run_first(Claim::Eap(data.to_vec()))
            }
            (State::Running { answered: false, .. }, NAK) => self.on_nak(data),
            (State::Running { kind: begun, end, answered, .. }, kind) if *begun == kind => {
                *answered = true;
                match end.take(data) {
                    Turn::Request(data) => self.request(kind, &data),
                    Turn::Success(outcome) => {
                        self.state = State::Over;
                        let packet = Some(packet::ending(Eap::SUCCESS, self.identifier));
                        EapStep::Success { packet, outcome }
                    }
                    Turn::Failure(failure) => self.fail(failure),
                }
            }
            (State::Begun | State::AskedIdentity | State::Running { .. } | State::Over, _) => {
                self.fail(EapFailure::Malformed("a response of another type than the request"))
            }
        }
    }
}

impl EapMethod for Server {
    fn step(&mut self, incoming: Option<&Eap>) -> EapStep {
        match (incoming, &self.state) {
            (None, State::Begun) if !self.asks_identity && self.is_known() => {
                self.run_first(Claim::Ike(self.begin.peer.clone()))
            }
            (None, State::Begun) => {
                self.state = State::AskedIdentity;
                self.request(IDENTITY, &[])
            }
            (Some(packet), State::AskedIdentity | State::Running { .. })
                if packet.code == Eap::RESPONSE && packet.identifier == self.identifier =>
            {
                match packet.data.split_first() {
                    Some((&kind, data)) => self.on_response(kind, data),
                    None => self.fail(EapFailure::Malformed("a response without a type")),
                }
            }
            _ => self.fail(EapFailure::Malformed("a packet that is no response to the last request")),
        }
    }

    fn failure(&self) -> Option<EapFailure> {
        match &self.state {
            State::Running { end, .. } => end.failure(),
            State::Begun | State::AskedIdentity | State::Over => None,
        }
    }
}

/// Tells whether IDi names a user or a host: phones and Windows put the address there that they happen to have.
fn names_somebody(identity: &Identity) -> bool {
    match identity {
        Identity::Fqdn(_) | Identity::Email(_) | Identity::DistinguishedName(_) => true,
        Identity::Ipv4(_)
        | Identity::Ipv6(_)
        | Identity::KeyId(_)
        | Identity::Eap(_)
        | Identity::Other { .. } => false,
    }
}
