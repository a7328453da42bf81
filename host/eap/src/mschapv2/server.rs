//! The server's end: challenges, and proves in turn that it knows the password.

use std::fmt::Write as _;
use std::sync::Arc;

use subtle::ConstantTimeEq as _;
use vpnhost_ike::{EapFailure, EapOutcome};

use super::crypt::{self, Challenge, PasswordHash};
use super::{CHALLENGE, FAILURE, NAME, RESPONSE, SUCCESS, packet, read};
use crate::Users;
use crate::limits;
use crate::method::{ServerEnd, Turn};
use crate::packet::shown;

/// The server's name in its challenge, which clients show at most.
const SERVER: &[u8] = b"vpnhost";

/// The number of the exchange; there is one only.
const IDENTIFIER: u8 = 1;

pub(crate) struct Server {
    users: Arc<Users>,
    challenge: [u8; 16],
    nobody: PasswordHash,
    state: State,
}

enum State {
    Challenged,
    Proving(EapOutcome),
    Refusing(EapFailure),
}

impl Server {
    pub(crate) fn new(users: Arc<Users>, challenge: [u8; 16], nobody: [u8; 16]) -> Self {
        Self { users, challenge, nobody: PasswordHash::of_nobody(nobody), state: State::Challenged }
    }

    fn judge(&mut self, rest: &[u8]) -> Result<Vec<u8>, EapFailure> {
        let cut = EapFailure::Malformed("a response that is cut off");
        let [49, rest @ ..] = rest else {
            return Err(EapFailure::Malformed("a response of another length than 49"));
        };
        let (peer_challenge, rest) = rest.split_first_chunk::<16>().ok_or(cut.clone())?;
        let (_reserved, rest) = rest.split_first_chunk::<8>().ok_or(cut.clone())?;
        let (response, rest) = rest.split_first_chunk::<24>().ok_or(cut.clone())?;
        let (_flags, name) = rest.split_first().ok_or(cut)?;
        if name.len() > limits::TEXT {
            return Err(EapFailure::TooMuch("the user's name is too long"));
        }
        let sent = std::str::from_utf8(name).unwrap_or_default();
        let found = self.users.find(sent);
        // The same is computed for users that do not exist: the answer's time tells nothing.
        let password = found.map_or(&self.nobody, |(_, password)| password);
        let challenge = Challenge::new(peer_challenge, &self.challenge, name);
        let right = bool::from(challenge.response(password).ct_eq(response));
        let failure = match found {
            None => EapFailure::UnknownUser(shown(name)),
            Some((user, _)) if !right => EapFailure::WrongPassword(user.to_owned()),
            Some((user, password)) => {
                let proof = challenge.authenticator(password, response);
                self.state = State::Proving(EapOutcome {
                    identity: user.to_owned(),
                    method: NAME,
                    msk: Some(crypt::msk(password, response)),
                    certificate: None,
                    stands_alone: false,
                });
                return Ok(packet(SUCCESS, IDENTIFIER, message("S=", &proof, " M=welcome").as_bytes()));
            }
        };
        self.state = State::Refusing(failure);
        // RFC 2759, 6: 691 is ERROR_AUTHENTICATION_FAILURE; no other try.
        let refusal = message("E=691 R=0 C=", &self.challenge, " V=3 M=authentication failed");
        Ok(packet(FAILURE, IDENTIFIER, refusal.as_bytes()))
    }
}

impl ServerEnd for Server {
    fn begin(&mut self) -> Result<Vec<u8>, EapFailure> {
        Ok(packet(CHALLENGE, IDENTIFIER, &[&[16], &self.challenge[..], SERVER].concat()))
    }

    fn take(&mut self, response: &[u8]) -> Turn {
        match &self.state {
            // Whatever the client says to it, it is refused.
            State::Refusing(failure) => Turn::Failure(failure.clone()),
            State::Proving(outcome) if response.first() == Some(&SUCCESS) => Turn::Success(outcome.clone()),
            State::Proving(_) => Turn::Failure(EapFailure::Refused("this host's proof".to_owned())),
            State::Challenged => match read(response).and_then(|(operation, identifier, rest)| {
                if (operation, identifier) != (RESPONSE, IDENTIFIER) {
                    return Err(EapFailure::Malformed("no response to the challenge"));
                }
                self.judge(rest)
            }) {
                Ok(request) => Turn::Request(request),
                Err(failure) => Turn::Failure(failure),
            },
        }
    }

    fn failure(&self) -> Option<EapFailure> {
        match &self.state {
            State::Refusing(failure) => Some(failure.clone()),
            State::Challenged | State::Proving(_) => None,
        }
    }
}

fn message(before: &str, octets: &[u8], behind: &str) -> String {
    let mut message = before.to_owned();
    for octet in octets {
        // Writing into a string does not fail.
        let _ = write!(message, "{octet:02X}");
    }
    message + behind
}
