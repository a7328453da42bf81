//! The client's end: proves that it knows the password, and that the server does.

use subtle::ConstantTimeEq as _;
use vpnhost_crypto::SecretBytes;
use vpnhost_ike::{EapFailure, EapOutcome};

use super::crypt::{self, Challenge, PasswordHash};
use super::{CHALLENGE, FAILURE, NAME, RESPONSE, SUCCESS, packet, read};
use crate::method::ClientEnd;
use crate::packet::shown;

pub(crate) struct Client {
    user: String,
    password: PasswordHash,
    peer_challenge: [u8; 16],
    state: State,
}

enum State {
    Begun,
    Responded { proof: [u8; 20], msk: SecretBytes },
    Proved { msk: SecretBytes },
    Refused(EapFailure),
}

impl Client {
    pub(crate) fn new(user: String, password: PasswordHash, peer_challenge: [u8; 16]) -> Self {
        Self { user, password, peer_challenge, state: State::Begun }
    }

    fn respond(&mut self, identifier: u8, rest: &[u8]) -> Result<Vec<u8>, EapFailure> {
        let [16, rest @ ..] = rest else {
            return Err(EapFailure::Malformed("a challenge of another length than 16"));
        };
        let Some((challenge, _name)) = rest.split_first_chunk::<16>() else {
            return Err(EapFailure::Malformed("a challenge that is cut off"));
        };
        let challenge = Challenge::new(&self.peer_challenge, challenge, self.user.as_bytes());
        let response = challenge.response(&self.password);
        self.state = State::Responded {
            proof: challenge.authenticator(&self.password, &response),
            msk: crypt::msk(&self.password, &response),
        };
        let value =
            [&[49], &self.peer_challenge[..], &[0; 8], &response, &[0], self.user.as_bytes()].concat();
        Ok(packet(RESPONSE, identifier, &value))
    }

    fn check(&mut self, message: &[u8]) -> Result<Vec<u8>, EapFailure> {
        let State::Responded { proof, msk } = &self.state else {
            return Err(EapFailure::EarlySuccess);
        };
        let shown = proof_of(message).ok_or(EapFailure::Malformed("a success without a proof"))?;
        if !bool::from(shown.ct_eq(proof)) {
            return Err(EapFailure::ServerUnproven);
        }
        self.state = State::Proved { msk: msk.clone() };
        Ok(vec![SUCCESS])
    }
}

impl ClientEnd for Client {
    fn answer(&mut self, request: &[u8]) -> Result<Vec<u8>, EapFailure> {
        let (operation, identifier, rest) = read(request)?;
        match (operation, &self.state) {
            (CHALLENGE, State::Begun) => self.respond(identifier, rest),
            (SUCCESS, _) => self.check(rest),
            (FAILURE, _) => {
                self.state = State::Refused(EapFailure::Refused(refusal(rest)));
                Ok(vec![FAILURE])
            }
            _ => Err(EapFailure::Malformed("an MSCHAPv2 packet at the wrong time")),
        }
    }

    fn outcome(&mut self) -> Option<EapOutcome> {
        let State::Proved { msk } = &self.state else { return None };
        let msk = Some(msk.clone());
        Some(EapOutcome {
            identity: self.user.clone(),
            method: NAME,
            msk,
            certificate: None,
            stands_alone: false,
        })
    }

    fn failure(&self) -> Option<EapFailure> {
        match &self.state {
            State::Refused(failure) => Some(failure.clone()),
            State::Begun | State::Responded { .. } | State::Proved { .. } => None,
        }
    }
}

/// Says what a failure request means (RFC 2759 §6).
fn refusal(message: &[u8]) -> String {
    let text = shown(message);
    let code = text.strip_prefix("E=").and_then(|rest| rest.split(' ').next()).unwrap_or_default();
    let meaning = match code {
        "646" => "this user may not come in at this hour",
        "647" => "the account is disabled",
        "648" => "the password has expired",
        "649" => "this user may not come in from outside",
        "691" => "the user or the password is wrong",
        _ => return text,
    };
    format!("{meaning} (E={code})")
}

/// Reads `S=` and forty hexadecimal digits at the message's begin.
fn proof_of(message: &[u8]) -> Option<[u8; 20]> {
    let digits = message.strip_prefix(b"S=")?.get(..40)?;
    let digits =
        std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
    let mut proof = [0; 20];
    for (index, octet) in proof.iter_mut().enumerate() {
        *octet = u8::from_str_radix(&digits[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(proof)
}
